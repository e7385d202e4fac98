"""Gate checks of detected regions: drawn where they were concluded, on the right image, with the right numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.domain.findings import Region
from worker.domain.profile import RegionEncoding
from worker.domain.regions import Box, Circle, Ellipse, Line, Point, Polygon, Shape
from worker.gate.reading import Inspection, children
from worker.gate.sr.groups import (
    Expected,
    Groups,
    answers,
    common_problems,
    evaluation_problems,
    number_problems,
    numbers_of,
    of_template,
    slice_of,
)

_REGION = "111030"
_EDITABLE = "Cornerstone3DTools@^0.1.0:Length"
_LENGTH = ("410668003", "SCT"), ("", ""), ("", "")
_TOLERANCE_PX = 1e-2
"""Graphic Data is single precision."""

Places = NDArray[np.float64]


def take_region(groups: Groups, region: Region, given: Inspection) -> tuple[str, list[Dataset]]:
    """Find the groups of a region and the tracking identifier that they must have."""
    shape = region.shape
    _, row_mm, column_mm = given.conclusion.volume.geometry.spacing_mm
    square = abs(row_mm - column_mm) <= 1e-3 * row_mm
    own_tool = given.profile.editable_measurements and isinstance(shape, Line) and len(shape.points) == 2 and square
    name = _EDITABLE if own_tool else region.tracking_identifier
    return name, groups.take(name)


def region_problems(name: str, own: Sequence[Dataset], region: Region, given: Inspection) -> Iterator[str]:
    """Templates, subject, numbers and evaluations."""
    in_patient = given.conclusion.volume.in_patient_space
    spatial = given.profile.regions is RegionEncoding.PATIENT and in_patient
    line = isinstance(region.shape, Line)
    expected = {
        "1410": int(not line) + int(spatial),
        "1411": int(not line and _reaches(region, given)),
        "1501": int(line),
    }
    found = {template: len(of_template(own, template)) for template in expected}
    if found != expected or len(own) != sum(expected.values()):
        yield f"groups by template {found}, expected {expected}"
        return
    said = Expected(name, region.type, region.category, region.site, region.laterality)
    for group in own:
        yield from common_problems(group, said, given)
    if line and not region.measurements:
        if set(numbers_of(own)) - {(("122157", "DCM"), ("", ""), ("", ""))} != {_LENGTH}:
            yield "a line without numbers must state its length"
        yield from _length_problems(own, region, given)
    else:
        yield from number_problems(own, region.measurements, region.probability)
    yield from evaluation_problems(own, answers(region.evaluations))


def _length_problems(own: Sequence[Dataset], region: Region, given: Inspection) -> Iterator[str]:
    volume = given.conclusion.volume
    _, row_mm, column_mm = volume.geometry.spacing_mm
    scale, unit = ((row_mm, column_mm), "mm") if volume.has_spacing else ((1.0, 1.0), "{pixels}")
    assert isinstance(region.shape, Line)  # noqa: S101 - the caller knows it
    steps = np.diff(region.shape.points, axis=0) * scale
    stated = numbers_of(own).get(_LENGTH, (np.nan, ""))
    if stated[1] != unit or not np.isclose(stated[0], np.linalg.norm(steps, axis=1).sum(), rtol=1e-4):
        yield "the stated length is not that of the line"


def _reaches(region: Region, given: Inspection) -> bool:
    extent = region.extent or (0, 0)
    return extent[0] != extent[1] and given.conclusion.volume.in_patient_space


def place_problems(own: Sequence[Dataset], region: Region, given: Inspection) -> Iterator[str]:
    """At least one SCOORD, and every place where it was concluded."""
    drawn = [(group, item) for group in own for item in _places(group)]
    flat = [(group, item) for group, item in drawn if item.ValueType == "SCOORD"]
    if not flat:
        yield "no SCOORD: OHIF would not open the report"
    shown: dict[int, int] = {}
    for group, item in flat:
        image = item.ContentSequence[0]
        index = slice_of(image, given)
        if image.RelationshipType != "SELECTED FROM" or len(item.ContentSequence) != 1:
            yield "a place is not SELECTED FROM one image"
        if index is None:
            yield "a place is on no analysed image"
            continue
        boxed = bool(of_template([group], "1411"))
        if boxed:
            shown[index] = shown.get(index, 0) + 1
        elif index != region.slice_index:
            yield f"drawn on slice {index}, concluded was {region.slice_index}"
        yield from _drawing_problems(item, region.shape, given, boxed=boxed)
    if of_template(own, "1411") and region.extent:
        first, last = region.extent
        if shown != dict.fromkeys(range(first, last + 1), 1):
            yield "not boxed once on every slice of its extent"
    yield from _spatial_problems([item for _, item in drawn if item.ValueType == "SCOORD3D"], region, given)


def _places(group: Dataset) -> Iterator[Dataset]:
    yield from children(group, _REGION)
    for item in group.ContentSequence:
        if item.ValueType == "NUM":
            for child in item.get("ContentSequence") or []:
                if child.ValueType in {"SCOORD", "SCOORD3D"}:
                    if child.RelationshipType != "INFERRED FROM":
                        raise ValueError("a number is not INFERRED FROM its place")
                    yield child


def _drawing_problems(item: Dataset, shape: Shape, given: Inspection, *, boxed: bool) -> Iterator[str]:
    rows, columns = given.conclusion.volume.geometry.shape[1:]
    data = np.array([float(v) for v in item.GraphicData], dtype=np.float64)
    expected_points = {"POINT": 1, "CIRCLE": 2, "ELLIPSE": 4}
    if len(data) % 2 or len(data) / 2 != expected_points.get(item.GraphicType, len(data) / 2):
        yield f"{item.GraphicType} with {len(data)} coordinates"
        return
    points = data.reshape(-1, 2)
    places = points[:, ::-1] - 0.5
    if (points < 0).any() or (points > (columns, rows)).any():
        yield "a place outside of the image"
    closed = item.GraphicType == "POLYLINE" and bool(np.array_equal(points[0], points[-1]))
    if item.GraphicType == "POLYLINE" and closed and len(points) in {4, 5}:
        yield "a closed contour of four or five points, which viewers take for a box of their own"
    low, high = _reach(item.GraphicType, places)
    wanted_low, wanted_high = _bounds(shape)
    edge = np.array([rows, columns]) - 0.5
    wanted_low, wanted_high = np.clip(wanted_low, -0.5, edge), np.clip(wanted_high, -0.5, edge)
    near = np.allclose(low, wanted_low, atol=_TOLERANCE_PX) and np.allclose(high, wanted_high, atol=_TOLERANCE_PX)
    if not near:
        yield "not drawn where it was concluded"
    elif not boxed:
        whole = bool((_bounds(shape)[0] >= -0.5).all() and (_bounds(shape)[1] <= edge).all())
        yield from _kind_problems(item.GraphicType, places, shape, closed=closed, whole=whole)


def _kind_problems(kind: str, places: Places, shape: Shape, *, closed: bool, whole: bool) -> Iterator[str]:
    match shape:
        case Point():
            good = kind == "POINT"
        case Line(points):
            good = kind == "POLYLINE" and not closed and (not whole or _same(places, points))
        case Polygon(points):
            good = kind == "POLYLINE" and closed and (not whole or all(_on(places, corner) for corner in points))
        case Box():
            good = kind == "POLYLINE" and closed
        case Circle() | Ellipse():
            good = kind in {"CIRCLE", "ELLIPSE"} if whole else closed
    if not good:
        yield f"a {kind} that is not the shape that was concluded"


def _same(places: Places, points: Places) -> bool:
    return places.shape == points.shape and bool(np.allclose(places, points, atol=_TOLERANCE_PX))


def _on(places: Places, corner: Places) -> bool:
    return bool((np.abs(places - corner).max(axis=1) < _TOLERANCE_PX).any())


def _bounds(shape: Shape) -> tuple[Places, Places]:
    """Lowest and highest (row, column) that a shape reaches."""
    match shape:
        case Point(at):
            corners = np.array([at, at])
        case Box(first, last):
            corners = np.array([first, last])
        case Line(points) | Polygon(points):
            corners = np.asarray(points, dtype=np.float64)
        case Circle(centre, radius):
            corners = np.array([centre, centre]) + np.array([[-radius] * 2, [radius] * 2])
        case Ellipse(major, minor):
            return _reach("ELLIPSE", np.array([*major, *minor]))
    return corners.min(axis=0), corners.max(axis=0)


def _reach(kind: str, places: Places) -> tuple[Places, Places]:
    """Lowest and highest (row, column) of what Graphic Data draws."""
    if kind == "CIRCLE":
        radius = float(np.hypot(*(places[1] - places[0])))
        return places[0] - radius, places[0] + radius
    if kind == "ELLIPSE":
        first, second = (places[1] - places[0]) / 2, (places[3] - places[2]) / 2
        half = np.sqrt(first**2 + second**2)
        middle = (places[0] + places[1]) / 2
        return middle - half, middle + half
    return places.min(axis=0), places.max(axis=0)


def _spatial_problems(items: Sequence[Dataset], region: Region, given: Inspection) -> Iterator[str]:
    volume = given.conclusion.volume
    wanted = given.profile.regions is RegionEncoding.PATIENT and volume.in_patient_space
    if len(items) != int(wanted):
        yield f"{len(items)} places in patient coordinates, expected {int(wanted)}"
    low, high = _bounds(region.shape)
    index = np.array([region.slice_index, *((low + high) / 2)])
    for item in items:
        if item.GraphicType != "POINT":
            yield f"a SCOORD3D {item.GraphicType}: viewers bear no other than POINT"
        elif not np.allclose([float(v) for v in item.GraphicData], volume.geometry.to_patient_mm(index), atol=0.05):
            yield "the place in patient coordinates is another"
        if str(item.ReferencedFrameOfReferenceUID) != volume.frame_of_reference_uid:
            yield "another Frame of Reference"
