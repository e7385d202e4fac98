"""Structures from the bytes of a Segmentation: BINARY, LABELMAP or FRACTIONAL (PS3.3 C.8.20)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.domain.volume import Volume
from worker.drawing.colours import rgb_of_cielab
from worker.pictures.read_frames import Frames, NotShownError, PlacedFrame, placed_frames
from worker.pictures.scene import Structure

_PALETTE = ((0, 160, 255), (255, 140, 0), (90, 220, 90), (255, 90, 160), (190, 120, 255), (240, 230, 120))


@dataclass(frozen=True, slots=True, eq=False)
class ReadSegment:
    """A segment as the object has it. ``tracking_uid`` is empty when it has none."""

    structure: Structure
    tracking_uid: str


def read_segments(ds: Dataset, volume: Volume) -> tuple[ReadSegment, ...]:
    """Read every segment that has a voxel. Raises NotShownError, and ``read_frames.BROKEN`` for what is absent."""
    frames, placed = Frames(ds), placed_frames(ds, volume)
    kind = str(ds.SegmentationType)
    by_segment: dict[int, dict[int, list[int]]] = {}
    for frame, number in _numbers(ds, placed, frames, labelmap=kind == "LABELMAP"):
        by_segment.setdefault(number, {}).setdefault(frame.slice_index, []).append(frame.number)
    found = []
    for item in ds.SegmentSequence:
        number = int(item.SegmentNumber)
        where = by_segment.get(number, {})
        if number == 0 or not where:
            continue  # 0 is the background, which a LABELMAP has to describe (PS3.3 C.8.20.2.3)
        mask = _mask_of(frames, where, _test_of(ds, kind, number))
        voxels = {k: int(np.count_nonzero(mask(k))) for k in sorted(where)}
        structure = Structure(
            label=str(item.SegmentLabel),
            colour_rgb=_colour_of(item, number),
            voxels={k: n for k, n in voxels.items() if n},
            mask=mask,
        )
        found.append(ReadSegment(structure, str(item.get("TrackingUID") or "")))
    return tuple(found)


def algorithm_of(ds: Dataset) -> tuple[str, str]:
    """Name and version of the algorithm of the first segment; empty when the object does not say."""
    for item in ds.get("SegmentSequence") or []:
        for described in item.get("SegmentationAlgorithmIdentificationSequence") or []:
            return str(described.get("AlgorithmName") or ""), str(described.get("AlgorithmVersion") or "")
    return "", ""


def _numbers(
    ds: Dataset, placed: tuple[PlacedFrame, ...], frames: Frames, *, labelmap: bool
) -> Iterator[tuple[PlacedFrame, int]]:
    """Which segments each frame is of: a LABELMAP has all of them in one frame."""
    shared = (ds.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    for frame in placed:
        if labelmap:
            yield from ((frame, int(number)) for number in np.unique(frames.stored(frame.number)))
        else:
            own = frame.groups if "SegmentIdentificationSequence" in frame.groups else shared
            yield frame, int(own.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _test_of(ds: Dataset, kind: str, number: int) -> Callable[[NDArray[np.generic]], NDArray[np.bool_]]:
    """Which stored values belong to a segment."""
    match kind:
        case "BINARY":
            return lambda stored: np.asarray(stored == 1)
        case "LABELMAP":
            return lambda stored: np.asarray(stored == number)
        case "FRACTIONAL":
            half = int(ds.MaximumFractionalValue) / 2
            return lambda stored: np.asarray(np.asarray(stored, dtype=np.float32) >= half)
        case _:
            raise NotShownError("Its kind of segmentation is not known.", code="object-unreadable")


def _mask_of(
    frames: Frames, where: dict[int, list[int]], test: Callable[[NDArray[np.generic]], NDArray[np.bool_]]
) -> Callable[[int], NDArray[np.bool_]]:
    def mask(k: int) -> NDArray[np.bool_]:
        first, *more = where[k]
        found = test(frames.stored(first))
        for number in more:
            found = found | test(frames.stored(number))
        return found

    return mask


def _colour_of(item: Dataset, number: int) -> tuple[int, int, int]:
    lab = item.get("RecommendedDisplayCIELabValue")
    return rgb_of_cielab(lab) if lab is not None and len(lab) == 3 else _PALETTE[number % len(_PALETTE)]
