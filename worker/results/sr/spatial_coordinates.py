"""Shapes as spatial coordinates (PS3.3 C.18.6): (column, row) from the outer corner of the first pixel.

A shape counts from pixel centres, so half a pixel is added to both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.domain.regions import Box, Circle, Ellipse, Line, Place, Point, Polygon, Shape

Points = NDArray[np.float64]

_LEAST_OF_A_CONTOUR = 8
"""Viewers take a closed polygon of four or five points for a box of their own, and OHIF 3.13 fails to hydrate it."""


_AROUND = 64
"""Corners of a polygon that stands for an ellipse."""


@dataclass(frozen=True, slots=True, eq=False)
class Graphic:
    """``kind`` is the Graphic Type (0070,0023) of SCOORD, ``points`` (n, 2) its data as (column, row)."""

    kind: str
    points: Points


def graphic(shape: Shape, *, square_pixels: bool) -> Graphic:  # noqa: PLR0911 - one for each shape
    """Translate a shape.

    A circle on the grid is an ellipse in the patient where pixels are not square, and is written as one: viewers
    measure a CIRCLE's radius in millimetres.
    """
    match shape:
        case Point(at):
            return Graphic("POINT", _from_corner([at]))
        case Line(points):
            return Graphic("POLYLINE", _from_corner(points))
        case Polygon(points):
            return Graphic("POLYLINE", _closed(_from_corner(points)))
        case Box():
            return Graphic("POLYLINE", box(shape))
        case Circle(centre, radius):
            row, column = centre
            if square_pixels:
                return Graphic("CIRCLE", _from_corner([centre, (row, column + radius)]))
            across = ((row, column - radius), (row, column + radius))
            down = ((row - radius, column), (row + radius, column))
            return Graphic("ELLIPSE", _from_corner([*across, *down]))
        case Ellipse(major, minor):
            return Graphic("ELLIPSE", _from_corner([*major, *minor]))


def box(shape: Box) -> Points:
    """A closed contour along an upright rectangle, clockwise from its first corner."""
    (top, left), (bottom, right) = shape.first, shape.last
    return _closed(_from_corner([(top, left), (top, right), (bottom, right), (bottom, left)]))


def bounds(shape: Shape) -> Box:
    """The upright rectangle around a shape."""
    match shape:
        case Point(at):
            return Box(at, at)
        case Box():
            return shape
        case Circle((row, column), radius):
            return Box((row - radius, column - radius), (row + radius, column + radius))
        case Line(points) | Polygon(points):
            places = np.asarray(points, dtype=np.float64)
        case Ellipse(major, minor):
            ends = np.array([major, minor])
            half = (ends[:, 1] - ends[:, 0]) / 2
            reach = np.sqrt((half**2).sum(axis=0))  # of the sum of two conjugate half axes
            places = np.stack([ends[0].mean(axis=0) - reach, ends[0].mean(axis=0) + reach])
    low, high = places.min(axis=0), places.max(axis=0)
    return Box((float(low[0]), float(low[1])), (float(high[0]), float(high[1])))


def centre(shape: Shape) -> Place:
    """The middle of a shape, (row, column)."""
    (top, left), (bottom, right) = (around := bounds(shape)).first, around.last
    return (top + bottom) / 2, (left + right) / 2


def within(drawn: Graphic, *, rows: int, columns: int) -> Graphic:
    """Cut off at the edge of the image: a circle or ellipse that leaves it becomes a polygon."""
    shape = (columns, rows)
    points = drawn.points
    if drawn.kind in {"CIRCLE", "ELLIPSE"}:
        points = _around(drawn)
        if (points >= 0).all() and (points <= shape).all():
            return drawn
        return Graphic("POLYLINE", np.clip(points, 0, shape))
    return Graphic(drawn.kind, np.clip(points, 0, shape))


def _around(drawn: Graphic) -> Points:
    """A closed polygon along a circle or ellipse."""
    p = drawn.points
    if drawn.kind == "CIRCLE":
        middle, one = p[0], p[1] - p[0]
        other = one[::-1] * (-1, 1)
    else:
        middle, one, other = p[:2].mean(axis=0), (p[1] - p[0]) / 2, (p[3] - p[2]) / 2
    angle = np.linspace(0, 2 * np.pi, _AROUND + 1)
    angle[-1] = 0.0
    points: Points = middle + np.cos(angle)[:, None] * one + np.sin(angle)[:, None] * other
    return points


def length(line: Line, spacing: tuple[float, float]) -> float:
    """Length of a line, where ``spacing`` is that of rows and columns."""
    steps = np.diff(np.asarray(line.points, dtype=np.float64), axis=0) * spacing
    return float(np.hypot(steps[:, 0], steps[:, 1]).sum())


def _from_corner(places: object) -> Points:
    points: Points = np.asarray(places, dtype=np.float64).reshape(-1, 2)[:, ::-1] + 0.5
    return points


def _closed(points: Points) -> Points:
    if not np.array_equal(points[0], points[-1]):
        points = np.concatenate([points, points[:1]])
    while len(points) < _LEAST_OF_A_CONTOUR:
        woven = np.empty((2 * len(points) - 1, 2))
        woven[::2], woven[1::2] = points, (points[:-1] + points[1:]) / 2
        points = woven
    return points
