"""What a report says, from its bytes: measurement groups of TID 1500, and the sentences of a text report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from worker.domain.regions import Circle, Ellipse, Line, Point, Polygon, Shape
from worker.functional_groups.groups import items_of
from worker.pictures.reading.content_tree import CHILDREN, code_in, descendants, instances_in, name_of, text_of
from worker.pictures.reading.part10 import first_item, unreadable

_CONTEXT = frozenset(
    {
        codes.DCM.LanguageOfContentItemAndDescendants, codes.DCM.ObserverType, codes.DCM.ProcedureReported,
        codes.DCM.ImageLibrary, codes.DCM.AlgorithmFamily, codes.DCM.AlgorithmName, codes.DCM.AlgorithmParameters,
        codes.DCM.AlgorithmVersion, codes.DCM.AlgorithmManufacturer,
    }
)  # fmt: skip
"""Concepts that say who reported on what, and how, not what was found."""

_NO_ANSWERS = _CONTEXT | {
    codes.DCM.Finding, codes.SCT.FindingsCategoryType, codes.SCT.FindingSite, codes.DCM.TrackingIdentifier,
    codes.DCM.TrackingUniqueIdentifier,
}  # fmt: skip
_QUALIFIERS = frozenset({codes.DCM.Derivation, codes.SCT.MeasurementMethod})


@dataclass(frozen=True, slots=True)
class Number:
    """A measured value as it is written, with its unit in UCUM; ``qualifiers`` are derivation and method."""

    name: str
    value: str
    unit: str
    qualifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """Points of a Graphic Type (0070,0023): indices (n, 2: row, column) of an image, or LPS in mm (n, 3).

    ``frame_number`` counts from 1; None for a single-frame image. ``sop_instance_uid`` is empty in the patient.
    """

    graphic_type: str
    points: NDArray[np.float64]
    sop_instance_uid: str = ""
    frame_number: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A measurement group (PS3.16 TID 1410, 1411, 1501), or several of one tracking UID taken together.

    ``answers`` are qualitative evaluations: name and value.
    """

    tracking_identifier: str = ""
    tracking_uid: str = ""
    finding: str = ""
    sites: tuple[str, ...] = ()
    numbers: tuple[Number, ...] = ()
    answers: tuple[tuple[str, str], ...] = ()
    outlines: tuple[Outline, ...] = ()

    @property
    def name(self) -> str:
        """The tracking identifier, else what was found, for people."""
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
    groups: tuple[Group, ...] = ()
    sentences: tuple[Sentence, ...] = ()


def read_report(ds: Dataset) -> Report:
    """Read a document; parts that cannot be understood are left out. Person names are never read.

    Raises NotShownError (``object-unreadable``) for one without content items.
    """
    if not items_of(ds, CHILDREN):
        raise unreadable("It cannot be read back: it has no content.")
    things: dict[str, list[Dataset]] = {}
    for n, group in enumerate(item for item in descendants(ds) if name_of(item) == codes.DCM.MeasurementGroup):
        items = items_of(group, CHILDREN)
        uid = next((text_of(item) for item in items if name_of(item) == codes.DCM.TrackingUniqueIdentifier), "")
        # Groups of one tracking UID are one thing: its outline in one, its volume in another.
        things.setdefault(uid or f"group {n}", []).extend(items)
    return Report(name_of(ds).meaning, tuple(map(_group, things.values())), tuple(_sentences(ds, "")))


def _group(items: Sequence[Dataset]) -> Group:
    named = {name_of(item): text for item in reversed(items) if (text := text_of(item))}
    numbers = [item for item in items if item.get("ValueType") == "NUM"]
    answers = [item for item in items if item.get("ValueType") in {"CODE", "TEXT"} and name_of(item) not in _NO_ANSWERS]
    sites = [item for item in items if name_of(item) == codes.SCT.FindingSite]
    # A shape may stand below the value that was inferred from it (TID 320).
    shapes = [*items, *(below for number in numbers for below in descendants(number))]
    return Group(
        tracking_identifier=named.get(codes.DCM.TrackingIdentifier, ""),
        tracking_uid=named.get(codes.DCM.TrackingUniqueIdentifier, ""),
        finding=named.get(codes.DCM.Finding, ""),
        sites=tuple(dict.fromkeys(map(_site, sites))),
        numbers=tuple(dict.fromkeys(map(_number, numbers))),
        answers=tuple(dict.fromkeys((name_of(item).meaning, text_of(item)) for item in answers)),
        outlines=tuple(outline for item in shapes for outline in _outlines(item)),
    )


def _site(item: Dataset) -> str:
    sides = [text_of(child) for child in items_of(item, CHILDREN) if name_of(child) == codes.SCT.Laterality]
    return ", ".join([text_of(item), *map(str.lower, sides)])


def _number(item: Dataset) -> Number:
    name, measured = name_of(item).meaning, first_item(item, "MeasuredValueSequence")
    if not measured:
        reason = code_in(item, "NumericValueQualifierCodeSequence").meaning
        return Number(name, "", "", (reason or "not measured",))
    qualifiers = [text_of(child) for child in items_of(item, CHILDREN) if name_of(child) in _QUALIFIERS]
    unit = code_in(measured, "MeasurementUnitsCodeSequence").value
    return Number(name, str(measured.get("NumericValue", "")), unit, tuple(filter(None, qualifiers)))


def _outlines(item: Dataset) -> Iterator[Outline]:
    data, kind = item.get("GraphicData"), str(item.get("GraphicType") or "")
    if data is None:
        return
    match item.get("ValueType"):
        case "SCOORD3D":
            yield Outline(kind, np.array(data, dtype=np.float64).reshape(-1, 3))
        case "SCOORD":
            # (column, row) from the outer corner of the first pixel (PS3.3 C.18.6.1.2); indices count from its centre.
            points = np.array(data, dtype=np.float64).reshape(-1, 2)[:, ::-1] - 0.5
            for image in items_of(item, CHILDREN):
                yield from (Outline(kind, points, uid, frame) for uid, frame in instances_in(image))
        case _:
            pass


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
    for child in items_of(item, CHILDREN):
        name = name_of(child)
        if name in _CONTEXT | {codes.DCM.MeasurementGroup} or child.get("RelationshipType") == "HAS OBS CONTEXT":
            continue
        match child.get("ValueType"):
            case "CONTAINER":
                yield from _sentences(child, name.meaning or section)
            case "TEXT" | "CODE" | "NUM" as value_type:
                number = _number(child) if value_type == "NUM" else None
                text = text_of(child) if number is None else f"{number.value} {number.unit}".strip()
                yield Sentence(section, name.meaning, text)
                yield from _sentences(child, section)
            case _:
                pass  # images, shapes, and names of persons
