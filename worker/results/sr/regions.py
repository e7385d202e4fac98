"""Measurement groups of regions: drawn on an image, boxed on every slice that they reach, and their middle in LPS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset

from worker.domain.codes import MILLIMETRE
from worker.domain.findings import Detection, Measurement, Region
from worker.domain.profile import RegionEncoding
from worker.domain.regions import Line
from worker.results import coding
from worker.results import content_items as items
from worker.results.context import EncoderInput
from worker.results.sr.groups import (
    PLACELESS,
    PLANAR,
    VOLUMETRIC,
    Group,
    Said,
    Subject,
    group,
    image_of,
    number,
    probability,
    region_on,
    same,
)
from worker.results.sr.spatial_coordinates import Graphic, bounds, box, centre, graphic, length, within

LENGTH_TOOL = "Cornerstone3DTools@^0.1.0:Length"
"""Tracking identifier by which OHIF knows a line as one of its own, that a user can edit."""


def region_groups(detection: Detection, part: int, inputs: EncoderInput) -> Iterator[Group]:
    """Regions: drawn on an image; what reaches over several slices is boxed on each of them; the middle in LPS."""
    for region in detection.regions:
        yield from _of_region(region, part, inputs)


def _of_region(region: Region, part: int, inputs: EncoderInput) -> Iterator[Group]:
    subject = Subject(
        tracking_identifier=region.tracking_identifier,
        tracking_uid=inputs.uids.tracking(part, region.tracking_identifier),
        finding=region.type,
        category=region.category,
        site=region.site,
        laterality=region.laterality,
    )
    algorithm, profile = inputs.stamp.algorithm, inputs.profile
    chance = [] if region.probability is None else [probability(region.probability)]
    if isinstance(region.shape, Line):
        yield _line_group(region, region.shape, subject, inputs)
    else:
        in_volume = [one for one in region.measurements if _reaches(region, inputs) and same(one.name, coding.VOLUME)]
        numbers = [number(one) for one in region.measurements if one not in in_volume]
        place = [region_on(_drawn(region, inputs), region.slice_index, inputs)]
        yield group(PLANAR, subject, algorithm, place, Said([*chance, *numbers], region.evaluations))
        if _reaches(region, inputs):
            yield group(VOLUMETRIC, subject, algorithm, _boxes(region, inputs), Said([number(m) for m in in_volume]))
    frame_of_reference = inputs.conclusion.volume.frame_of_reference_uid
    if profile.regions is RegionEncoding.PATIENT and inputs.conclusion.volume.in_patient_space and frame_of_reference:
        yield group(PLANAR, subject, algorithm, _middle(region, inputs, frame_of_reference), Said())


def _drawn(region: Region, inputs: EncoderInput) -> Graphic:
    square = _square(inputs.source.frames[region.slice_index].pixel_spacing_mm)
    rows, columns = inputs.conclusion.volume.geometry.shape[1:]
    return within(graphic(region.shape, square_pixels=square), rows=rows, columns=columns)


def _square(spacing: tuple[float, float] | None) -> bool:
    return spacing is None or abs(spacing[0] - spacing[1]) <= 1e-3 * spacing[0]


def _reaches(region: Region, inputs: EncoderInput) -> bool:
    """Tell whether a region is known to lie on several slices: frames of a cine run are no depth."""
    return region.extent is not None and region.extent[0] < region.extent[1] and (
        inputs.conclusion.volume.in_patient_space
    )  # fmt: skip


def _boxes(region: Region, inputs: EncoderInput) -> list[Dataset]:
    first, last = region.extent or (region.slice_index, region.slice_index)
    rows, columns = inputs.conclusion.volume.geometry.shape[1:]
    around = within(Graphic("POLYLINE", box(bounds(region.shape))), rows=rows, columns=columns)
    # Viewers that draw one contour of a volume draw the first: that of the slice which shows it best.
    order = sorted(range(first, last + 1), key=lambda index: index != region.slice_index)
    return [region_on(around, index, inputs) for index in order]


def _middle(region: Region, inputs: EncoderInput, frame_of_reference_uid: str) -> list[Dataset]:
    """The only SCOORD3D that viewers bear is a POINT: where the middle of the region is."""
    index = np.array([[region.slice_index, *centre(region.shape)]])
    points = inputs.conclusion.volume.geometry.to_patient_mm(index)
    return [
        items.code(items.CONTAINS, coding.GEOMETRIC_PURPOSE, coding.CENTER),
        items.place_in_patient(
            items.CONTAINS, coding.IMAGE_REGION, points, frame_of_reference_uid=frame_of_reference_uid
        ),
    ]


def _line_group(region: Region, line: Line, subject: Subject, inputs: EncoderInput) -> Group:
    """A line is no region (TID 1410): its place belongs to its numbers (TID 300 and 320)."""
    drawn = _drawn(region, inputs)
    spacing = inputs.source.frames[region.slice_index].pixel_spacing_mm
    measured = region.measurements
    if not measured:
        unit = coding.PIXELS if spacing is None else MILLIMETRE
        measured = (Measurement(coding.LENGTH, length(line, spacing or (1.0, 1.0)), unit),)
    numbers = []
    for one in measured:
        image = image_of(region.slice_index, inputs)
        numbers.append(number(one, [items.place(items.INFERRED, coding.SOURCE, drawn.kind, drawn.points, image)]))
    # OHIF 3.13 swaps the spacings of pixels that are not square when it takes over a line, and shows another length.
    if inputs.profile.editable_measurements and len(line.points) == 2 and _square(spacing):
        subject = replace(subject, tracking_identifier=LENGTH_TOOL)
    chance = [] if region.probability is None else [probability(region.probability)]
    return group(PLACELESS, subject, inputs.stamp.algorithm, (), Said([*numbers, *chance], region.evaluations))
