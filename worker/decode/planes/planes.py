"""From headers to planes: one record per single-frame image, and per frame of an Enhanced object."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from worker.decode.outcomes import VolumeError
from worker.decode.planes.mosaic import refuse_mosaic
from worker.decode.planes.plane_attributes import Marks, marks_of
from worker.domain.study import InstanceHeader
from worker.domain.volume import SliceRef
from worker.functional_groups.groups import FunctionalGroups
from worker.headers.attributes import Attributes, floats, vector
from worker.headers.frame_attributes import attributes_of_frames


@dataclass(frozen=True, slots=True)
class Plane:
    """One image in space. ``instance`` and ``frame`` (from 0) say where its pixels are.

    ``marks`` says what kind of image it is (``marks.marks_of``).
    """

    ref: SliceRef
    instance: int
    frame: int
    rows: int
    columns: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, ...] | None
    thickness_mm: float | None
    frame_of_reference_uid: str
    marks: Marks = field(repr=False)


def planes_of(header: InstanceHeader, dataset: Dataset, *, instance: int) -> list[Plane]:
    """Planes of one instance; ``instance`` is its number in the list that the caller keeps.

    Raises
    ------
    VolumeError
        ``no-geometry`` when a multi-frame object has no functional group per frame; ``bad-geometry`` of a mosaic.
    """
    groups = FunctionalGroups(dataset)
    frames = header.number_of_frames
    if not groups and frames == 1:
        refuse_mosaic(header, dataset)
        attributes = dict(header.attributes)
        return [_plane(header, attributes, marks_of(attributes, dataset), instance=instance, frame=0, number=None)]
    if groups.described != frames and not (frames == 1 and groups.described == 0):
        raise VolumeError(
            f"Instance {header.instance.sop_instance_uid} has {frames} frames and says where {groups.described} of "
            "them are; one position per frame was expected.",
            next_step="Exclude such series by a rule, or have them sent as single images.",
            code="no-geometry",
        )
    return [
        _plane(header, attributes, marks_of(attributes), instance=instance, frame=index, number=index + 1)
        for index, attributes in enumerate(attributes_of_frames(dataset, frames))
    ]


def _plane(
    header: InstanceHeader, attributes: Attributes, marks: Marks, *, instance: int, frame: int, number: int | None
) -> Plane:
    thickness = floats(attributes, "SliceThickness")
    return Plane(
        ref=SliceRef(header.instance.sop_instance_uid, number),
        instance=instance,
        frame=frame,
        rows=header.rows or 0,
        columns=header.columns or 0,
        position=vector(attributes, "ImagePositionPatient", 3),
        orientation=vector(attributes, "ImageOrientationPatient", 6),
        pixel_spacing_mm=vector(attributes, "PixelSpacing", 2),
        thickness_mm=thickness[0] if thickness and thickness[0] > 0 else None,
        frame_of_reference_uid=header.frame_of_reference_uid or "",
        marks=marks,
    )
