"""Measurement groups of segments: an outline that viewers draw, and the whole with its SEG."""

from __future__ import annotations

from collections.abc import Iterator

from worker.domain.codes import MILLILITRE, SQUARE_MILLIMETRE, Code
from worker.domain.findings import Measurement, Segment
from worker.results import coding
from worker.results import content_items as items
from worker.results.context import EncoderInput
from worker.results.seg.segmentation import EncodedSeg
from worker.results.segment_masks import Structure
from worker.results.sr.groups import PLANAR, VOLUMETRIC, Group, Said, Subject, group, number, region_on, same
from worker.results.sr.spatial_coordinates import Graphic


def structure_groups(structure: Structure, part: int, seg: EncodedSeg | None, inputs: EncoderInput) -> Iterator[Group]:
    """A structure: its outline with the area (TID 1410), and the whole of it (TID 1411) by its segment.

    Where no SEG is made for the destination, the second refers to the outline as well.
    """
    segment, volume = structure.segment, inputs.conclusion.volume
    subject = Subject(
        tracking_identifier=segment.tracking_identifier,
        tracking_uid=inputs.uids.tracking(part, segment.tracking_identifier),
        finding=segment.type,
        category=segment.category,
        site=_site(segment),
        laterality=segment.laterality,
    )
    outline = Graphic("POLYLINE", structure.outline.points)
    region = region_on(outline, structure.outline.index, inputs)
    algorithm = inputs.stamp.algorithm
    yield group(PLANAR, subject, algorithm, [region], Said([number(outline_area(structure, inputs))]))
    if seg is None:
        places = [region_on(outline, structure.outline.index, inputs)]
    else:
        places = [
            items.image(
                items.CONTAINS, coding.REFERENCED_SEGMENT,
                (seg.dataset.SOPClassUID, seg.dataset.SOPInstanceUID), segment_number=segment.number,
            ),
            items.uid(items.CONTAINS, coding.SOURCE_SERIES, volume.series_instance_uid),
        ]  # fmt: skip
    measured = [number(one) for one in reported_measurements(structure, inputs)]
    yield group(VOLUMETRIC, subject, algorithm, places, Said(measured, segment.evaluations))


def outline_area(structure: Structure, inputs: EncoderInput) -> Measurement:
    """Area within the outline, in pixels where they have no size."""
    pixel_mm2 = inputs.source.pixel_area_mm2
    if pixel_mm2 is None:
        return Measurement(coding.AREA, float(structure.outline.area_px), coding.PIXELS)
    return Measurement(coding.AREA, structure.outline.area_px * pixel_mm2, SQUARE_MILLIMETRE)


def reported_measurements(structure: Structure, inputs: EncoderInput) -> tuple[Measurement, ...]:
    """Return the segment's measurements, with its volume in front when the model package did not ask for it."""
    measurements, volume = structure.segment.measurements, inputs.conclusion.volume
    has_volume = any(same(one.name, coding.VOLUME) for one in measurements)
    if has_volume or not volume.in_patient_space:
        return measurements
    millilitres = structure.voxels * volume.geometry.voxel_volume_mm3 / 1000
    return (Measurement(coding.VOLUME, millilitres, MILLILITRE), *measurements)


def _site(segment: Segment) -> Code | None:
    """Finding Site: as concluded, else the structure itself where it is anatomy."""
    if segment.site is not None:
        return segment.site
    return segment.type if coding.is_anatomical(segment.category) else None
