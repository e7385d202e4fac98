"""What the encoded result objects show, read from their bytes and put on the pixels of their evidence.

So a person sees what the radiologist gets, not what the model meant: an error of the encoding would be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from worker.domain.errors import OverreadError
from worker.domain.result import ResultKind
from worker.domain.volume import Volume
from worker.pictures.read_frames import BROKEN, NotShownError, read_object
from worker.pictures.read_map import read_heat_map
from worker.pictures.read_report import Group, Outline, Report, read_report, shapes_of
from worker.pictures.read_seg import algorithm_of, read_segments
from worker.pictures.scene import Heat, Line, Mark, Scene, Structure

_MARK_RGB = (255, 210, 60)
_MOST_KEY_IMAGES = 12


@dataclass(frozen=True, slots=True)
class Problem:
    """An object that is not shown, and why."""

    sop_instance_uid: str
    kind: ResultKind
    reason: str


@dataclass(slots=True)
class ReadBack:
    """What the objects of a job say together; what several of them say alike (for other viewers) is here once.

    ``key_images`` are the pictures that plain viewers get. ``evidence_digests`` and ``model_digests`` are those that
    the objects state.
    """

    reports: list[Report] = field(default_factory=list)
    structures: dict[str, Structure] = field(default_factory=dict)
    heats: dict[str, Heat] = field(default_factory=dict)
    key_images: list[Image.Image] = field(default_factory=list)
    key_instances: list[tuple[str, int | None]] = field(default_factory=list)
    contributions: set[str] = field(default_factory=set)
    algorithms: set[tuple[str, str]] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The measurement groups of all reports, each tracked thing once."""
        seen: dict[str, Group] = {}
        for n, group in enumerate(group for report in self.reports for group in report.groups):
            seen.setdefault(group.tracking_uid or f"group {n}", group)
        return tuple(seen.values())

    def scene(self, volume: Volume, maker: str) -> Scene:
        """Everything that has a place, on the volume."""
        places = {(str(ref.sop_instance_uid), ref.frame_number): k for k, ref in enumerate(volume.slices)}
        marks: list[Mark] = []
        key_slices = [places[one] for one in self.key_instances if one in places]
        for group in self.groups:
            found = [mark for outline in group.outlines for mark in _marks(group, outline, volume, places)]
            if group.tracking_uid in self.structures:
                # Its outline is drawn from the segmentation already.
                key_slices += [mark.slice_index for mark in found]
            else:
                marks += _with_extent(found)
        structures = tuple(self.structures.values())
        return Scene(
            volume=volume,
            maker=maker,
            structures=structures,
            marks=tuple(marks),
            heats=tuple(self.heats.values()),
            key_slices=tuple(dict.fromkeys(key_slices)),
            lines=(
                *(Line(one.label, one.colour_rgb) for one in structures),
                *(Line(label, _MARK_RGB) for label in dict.fromkeys(mark.label for mark in marks)),
            ),
        )


def read_back(objects: Sequence[tuple[ResultKind, str, bytes]], volume: Volume | None) -> ReadBack:
    """Read objects (kind, SOP Instance UID, bytes of the file); without a volume, only what is said in words."""
    found = ReadBack()
    for kind, uid, content in objects:
        try:
            _read(found, kind, read_object(content), volume)
        except OverreadError as error:
            found.problems.append(Problem(uid, kind, error.message))
        except BROKEN as error:
            found.problems.append(Problem(uid, kind, f"It cannot be read back ({type(error).__name__})."))
    return found


def _read(found: ReadBack, kind: ResultKind, ds: Dataset, volume: Volume | None) -> None:
    found.contributions |= set(_contributions(ds))
    match kind:
        case ResultKind.SEG:
            found.algorithms.add(algorithm_of(ds))
            if volume is not None:
                for n, segment in enumerate(read_segments(ds, volume)):
                    key = segment.tracking_uid or f"{ds.SOPInstanceUID} {n}"
                    found.structures.setdefault(key, segment.structure)
        case ResultKind.SR:
            found.reports.append(read_report(ds))
        case ResultKind.PM:
            if volume is not None:
                heat = read_heat_map(ds, volume)
                found.heats.setdefault(heat.label, heat)
        case ResultKind.SC:
            if len(found.key_images) < _MOST_KEY_IMAGES:
                found.key_images += _pictures(ds, _MOST_KEY_IMAGES - len(found.key_images))
        case ResultKind.KEY:
            found.key_instances += _references(ds)
        case ResultKind.KOS | ResultKind.PR:
            pass  # a withdrawal shows nothing; a presentation state repeats the outlines of the report


def _contributions(ds: Dataset) -> Iterator[str]:
    for item in ds.get("ContributingEquipmentSequence") or []:
        if item.get("ContributionDescription"):
            yield str(item.ContributionDescription)


def _pictures(ds: Dataset, most: int) -> list[Image.Image]:
    frames = int(ds.get("NumberOfFrames") or 1)
    planes = [np.asarray(pixel_array(ds, index=n)) for n in range(min(frames, most))]
    if any(plane.dtype != np.uint8 for plane in planes):
        raise NotShownError("Its pixels have more than 8 bits.", code="object-unreadable")
    return [Image.fromarray(plane).convert("RGB") for plane in planes]


def _references(item: Dataset) -> Iterator[tuple[str, int | None]]:
    for child in item.get("ContentSequence") or []:
        for reference in child.get("ReferencedSOPSequence") or []:
            frames = np.atleast_1d(reference.get("ReferencedFrameNumber") or 0)
            yield from ((str(reference.ReferencedSOPInstanceUID), int(frame) or None) for frame in frames)
        yield from _references(child)


def _marks(group: Group, outline: Outline, volume: Volume, places: dict[tuple[str, int | None], int]) -> Iterator[Mark]:
    if outline.shape is not None:
        k = places.get((outline.sop_instance_uid, outline.frame_number))
        if k is not None:
            yield Mark(group.name, _MARK_RGB, outline.shape, k, (k, k))
    elif outline.points_lps_mm is not None and volume.in_patient_space:
        index = volume.geometry.to_index(outline.points_lps_mm)
        k = round(float(index[:, 0].mean()))
        if 0 <= k < len(volume.slices):
            for shape in shapes_of(outline.graphic_type, index[:, 1:]):
                yield Mark(group.name, _MARK_RGB, shape, k, (k, k))


def _with_extent(marks: Sequence[Mark]) -> list[Mark]:
    """Outlines of one thing on several slices: each stands for all of them."""
    if not marks:
        return []
    slices = [mark.slice_index for mark in marks]
    return [replace(mark, extent=(min(slices), max(slices))) for mark in marks]
