"""Gate checks of the reports: references, measured values, outlines, and what a viewer needs to open them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.domain.findings import Conclusion, Measurement, Segment, Segmentation
from worker.domain.result import Check
from worker.results.gate_content import nameless_or_empty, reference_check
from worker.results.gate_header import SEG_CLASS
from worker.results.gate_reading import Inspection, checked, children, code_of, content_items, only_child

_TRACKING_IDENTIFIER, _TRACKING_UID = "112039", "112040"
_REGION, _SEGMENT = "111030", "121191"
_VOLUME, _AREA = ("118565006", "SCT"), ("42798000", "SCT")

_ROUNDING = 2e-5
"""Relative: values are written with six significant digits."""


def report_checks(ds: Dataset, segs: Sequence[tuple[Dataset, Segmentation]], given: Inspection) -> Iterator[Check]:
    """Yield the checks of a measurement report; ``segs`` are the SEGs with the findings that they encode."""
    conclusion, evidence = given.conclusion, given.evidence
    yield checked("sr-form", "TID 1500, 126000", lambda: _form(ds))
    yield checked("sr-content", "every content item has its name and value", lambda: nameless_or_empty(ds))
    yield checked("sr-context", "language, device observer, procedure", lambda: _context(ds))
    yield reference_check("sr", ds, [seg for seg, _ in segs], conclusion, evidence)
    yield checked("sr-groups", "two groups a structure, one tracking UID", lambda: _groups(ds, segs, conclusion))
    yield checked("sr-measurements", "values equal the findings", lambda: _measurements(ds, segs, conclusion))
    yield checked("sr-outlines", "closed, inside the image, around the mask", lambda: _outlines(ds, segs, conclusion))


def text_checks(ds: Dataset, given: Inspection) -> Iterator[Check]:
    """Yield the checks of a text report."""
    conclusion, evidence = given.conclusion, given.evidence
    yield checked("text-form", "TID 2000, 18748-4", lambda: _text_form(ds))
    yield checked("text-content", "every content item has its name and value", lambda: nameless_or_empty(ds))
    yield reference_check("text", ds, [], conclusion, evidence)
    yield checked("text-statements", "every absence is stated", lambda: _statements(ds, conclusion))


def _form(ds: Dataset) -> Iterator[str]:
    if code_of(ds) != ("126000", "DCM"):
        yield f"title {code_of(ds)}, expected 126000: viewers take any other for a text document"
    template = ds.ContentTemplateSequence[0]
    if (template.MappingResource, template.TemplateIdentifier) != ("DCMR", "1500"):
        yield "the root does not name template DCMR 1500"


def _text_form(ds: Dataset) -> Iterator[str]:
    if code_of(ds) != ("18748-4", "LN"):
        yield f"title {code_of(ds)}, expected (18748-4, LN)"
    template = ds.ContentTemplateSequence[0]
    if (template.MappingResource, template.TemplateIdentifier) != ("DCMR", "2000"):
        yield "the root does not name template DCMR 2000"
    if not only_child(ds, "121012").UID:
        yield "no device observer UID"


def _context(ds: Dataset) -> Iterator[str]:
    if code_of(only_child(ds, "121005"), "ConceptCodeSequence") != ("121007", "DCM"):
        yield "the observer is not a device"
    if str(only_child(ds, "121012").UID) != str(ds.DeviceUID):
        yield "the device observer UID is not the equipment's"
    for code, what in (
        ("121013", "name"),
        ("121014", "manufacturer"),
        ("121015", "model"),
        ("121016", "serial number"),
    ):
        if not only_child(ds, code).TextValue:
            yield f"no device observer {what}"
    if not code_of(only_child(ds, "121058"), "ConceptCodeSequence")[0]:
        yield "no procedure reported"
    if not code_of(only_child(ds, "121049"), "ConceptCodeSequence")[0]:
        yield "no language"


def _by_tracking(ds: Dataset) -> dict[str, list[Dataset]]:
    groups: dict[str, list[Dataset]] = {}
    for group in children(only_child(ds, "126010"), "125007"):
        groups.setdefault(str(only_child(group, _TRACKING_UID).UID), []).append(group)
    return groups


def _structures(
    ds: Dataset, segs: Sequence[tuple[Dataset, Segmentation]]
) -> Iterator[tuple[Dataset, Segment, Segmentation, Dataset, Dataset]]:
    """(SEG, segment, finding, group with the outline, group with the segment) of every structure; ValueError if not."""
    groups = _by_tracking(ds)
    for seg, finding in segs:
        for item, segment in zip(seg.SegmentSequence, finding.segments, strict=True):
            own = groups[str(item.TrackingUID)]
            planar = [group for group in own if children(group, _REGION)]
            volumetric = [group for group in own if children(group, _SEGMENT)]
            if len(own) != 2 or len(planar) != 1 or len(volumetric) != 1:
                raise ValueError(f"segment {segment.number}")
            yield seg, segment, finding, planar[0], volumetric[0]


def _groups(ds: Dataset, segs: Sequence[tuple[Dataset, Segmentation]], conclusion: Conclusion) -> Iterator[str]:
    expected = sum(len(finding.segments) for _, finding in segs)
    if len(_by_tracking(ds)) != expected:
        yield f"{len(_by_tracking(ds))} tracking UIDs, expected {expected}"
    for seg, segment, _, planar, volumetric in _structures(ds, segs):
        for group, template in ((planar, "1410"), (volumetric, "1411")):
            for problem in _group(group, template, segment, conclusion):
                yield f"segment {segment.number}, TID {template}: {problem}"
        reference = only_child(volumetric, _SEGMENT).ReferencedSOPSequence[0]
        if (str(reference.ReferencedSOPInstanceUID), str(reference.ReferencedSOPClassUID)) != (
            str(seg.SOPInstanceUID),
            SEG_CLASS,
        ):
            yield f"segment {segment.number}: the group names another object than the SEG"
        numbers = reference.ReferencedSegmentNumber
        if (int(numbers) if isinstance(numbers, int) else [int(n) for n in numbers]) not in (
            segment.number,
            [segment.number],
        ):
            yield f"segment {segment.number}: the group names segment {numbers}"
        if str(only_child(volumetric, "121232").UID) != conclusion.volume.series_instance_uid:
            yield f"segment {segment.number}: the group names another source series"


def _group(group: Dataset, template: str, segment: Segment, conclusion: Conclusion) -> Iterator[str]:
    if str(group.ContentTemplateSequence[0].TemplateIdentifier) != template:
        yield "wrong template identifier"
    if str(only_child(group, _TRACKING_IDENTIFIER).TextValue) != segment.tracking_identifier:
        yield "wrong tracking identifier"
    if code_of(only_child(group, "121071"), "ConceptCodeSequence") != (segment.type.value, segment.type.scheme):
        yield "finding is not the segment's type"
    if segment.laterality is not None:
        sides = [
            code_of(side, "ConceptCodeSequence")
            for site in children(group, "363698007", "SCT")
            for side in children(site, "272741003", "SCT")
        ]
        if sides and sides != [(segment.laterality.value, segment.laterality.scheme)]:
            yield "wrong laterality"
    if str(only_child(group, "111001").TextValue) != conclusion.algorithm.title:
        yield "wrong algorithm name"
    if str(only_child(group, "111003").TextValue) != conclusion.algorithm.model.version:
        yield "wrong algorithm version"
    parameters = " ".join(str(item.TextValue) for item in children(group, "111002"))
    if conclusion.algorithm.model.digest not in parameters:
        yield "the algorithm's parameters do not hold the model's digest"


def _measurements(ds: Dataset, segs: Sequence[tuple[Dataset, Segmentation]], conclusion: Conclusion) -> Iterator[str]:
    voxels = {id(finding): _voxels(finding) for _, finding in segs}
    for _, segment, finding, planar, volumetric in _structures(ds, segs):
        found = _numbers(volumetric)
        concluded = {(m.name.value, m.name.scheme): m for m in segment.measurements}
        for name, measurement in concluded.items():
            yield from _compare(segment, found.pop(name, None), measurement.value, measurement)
        millilitres = float(voxels[id(finding)][segment.number]) * conclusion.volume.geometry.voxel_volume_mm3 / 1000
        volume = concluded.get(_VOLUME)
        if volume is None:
            yield from _compare(segment, found.pop(_VOLUME, None), millilitres, None)
        elif volume.unit.ucum == "mL" and abs(volume.value - millilitres) > 1e-3 * millilitres:
            yield f"segment {segment.number}: concluded {volume.value:.6g} mL, its mask has {millilitres:.6g}"
        if found:
            yield f"segment {segment.number}: a value that was not concluded"
        if set(_numbers(planar)) != {_AREA}:
            yield f"segment {segment.number}: the outline has other values than its area"


def _voxels(finding: Segmentation) -> NDArray[np.int64]:
    """Voxel count by label; slice by slice, because bincount makes wide copies."""
    width = max(int(finding.labels.max(initial=0)), len(finding.segments)) + 1
    total = np.zeros(width, dtype=np.int64)
    for plane in finding.labels:
        total += np.bincount(plane.ravel(), minlength=width)
    return total


def _numbers(group: Dataset) -> dict[tuple[str, str], tuple[float, str]]:
    """Value and unit of every NUM of a group, by concept name."""
    numbers = {}
    for item in group.ContentSequence:
        if item.ValueType == "NUM":
            measured = item.MeasuredValueSequence[0]
            unit, scheme = code_of(measured, "MeasurementUnitsCodeSequence")
            numbers[code_of(item)] = (float(measured.NumericValue), unit if scheme == "UCUM" else "")
    return numbers


def _compare(
    segment: Segment, found: tuple[float, str] | None, value: float, measurement: Measurement | None
) -> Iterator[str]:
    what = measurement.name.meaning if measurement is not None else "Volume"
    unit = measurement.unit.ucum if measurement is not None else "mL"
    if found is None:
        yield f"segment {segment.number}: no {what}"
    elif found[1] != unit or abs(found[0] - value) > _ROUNDING * abs(value):
        yield f"segment {segment.number}: {what} is {found[0]:.6g} {found[1]}, concluded was {value:.6g} {unit}"


def _outlines(ds: Dataset, segs: Sequence[tuple[Dataset, Segmentation]], conclusion: Conclusion) -> Iterator[str]:
    volume = conclusion.volume
    slices = {(str(ref.sop_instance_uid), ref.frame_number): k for k, ref in enumerate(volume.slices)}
    for _, segment, finding, planar, _ in _structures(ds, segs):
        region = only_child(planar, _REGION)
        image = region.ContentSequence[0]
        reference = image.ReferencedSOPSequence[0]
        frame = reference.get("ReferencedFrameNumber")
        index = slices.get((str(reference.ReferencedSOPInstanceUID), None if frame is None else int(frame)))
        prefix = f"segment {segment.number}: the outline"
        if index is None:
            yield f"{prefix} is on no analysed image"
            continue
        if image.RelationshipType != "SELECTED FROM" or region.ValueType != "SCOORD":
            yield f"{prefix} is not SELECTED FROM its image"
        points = np.array([float(v) for v in region.GraphicData]).reshape(-1, 2)
        mask = finding.labels[index] == segment.number
        area_mm2 = _numbers(planar)[_AREA]
        for problem in _polygon(region.GraphicType, points, mask, area_mm2, conclusion):
            yield f"{prefix} {problem}"


def _polygon(
    graphic_type: str,
    points: NDArray[np.float64],
    mask: NDArray[np.bool_],
    area_mm2: tuple[float, str],
    conclusion: Conclusion,
) -> Iterator[str]:
    rows, columns = mask.shape
    if graphic_type != "POLYLINE" or len(points) < 4 or not np.array_equal(points[0], points[-1]):
        yield "is no closed POLYLINE"
        return
    if points.min() < 0 or points[:, 0].max() > columns or points[:, 1].max() > rows:
        yield "leaves the image"
        return
    if not all(_touches(mask, x, y) for x, y in points):
        yield "does not run along the mask"
    x, y = points[:, 0], points[:, 1]
    enclosed = abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))) / 2
    length = float(np.sum(np.hypot(np.diff(x), np.diff(y))))
    _, row_mm, column_mm = conclusion.volume.geometry.spacing_mm
    stated, unit = area_mm2[0] / (row_mm * column_mm), area_mm2[1]
    # The outline is simplified by up to half a pixel.
    if unit != "mm2" or abs(enclosed - stated) > 0.5 * length + 1:
        yield f"encloses {enclosed:.0f} pixels, its stated area is {stated:.0f}"


def _touches(mask: NDArray[np.bool_], x: float, y: float) -> bool:
    """Tell whether a pixel of the mask is within one pixel of a point (column, row; corners are whole numbers)."""
    rows = slice(max(int(np.floor(y)) - 1, 0), int(np.ceil(y)) + 1)
    columns = slice(max(int(np.floor(x)) - 1, 0), int(np.ceil(x)) + 1)
    return bool(mask[rows, columns].any())


def _statements(ds: Dataset, conclusion: Conclusion) -> Iterator[str]:
    said = [str(item.TextValue) for item in content_items(ds) if item.get("ValueType") == "TEXT"]
    for label in conclusion.absent:
        if not any(text.startswith("Not found") and label in text for text in said):
            yield f"the absence of {label} is not stated"
    if not any("AI DRAFT" in text for text in said):
        yield "the text does not say that it is an AI draft"
