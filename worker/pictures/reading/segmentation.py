"""Structures from the bytes of a Segmentation: BINARY, LABELMAP or FRACTIONAL (PS3.3 C.8.20)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.domain.volume import Volume
from worker.drawing.colours import rgb_of_cielab
from worker.functional_groups.groups import items_of
from worker.pictures.reading.frames import Frames
from worker.pictures.reading.part10 import first_item, unreadable
from worker.pictures.scene import Structure

_PALETTE = ((0, 160, 255), (255, 140, 0), (90, 220, 90), (255, 90, 160), (190, 120, 255), (240, 230, 120))


@dataclass(frozen=True, slots=True, eq=False)
class ReadSegment:
    """A segment as the object has it. ``tracking_uid`` is empty when it has none."""

    structure: Structure
    tracking_uid: str


def read_segments(ds: Dataset, volume: Volume) -> tuple[ReadSegment, ...]:
    """Read every segment that has a voxel. Raises NotShownError, and anything for what is absent or broken."""
    frames = Frames(ds, volume)
    frames_of: dict[int, dict[int, list[int]]] = {}
    for frame, k in enumerate(frames.slices):
        for number in _segments_in(ds, frames, frame):
            frames_of.setdefault(number, {}).setdefault(k, []).append(frame)
    # 0 is the background, which a LABELMAP has to describe (PS3.3 C.8.20.2.3).
    described = [item for item in ds.SegmentSequence if int(item.SegmentNumber) in frames_of.keys() - {0}]
    return tuple(_segment(ds, item, frames, frames_of[int(item.SegmentNumber)]) for item in described)


def algorithm_of(ds: Dataset) -> tuple[str, str]:
    """Name and version of the algorithm of the first segment that names one; empty when the object does not say."""
    for item in items_of(ds, "SegmentSequence"):
        if items_of(item, "SegmentationAlgorithmIdentificationSequence"):
            named = first_item(item, "SegmentationAlgorithmIdentificationSequence")
            return str(named.get("AlgorithmName") or ""), str(named.get("AlgorithmVersion") or "")
    return "", ""


def _segments_in(ds: Dataset, frames: Frames, frame: int) -> Iterator[int]:
    """Which segments a frame is of: a LABELMAP has all of them in one frame."""
    if ds.SegmentationType == "LABELMAP":
        yield from map(int, np.unique(frames.stored(frame)))
    else:
        yield int(frames.macro("SegmentIdentificationSequence", frame).ReferencedSegmentNumber)


def _segment(ds: Dataset, item: Dataset, frames: Frames, on_slice: Mapping[int, Sequence[int]]) -> ReadSegment:
    number = int(item.SegmentNumber)

    def mask(k: int) -> NDArray[np.bool_]:
        return reduce(np.logical_or, (_belongs(ds, frames.stored(frame), number) for frame in on_slice[k]))

    voxels = {k: int(np.count_nonzero(mask(k))) for k in sorted(on_slice)}
    lab = item.get("RecommendedDisplayCIELabValue")
    structure = Structure(
        label=str(item.SegmentLabel),
        colour_rgb=_PALETTE[number % len(_PALETTE)] if lab is None or len(lab) != 3 else rgb_of_cielab(lab),
        voxels={k: count for k, count in voxels.items() if count},
        mask=mask,
    )
    return ReadSegment(structure, str(item.get("TrackingUID") or ""))


def _belongs(ds: Dataset, stored: NDArray[np.generic], number: int) -> NDArray[np.bool_]:
    """Where stored values belong to a segment (PS3.3 C.8.20.2.3)."""
    match ds.SegmentationType:
        case "BINARY":
            return np.asarray(stored == 1)
        case "LABELMAP":
            return np.asarray(stored == number)
        case "FRACTIONAL":
            return np.asarray(stored.astype(np.float32) >= int(ds.MaximumFractionalValue) / 2)
        case _:
            raise unreadable("Its kind of segmentation is not known.")
