"""Outlines and shapes as graphic annotations of a presentation state (PS3.3 C.10.5).

Coordinates are (column, row) in units of pixels from the outer corner of the first pixel, whose centre is (0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from worker.domain.findings import Segmentation
from worker.domain.regions import Box, Circle, Ellipse, Line, Point, Polygon, Shape
from worker.drawing.strokes import shape_points
from worker.results.context import EncoderInput
from worker.results.contours import largest_component, outline
from worker.results.display.key_slices import NEUTRAL, Colour, KeySlice, hottest

MOST_PARTS = 12
"""Parts of a segment that are outlined on a slice, the largest first; one is always."""

_LEAST_PART_PX = 3


@dataclass(frozen=True, slots=True, eq=False)
class Graphic:
    """A graphic object: its type (PS3.3 C.10.5.1.2), points (n, 2), colour (sRGB), and what is written beside it."""

    type: str
    points: NDArray[np.float64]
    colour_rgb: Colour
    text: str = ""

    @property
    def is_closed(self) -> bool:
        """True when it has an inside, which is then not filled."""
        if self.type in {"CIRCLE", "ELLIPSE"}:
            return True
        return (
            self.type == "POLYLINE" and len(self.points) > 2 and bool(np.array_equal(self.points[0], self.points[-1]))
        )


def graphics_of(inputs: EncoderInput, key_slice: KeySlice) -> tuple[Graphic, ...]:
    """Everything that was found on a slice, as it is drawn there; points stay inside the image."""
    conclusion, colours, index = inputs.conclusion, dict(inputs.profile.colours), key_slice.index
    rows, columns = conclusion.volume.geometry.shape[1:]
    found: list[Graphic] = []
    for finding in conclusion.segmentations:
        found += _of_segments(finding, index, colours)
    for region in conclusion.regions:
        first, last = region.extent or (region.slice_index, region.slice_index)
        if first <= index <= last or region.slice_index == index:
            colour = colours.get(region.label, region.colour_rgb)
            found.append(_of_shape(region.shape, colour, region.label, (rows, columns)))
    for heat_map in conclusion.heat_maps:
        slice_index, row, column = hottest(heat_map)
        if slice_index == index:
            place = _scoord(np.array([(row, column)], dtype=np.float64))
            found.append(Graphic("POINT", place, NEUTRAL, f"highest: {heat_map.label}"))
    return tuple(_inside(graphic, rows, columns) for graphic in found)


def _of_segments(finding: Segmentation, index: int, colours: dict[str, Colour]) -> Iterator[Graphic]:
    present = set(np.unique(finding.labels[index]).tolist())
    for segment in finding.segments:
        if present.intersection(segment.numbers):
            colour = colours.get(segment.label, segment.colour_rgb)
            for n, part in enumerate(_parts(finding.mask(segment, index))):
                yield Graphic("POLYLINE", outline(part), colour, "" if n else segment.label)


def _parts(mask: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """The parts of a mask that hang together, holes filled, the largest first."""
    numbered, count = ndimage.label(mask)
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    for n, part in enumerate(np.argsort(-sizes, kind="stable")[:MOST_PARTS]):
        if n and sizes[part] < _LEAST_PART_PX:
            return
        yield largest_component(numbered == part + 1)


def _of_shape(shape: Shape, colour: Colour, text: str, size: tuple[int, int]) -> Graphic:
    """A shape as it is, or its line where a circle or ellipse leaves the image and has to be cut."""
    line, _ = shape_points(shape)
    match shape:
        case Point():
            kind, points = "POINT", line
        case Line():
            kind, points = "POLYLINE", line
        case Polygon() | Box():
            kind, points = "POLYLINE", np.vstack([line, line[:1]])
        case Circle() | Ellipse() if _leaves(line, size):
            kind, points = "POLYLINE", np.vstack([line, line[:1]])
        case Circle():
            row, column = shape.centre
            kind, points = "CIRCLE", np.array([(row, column), (row, column + shape.radius_px)])
        case Ellipse():
            kind, points = "ELLIPSE", np.array([*shape.major, *shape.minor])
    return Graphic(kind, _scoord(points), colour, text)


def _leaves(line: NDArray[np.float64], size: tuple[int, int]) -> bool:
    return bool((line < -0.5).any() or (line > np.array(size) - 0.5).any())


def _scoord(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """(column, row) from the corner, for (row, column) of pixel centres."""
    points: NDArray[np.float64] = places[:, ::-1] + 0.5
    return points


def _inside(graphic: Graphic, rows: int, columns: int) -> Graphic:
    return Graphic(
        graphic.type, np.clip(graphic.points, 0.0, (float(columns), float(rows))), graphic.colour_rgb, graphic.text
    )
