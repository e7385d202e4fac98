"""What the encoded result objects show, read from their bytes and put on the pixels of their evidence.

So a person sees what the radiologist gets, not what the model meant: an error of the encoding would be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from worker.domain.errors import OverreadError
from worker.domain.regions import Shape
from worker.domain.result import ResultKind
from worker.domain.volume import Volume
from worker.functional_groups.groups import items_of
from worker.pictures.reading.content_tree import descendants, instances_in
from worker.pictures.reading.frames import slice_numbers
from worker.pictures.reading.parametric_map import read_heat_map
from worker.pictures.reading.part10 import read_object, unreadable
from worker.pictures.reading.report import Group, Outline, Report, read_report, shapes_of
from worker.pictures.reading.segmentation import algorithm_of, read_segments
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

    ``key_images`` are the pictures that plain viewers get, ``key_instances`` what a Key Object Selection points at
    (SOP Instance UID, frame). ``contributions`` are descriptions of contributing equipment, ``algorithms`` names and
    versions.
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
        slices = slice_numbers(volume)
        structures = tuple(self.structures.values())
        marks: list[Mark] = []
        key_slices = [slices[one] for one in self.key_instances if one in slices]
        for group in self.groups:
            found = _marks(group, volume, slices)
            if group.tracking_uid in self.structures:
                # Its outline is drawn from the segmentation already.
                key_slices += [mark.slice_index for mark in found]
            else:
                marks += found
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
        except Exception as error:  # noqa: BLE001 - whatever pydicom and its decoders meet in broken bytes
            found.problems.append(Problem(uid, kind, f"It cannot be read back ({type(error).__name__})."))
    return found


def _read(found: ReadBack, kind: ResultKind, ds: Dataset, volume: Volume | None) -> None:
    found.contributions |= _contributions(ds)
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
                found.key_images += list(_pictures(ds, _MOST_KEY_IMAGES - len(found.key_images)))
        case ResultKind.KEY:
            found.key_instances += _key_instances(ds)
        case ResultKind.KOS | ResultKind.PR:
            pass  # a withdrawal shows nothing; a presentation state repeats the outlines of the report


def _contributions(ds: Dataset) -> set[str]:
    """What each piece of Contributing Equipment says that it did (PS3.3 C.12.1)."""
    said = (item.get("ContributionDescription") for item in items_of(ds, "ContributingEquipmentSequence"))
    return {str(text) for text in said if text}


def _key_instances(ds: Dataset) -> list[tuple[str, int | None]]:
    """What a Key Object Selection points at (PS3.16 TID 2010)."""
    found = [one for item in descendants(ds) for one in instances_in(item)]
    if any(not uid for uid, _ in found):
        raise unreadable("It cannot be read back: it points at an instance without a UID.")
    return found


def _pictures(ds: Dataset, most: int) -> Iterator[Image.Image]:
    for n in range(min(int(ds.get("NumberOfFrames") or 1), most)):
        plane = np.asarray(pixel_array(ds, index=n))
        if plane.dtype != np.uint8:
            raise unreadable("Its pixels have more than 8 bits.")
        yield Image.fromarray(plane).convert("RGB")


def _marks(group: Group, volume: Volume, slices: Mapping[tuple[str, int | None], int]) -> list[Mark]:
    """The shapes of one thing; on several slices each stands for all of them."""
    found = [one for outline in group.outlines for one in _placed(outline, volume, slices)]
    numbers = [k for _, k in found]
    return [Mark(group.name, _MARK_RGB, shape, k, (min(numbers), max(numbers))) for shape, k in found]


def _placed(
    outline: Outline, volume: Volume, slices: Mapping[tuple[str, int | None], int]
) -> Iterator[tuple[Shape, int]]:
    points, k = outline.points, slices.get((outline.sop_instance_uid, outline.frame_number), -1)
    if points.shape[1] == 3 and volume.in_patient_space:
        index = volume.geometry.to_index(points)
        points, k = index[:, 1:], round(float(index[:, 0].mean()))
    if 0 <= k < len(volume.slices):
        yield from ((shape, k) for shape in shapes_of(outline.graphic_type, points))
