"""Outlines of masks, as closed polygons on the edges between pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

TOLERANCE_PX = 0.5
"""How far the simplified outline may lie from the edge of the mask, in pixels."""

_MINIMUM_POINTS = 8
"""Viewers take a closed polygon of four or five points for a box, and OHIF 3.13 then fails to hydrate it."""


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest part of a mask (row, column) that hangs together by pixel edges, with its holes filled.

    The first in scan order wins among equals. ``mask`` has at least one pixel.
    """
    labels, count = ndimage.label(mask)
    if count > 1:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        mask = labels == int(np.argmax(sizes))
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(mask)
    return filled


def outline(component: NDArray[np.bool_], *, maximum_points: int = 400) -> NDArray[np.float64]:
    """Trace the outer edge of one component (row, column) and simplify it.

    Returns
    -------
    Closed polygon (n, 2) of (column, row) with its first point repeated at the end, in the coordinates of SCOORD
    (PS3.3 C.18.6.1.1): (0, 0) is the outer corner of the first pixel, whose centre is (0.5, 0.5). Clockwise as the
    image is seen. It lies within ``TOLERANCE_PX`` of the edge, unless ``maximum_points`` asks for more simplification.
    """
    edge = _trace(component)
    tolerance = TOLERANCE_PX
    points = _simplify(edge, tolerance)
    while len(points) > maximum_points:
        tolerance *= 1.5
        points = _simplify(edge, tolerance)
    while len(points) < _MINIMUM_POINTS:
        points = _with_midpoints(points)
    return points


def polygon_area_px(points: NDArray[np.float64]) -> float:
    """Area of a closed polygon (n, 2) in pixels (shoelace formula)."""
    x, y = points[:, 0], points[:, 1]
    return float(abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2)


def _trace(component: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Walk along pixel edges with the component on the right hand; corners only, closed."""
    padded = np.pad(component, 1)
    here = padded[1:-1, 1:-1]
    starts: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # (neighbour is background, edge's start and end relative to the pixel's upper left corner), (column, row)
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # upper side, to the right
        (padded[1:-1, 2:], (1, 0), (1, 1)),  # right side, down
        (padded[2:, 1:-1], (1, 1), (0, 1)),  # lower side, to the left
        (padded[1:-1, :-2], (0, 1), (0, 0)),  # left side, up
    )
    for neighbour, (sx, sy), (ex, ey) in sides:
        rows, columns = np.nonzero(here & ~neighbour)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            starts.setdefault((column + sx, row + sy), []).append((column + ex, row + ey))
    first_row = int(np.flatnonzero(component.any(axis=1))[0])
    first = (int(np.flatnonzero(component[first_row])[0]), first_row)
    corners = [first]
    previous, current = first, starts[first].pop()
    while current != first:
        following = _next(starts[current], previous, current)
        if (following[0] - current[0], following[1] - current[1]) != (
            current[0] - previous[0],
            current[1] - previous[1],
        ):
            corners.append(current)
        previous, current = current, following
    corners.append(first)
    return np.array(corners, dtype=np.float64)


def _next(ends: list[tuple[int, int]], previous: tuple[int, int], current: tuple[int, int]) -> tuple[int, int]:
    """Go on from a corner; where two pixels meet at a corner only, turn right: stay on the same pixel."""
    if len(ends) == 1:
        return ends[0]
    dx, dy = current[0] - previous[0], current[1] - previous[1]
    right = (current[0] - dy, current[1] + dx)
    ends.remove(right)
    return right


def _simplify(points: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """Douglas and Peucker on a closed polygon, cut open at its first point and the one farthest from it."""
    far = int(np.argmax(np.sum((points - points[0]) ** 2, axis=1)))
    keep = np.zeros(len(points), dtype=np.bool_)
    keep[[0, far, len(points) - 1]] = True
    stack = [(0, far), (far, len(points) - 1)]
    while stack:
        low, high = stack.pop()
        if high - low < 2:
            continue
        distance = _distance(points[low + 1 : high], points[low], points[high])
        worst = int(np.argmax(distance))
        if distance[worst] > tolerance:
            middle = low + 1 + worst
            keep[middle] = True
            stack += [(low, middle), (middle, high)]
    return points[keep]


def _distance(points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each point (n, 2) from the segment between two points."""
    along = end - start
    # An outline may touch itself at a corner: then the segment has no length.
    t = np.clip((points - start) @ along / (float(along @ along) or 1.0), 0.0, 1.0)
    distance: NDArray[np.float64] = np.linalg.norm(points - start - t[:, None] * along, axis=1)
    return distance


def _with_midpoints(points: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = (points[:-1] + points[1:]) / 2
    woven = np.empty((2 * len(points) - 1, 2))
    woven[::2], woven[1::2] = points, middle
    return woven
