"""What a report says, from its bytes: measurement groups of TID 1500, and the sentences of a text report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.domain.regions import Circle, Ellipse, Line, Point, Polygon, Shape

_GROUP = ("125007", "DCM")
_SKIPPED = frozenset(
    {
        ("121049", "DCM"),  # language
        ("121005", "DCM"),  # observer, which the page names by its equipment
        ("121058", "DCM"),  # procedure reported
        ("111028", "DCM"),  # image library
        ("111000", "DCM"), ("111001", "DCM"), ("111002", "DCM"), ("111003", "DCM"), ("122405", "DCM"),  # algorithm
    }
)  # fmt: skip
"""Concepts that say who reported on what, not what was found."""

_FINDING = ("121071", "DCM")
_CATEGORY = ("276214006", "SCT")
_SITE = ("363698007", "SCT")
_LATERALITY = ("272741003", "SCT")
_TRACKING_IDENTIFIER = ("112039", "DCM")
_TRACKING_UID = ("112040", "DCM")
_DERIVATION = ("121401", "DCM")
_METHOD = ("370129005", "SCT")


@dataclass(frozen=True, slots=True)
class Number:
    """A measured value as it is written, with its unit in UCUM; ``qualifiers`` are derivation and method."""

    name: str
    value: str
    unit: str
    qualifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A shape on an image: in its indices (row, column), or in the patient (LPS, mm) when ``shape`` is None.

    ``frame_number`` counts from 1; None for a single-frame image. ``sop_instance_uid`` is empty in the patient.
    """

    shape: Shape | None
    graphic_type: str
    points_lps_mm: NDArray[np.float64] | None = None
    sop_instance_uid: str = ""
    frame_number: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A measurement group (PS3.16 TID 1410, 1411, 1501), or several of one tracking UID taken together."""

    tracking_identifier: str = ""
    tracking_uid: str = ""
    finding: str = ""
    category: str = ""
    sites: tuple[str, ...] = ()
    numbers: tuple[Number, ...] = ()
    answers: tuple[tuple[str, str], ...] = ()
    outlines: tuple[Outline, ...] = ()

    @property
    def name(self) -> str:
        """What people call it."""
        return self.tracking_identifier or self.finding or "unnamed"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A statement of a report: the section that it stands in, what it is, and its words."""

    section: str
    name: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What one SR document says."""

    title: str
    groups: tuple[Group, ...] = field(default=())
    sentences: tuple[Sentence, ...] = ()


def read_report(ds: Dataset) -> Report:
    """Read a document; parts that cannot be understood are left out. Person names are never read."""
    title = _meaning(ds)
    groups = tuple(_group(item) for item in _below(ds) if _code(item) == _GROUP)
    return Report(title=title, groups=_together(groups), sentences=tuple(_sentences(ds, "")))


def _together(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """Groups of one tracking UID are one thing: its outline in one, its volume in another."""
    merged: dict[str, Group] = {}
    for n, group in enumerate(groups):
        key = group.tracking_uid or f"group {n}"
        before = merged.get(key)
        merged[key] = group if before is None else _merged(before, group)
    return tuple(merged.values())


def _merged(one: Group, other: Group) -> Group:
    return Group(
        tracking_identifier=one.tracking_identifier or other.tracking_identifier,
        tracking_uid=one.tracking_uid,
        finding=one.finding or other.finding,
        category=one.category or other.category,
        sites=tuple(dict.fromkeys((*one.sites, *other.sites))),
        numbers=tuple(dict.fromkeys((*one.numbers, *other.numbers))),
        answers=tuple(dict.fromkeys((*one.answers, *other.answers))),
        outlines=(*one.outlines, *other.outlines),
    )


def _group(container: Dataset) -> Group:
    items = list(container.get("ContentSequence") or [])
    values = {_code(item): item for item in reversed(items)}
    known = {_FINDING, _CATEGORY, _SITE, _TRACKING_IDENTIFIER, _TRACKING_UID} | _SKIPPED
    return Group(
        tracking_identifier=_text(values.get(_TRACKING_IDENTIFIER)),
        tracking_uid=_text(values.get(_TRACKING_UID)),
        finding=_text(values.get(_FINDING)),
        category=_text(values.get(_CATEGORY)),
        sites=tuple(_site(item) for item in items if _code(item) == _SITE),
        numbers=tuple(_number(item) for item in items if item.get("ValueType") == "NUM"),
        answers=tuple(
            (_meaning(item), _text(item))
            for item in items
            if item.get("ValueType") in {"CODE", "TEXT"} and _code(item) not in known
        ),
        outlines=tuple(outline for item in (*items, *_under_numbers(items)) for outline in _outlines(item)),
    )


def _under_numbers(items: list[Dataset]) -> Iterator[Dataset]:
    """Shapes that a value was inferred from (TID 320)."""
    for item in items:
        if item.get("ValueType") == "NUM":
            yield from _below(item)


def _site(item: Dataset) -> str:
    sides = [_text(child) for child in item.get("ContentSequence") or [] if _code(child) == _LATERALITY]
    return ", ".join([_text(item), *(side.lower() for side in sides)])


def _number(item: Dataset) -> Number:
    measured = item.get("MeasuredValueSequence") or []
    qualifiers = [_text(child) for child in item.get("ContentSequence") or [] if _code(child) in {_DERIVATION, _METHOD}]
    if not measured:
        reasons = item.get("NumericValueQualifierCodeSequence") or [Dataset()]
        return Number(_meaning(item), "", "", (str(reasons[0].get("CodeMeaning") or "not measured"),))
    units = measured[0].get("MeasurementUnitsCodeSequence") or [Dataset()]
    return Number(
        name=_meaning(item),
        value=str(measured[0].get("NumericValue", "")),
        unit=str(units[0].get("CodeValue") or ""),
        qualifiers=tuple(text for text in qualifiers if text),
    )


def _outlines(item: Dataset) -> Iterator[Outline]:
    value_type, data = item.get("ValueType"), item.get("GraphicData")
    if value_type not in {"SCOORD", "SCOORD3D"} or data is None:
        return
    kind = str(item.get("GraphicType") or "")
    if value_type == "SCOORD3D":
        points = np.array([float(v) for v in data]).reshape(-1, 3)
        yield Outline(None, kind, points_lps_mm=points)
        return
    # (column, row) from the outer corner of the first pixel (PS3.3 C.18.6.1.2); our indices count from its centre.
    places = np.array([float(v) for v in data]).reshape(-1, 2)[:, ::-1] - 0.5
    for image in item.get("ContentSequence") or []:
        for reference in image.get("ReferencedSOPSequence") or []:
            frames = np.atleast_1d(reference.get("ReferencedFrameNumber") or 0)
            uid = str(reference.get("ReferencedSOPInstanceUID") or "")
            for frame in frames:
                for shape in shapes_of(kind, places):
                    yield Outline(shape, kind, sop_instance_uid=uid, frame_number=int(frame) or None)


def shapes_of(graphic_type: str, places: NDArray[np.float64]) -> tuple[Shape, ...]:
    """Shapes of a Graphic Type (0070,0023) through places (n, 2); none for a type that is not known."""
    corners = [(float(row), float(column)) for row, column in places]
    match graphic_type:
        case "POINT" | "MULTIPOINT":
            return tuple(Point(at) for at in corners)
        case "POLYLINE" | "POLYGON" if len(corners) > 3 and corners[0] == corners[-1]:
            return (Polygon(places[:-1]),)
        case "POLYLINE" if len(corners) > 1:
            return (Line(places),)
        case "CIRCLE" if len(corners) == 2:
            return (Circle(corners[0], float(np.linalg.norm(places[1] - places[0]))),)
        case "ELLIPSE" if len(corners) == 4:
            return (Ellipse((corners[0], corners[1]), (corners[2], corners[3])),)
    return ()


def _sentences(item: Dataset, section: str) -> Iterator[Sentence]:
    """Words outside of measurement groups, in order."""
    for child in item.get("ContentSequence") or []:
        if _code(child) in _SKIPPED or _code(child) == _GROUP or child.get("RelationshipType") == "HAS OBS CONTEXT":
            continue
        match child.get("ValueType"):
            case "TEXT" | "CODE" | "NUM":
                number = _number(child) if child.get("ValueType") == "NUM" else None
                text = _text(child) if number is None else f"{number.value} {number.unit}".strip()
                yield Sentence(section, _meaning(child), text)
                yield from _sentences(child, section)
            case "CONTAINER":
                yield from _sentences(child, _meaning(child) or section)
            case _:
                pass  # images, shapes, and names of persons


def _below(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence") or []:
        yield child
        yield from _below(child)


def _code(item: Dataset) -> tuple[str, str]:
    names = item.get("ConceptNameCodeSequence") or [Dataset()]
    value = names[0].get("CodeValue") or names[0].get("LongCodeValue") or ""
    return str(value), str(names[0].get("CodingSchemeDesignator") or "")


def _meaning(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence") or [Dataset()]
    return str(names[0].get("CodeMeaning") or "")


def _text(item: Dataset | None) -> str:
    if item is None:
        return ""
    match item.get("ValueType"):
        case "TEXT":
            return str(item.get("TextValue") or "")
        case "UIDREF":
            return str(item.get("UID") or "")
        case "CODE":
            codes = item.get("ConceptCodeSequence") or [Dataset()]
            return str(codes[0].get("CodeMeaning") or "")
        case _:
            return ""
