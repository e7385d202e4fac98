"""Shapes on one slice of a volume.

Coordinates are indices (row, column) of the source grid, fractional; the centre of the first pixel is (0, 0), its
outer corner (-0.5, -0.5). Result objects translate them to SCOORD (column, row, from the corner) and SCOORD3D.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Place = tuple[float, float]
"""(row, column)."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place on one slice, without extent."""

    at: Place


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """An open line through two or more places; ``points`` has shape (n, 2)."""

    points: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """A closed contour through three or more places; ``points`` has shape (n, 2), the first is not repeated."""

    points: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle, from its upper left to its lower right corner."""

    first: Place
    last: Place


@dataclass(frozen=True, slots=True)
class Circle:
    """A circle on the pixel grid (an ellipse in millimetres where pixels are not square)."""

    centre: Place
    radius_px: float


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An ellipse by the two ends of its major and of its minor axis."""

    major: tuple[Place, Place]
    minor: tuple[Place, Place]


Shape = Point | Line | Polygon | Box | Circle | Ellipse
"""Closed union of shapes."""
