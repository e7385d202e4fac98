"""Gate checks of what a presentation state draws on a slice, in which colour, and what it writes beside it.

Coordinates are (column, row) in pixels from the outer corner of the first pixel (PS3.3 C.10.5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.gate.display.key_slices import edges_on, key_of, slices_by_key
from worker.gate.display.slice_text import DRAFT, joined, lines_of, made_by
from worker.gate.reading import Inspection
from worker.gate.seg.segments import is_colour

_POINTS = {"POINT": (1, 1), "POLYLINE": (2, 10_000), "CIRCLE": (2, 2), "ELLIPSE": (4, 4)}
"""Least and most points of a graphic type (PS3.3 C.10.5.1.2)."""

_NEAR_PX = 1.5
_DRAWN = 0.9
"""Share of the points of an outline that must lie on an edge of what was found."""

_BESIDE_PX = 3.0
_MOST_CHARACTERS = 1024
"""Of Unformatted Text Value, a ST."""

_TEXT_LAYER = "AI_DRAFT_TEXT"
_HOTTEST = (235, 235, 235)

_Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Thing:
    """What was found on a slice: its edge, its colour, and what is written beside it."""

    edge: _Points
    colour_rgb: tuple[int, int, int]
    text: str
    is_area: bool = True
    """False for the highest places of a heat map, any of which may be marked."""


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """A graphic object: the points that it is given by, places along it, its layer, and what it lies along."""

    points: _Points
    along: _Points
    layer: str
    things: list[_Thing]


def graphics_problems(ds: Dataset, given: Inspection) -> Iterator[str]:
    """Each thing that was found is drawn along its edge in its colour and named beside it, and nothing else is."""
    known = slices_by_key(given.conclusion)
    by_slice: dict[int, list[Dataset]] = {}
    for annotation in ds.GraphicAnnotationSequence:
        (image,) = annotation.ReferencedImageSequence
        by_slice.setdefault(known[key_of(image)], []).append(annotation)
        for item in annotation.get("GraphicObjectSequence") or []:
            yield from _form(item, given)
    for index, holders in by_slice.items():
        things = list(_things(index, given))
        drawn = list(_drawn(holders, things))
        yield from _along(index, things, drawn)
        yield from _coloured(ds, drawn)
        yield from _named(index, holders, things, drawn)


def text_problems(ds: Dataset, given: Inspection) -> Iterator[str]:
    """What is written over each image: that it is a draft, of which model, and what was found on it."""
    known = slices_by_key(given.conclusion)
    found = list(lines_of(given.conclusion))
    written: dict[int, list[str]] = {}
    for annotation in ds.GraphicAnnotationSequence:
        index = known[key_of(annotation.ReferencedImageSequence[0])]
        over = written.setdefault(index, [])
        for item in annotation.get("TextObjectSequence") or []:
            if item.BoundingBoxTextHorizontalJustification != "LEFT":
                yield "a text does not begin at the left of its box"
            if item.BoundingBoxAnnotationUnits == "DISPLAY":
                over.append(str(item.UnformattedTextValue))
                if annotation.GraphicLayer != _TEXT_LAYER:
                    yield "what is said of an image is in the layer of a graphic"
            elif item.BoundingBoxAnnotationUnits != "PIXEL":
                yield "a text in other units than those of the image or the display"
    for index, texts in written.items():
        lines = [one.words for one in found if one.index == index]
        expected = joined([DRAFT, made_by(given.conclusion.algorithm), *lines], "\r\n")
        if len(texts) != 1 or not expected.are(texts[0], _MOST_CHARACTERS):
            yield f"slice {index + 1} does not say what was found on it, by which model, as a draft, and no more"


def _form(item: Dataset, given: Inspection) -> Iterator[str]:
    _, rows, columns = given.conclusion.volume.geometry.shape
    points = _points_of(item)
    least, most = _POINTS[item.GraphicType]
    if not least <= len(points) <= most or int(item.NumberOfGraphicPoints) != len(points):
        yield f"a {item.GraphicType} of {len(points)} points"
    if item.GraphicAnnotationUnits != "PIXEL" or item.GraphicDimensions != 2 or item.get("GraphicFilled", "N") != "N":
        yield "a graphic is not in pixels, or filled"
    if points.min() < 0 or points[:, 0].max() > columns or points[:, 1].max() > rows:
        yield "a graphic leaves the image"


def _things(index: int, given: Inspection) -> Iterator[_Thing]:
    conclusion = given.conclusion
    shape = conclusion.volume.geometry.shape
    limits = np.array([shape[2], shape[1]], dtype=np.float64)
    for one in edges_on(index, conclusion, given.profile):
        yield _Thing(np.clip(one.places[:, ::-1] + 0.5, 0.0, limits), one.colour_rgb, one.label)
    for heat_map in conclusion.heat_maps:
        highest = [float(plane.max()) for plane in heat_map.values]
        if highest[index] == max(highest):
            places = np.argwhere(heat_map.values[index] == max(highest))[:, ::-1].astype(np.float64) + 0.5
            is_first = int(np.argmax(highest)) == index
            yield _Thing(places, _HOTTEST, f"highest: {heat_map.label}" if is_first else "", is_area=False)


def _drawn(holders: Sequence[Dataset], things: Sequence[_Thing]) -> Iterator[_Drawn]:
    for annotation in holders:
        for item in annotation.get("GraphicObjectSequence") or []:
            points = _points_of(item)
            along = _around(points) if item.GraphicType == "CIRCLE" else points
            near = [thing for thing in things if _share_near(along, thing.edge) >= _DRAWN]
            yield _Drawn(points, along, str(annotation.GraphicLayer), near)


def _along(index: int, things: Sequence[_Thing], drawn: Sequence[_Drawn]) -> Iterator[str]:
    for thing in things:
        if thing.is_area and not any(thing in one.things for one in drawn):
            yield f"something on slice {index + 1} is not drawn"
    if not all(one.things for one in drawn):
        yield f"a graphic on slice {index + 1} lies along nothing"


def _coloured(ds: Dataset, drawn: Sequence[_Drawn]) -> Iterator[str]:
    colours = {str(layer.GraphicLayer): layer for layer in ds.GraphicLayerSequence}
    for one in drawn:
        stored = [int(v) for v in colours[one.layer].GraphicLayerRecommendedDisplayCIELabValue]
        if one.things and not any(is_colour(stored, thing.colour_rgb) for thing in one.things):
            yield "a graphic has not the colour of what it is drawn along"


def _named(index: int, holders: Sequence[Dataset], things: Sequence[_Thing], drawn: Sequence[_Drawn]) -> Iterator[str]:
    """Every name once, right beside a graphic that is drawn along what has this name."""
    found: list[str] = []
    for annotation in holders:
        own = [one for one in drawn if one.layer == str(annotation.GraphicLayer)]
        for item in annotation.get("TextObjectSequence") or []:
            if item.BoundingBoxAnnotationUnits != "PIXEL":
                continue
            text = str(item.UnformattedTextValue).rstrip()
            found.append(text)
            so_named = [one for one in own if any(_written(thing) == text for thing in one.things)]
            if not any(_is_beside(item, one.points) for one in so_named):
                yield f"a text on slice {index + 1} stands beside something that has another name"
    if Counter(found) != Counter(_written(thing) for thing in things if thing.text):
        yield f"the names on slice {index + 1} are not those of what was found on it"


def _written(thing: _Thing) -> str:
    return thing.text[:_MOST_CHARACTERS].rstrip()


def _is_beside(item: Dataset, points: _Points) -> bool:
    """Tell whether a text is right of a graphic, or left of it where there is no room, and at the height of its top."""
    left, top = (float(v) for v in item.BoundingBoxTopLeftHandCorner)
    right, bottom = (float(v) for v in item.BoundingBoxBottomRightHandCorner)
    (least_x, least_y), most_x = points.min(axis=0), points[:, 0].max()
    level = -_BESIDE_PX <= least_y - top <= bottom - top + _BESIDE_PX
    return bool(level and (0 <= left - most_x <= _BESIDE_PX or 0 <= least_x - right <= _BESIDE_PX or left <= 0))


def _points_of(item: Dataset) -> _Points:
    return np.array([float(v) for v in item.GraphicData]).reshape(-1, 2)


def _around(points: _Points) -> _Points:
    """Four places of a circle that is given by its centre and a place on it."""
    radius = float(np.linalg.norm(points[1] - points[0]))
    around: _Points = points[0] + radius * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    return around


def _share_near(points: _Points, edge: _Points) -> float:
    """Share of points (column, row) that are near one of an edge."""
    near = [bool((np.abs(edge - point).max(axis=1) <= _NEAR_PX).any()) for point in points]
    return float(np.mean(near))
