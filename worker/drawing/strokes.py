"""Anti-aliased strokes: drawn in a finer grid, and put on the picture with a rim, legible on bright and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from worker.domain.regions import Box, Circle, Ellipse, Line, Point, Polygon, Shape

FINE = 3
"""Fine pixels per pixel, along rows and along columns."""

RIM_PX = 1.0
_RIM_OPACITY = 0.6
_LUMA = (0.299, 0.587, 0.114)
_DARK = 70.0
_RIM_MARGIN = RIM_PX + 1.0
_ARC_POINTS = 96
_POINT_RADIUS_PX = 6.0


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """What a pen covers: ``covered`` on the fine grid, for the part of a picture from pixel (``top``, ``left``) on."""

    covered: NDArray[np.bool_]
    top: int
    left: int


def mask_band(mask: NDArray[np.bool_], size: tuple[int, int], width_px: float) -> Band:
    """The edge of a mask (row, column; at least one pixel is set) on a picture of ``size`` (height, width).

    The band has the mask's edge in its middle. A structure that is smaller than a pixel of the picture stays visible.
    """
    scale = size[0] / mask.shape[0], size[1] / mask.shape[1]
    marked = [np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1)]
    ends = [(lines[0] * factor, (lines[-1] + 1) * factor) for lines, factor in zip(marked, scale, strict=True)]
    # Two pixels of the image around it, so that the edge is smoothed towards what is outside.
    margin = [width_px + _RIM_MARGIN + 2 * factor for factor in scale]
    (top, bottom), (left, right) = _parts(ends, size, margin)
    box = (left / scale[1], top / scale[0], right / scale[1], bottom / scale[0])
    shrinks = FINE * min(scale) < 1.0
    resized = np.asarray(
        Image.fromarray(mask.astype(np.uint8) * 255).resize(
            ((right - left) * FINE, (bottom - top) * FINE),
            Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR,
            box=box,
        )
    )
    # Shrunken, a part of a pixel counts: nothing that was found may vanish.
    inside = resized > 0 if shrinks else resized >= 128
    reach = max(round(width_px * FINE / 2), 1)
    return Band(grown(inside, reach) & grown(~inside, reach, beyond=True), top, left)


def shape_points(shape: Shape) -> tuple[NDArray[np.float64], bool]:
    """The line to draw for a shape: places (n, 2) in its own coordinates, and whether it is closed.

    A point is one place. Raises ValueError when a coordinate is not finite.
    """
    closed = True
    match shape:
        case Point():
            points, closed = np.array([shape.at], dtype=np.float64), False
        case Line():
            points, closed = shape.points, False
        case Polygon():
            points = shape.points
        case Box():
            (top, left), (bottom, right) = shape.first, shape.last
            points = np.array([[top, left], [top, right], [bottom, right], [bottom, left]], dtype=np.float64)
        case Circle():
            points = _arc(np.array(shape.centre), np.array([shape.radius_px, 0.0]), np.array([0.0, shape.radius_px]))
        case Ellipse():
            major, minor = np.array(shape.major, dtype=np.float64), np.array(shape.minor, dtype=np.float64)
            points = _arc(major.mean(axis=0), (major[1] - major[0]) / 2, (minor[1] - minor[0]) / 2)
    if not np.isfinite(points).all():
        raise ValueError("a shape has a coordinate that is not a number")
    return points, closed


def line_band(points: NDArray[np.float64], size: tuple[int, int], width_px: float, *, closed: bool) -> Band:
    """A line through places (n, 2), (y, x) in pixels of the picture from its outer corner.

    A single place gives a cross in a ring, which leaves the place itself free.
    """
    # What lies far outside is drawn towards its direction: Pillow's coordinates are limited.
    limit = 4.0 * max(size)
    points = np.clip(points, -limit, limit)
    margin = width_px + _RIM_MARGIN + (2 * _POINT_RADIUS_PX if len(points) == 1 else 0.0)
    ends = [(float(points[:, axis].min()), float(points[:, axis].max())) for axis in (0, 1)]
    (top, bottom), (left, right) = _parts(ends, size, [margin, margin])
    image = Image.new("L", ((right - left) * FINE, (bottom - top) * FINE))
    draw = ImageDraw.Draw(image)
    fine = (points - (top, left)) * FINE
    pen = max(round(width_px * FINE), 1)
    if len(fine) == 1:
        _draw_point(draw, float(fine[0, 0]), float(fine[0, 1]), pen)
    else:
        path = [(float(x) - 0.5, float(y) - 0.5) for y, x in fine]
        if closed:
            path += path[:2]
        draw.line(path, fill=255, width=pen, joint="curve")
    return Band(np.asarray(image) > 0, top, left)


def filled(image: Image.Image, points: NDArray[np.float64], *, closed: bool) -> Image.Image:
    """Set all of an image that lies inside of a closed line, on an open one, or under the mark of a single place.

    ``points`` (n, 2) are (y, x) in pixels from the outer corner, as in ``line_band``.
    """
    draw = ImageDraw.Draw(image)
    limit = 4.0 * max(image.size)
    path = [(float(x), float(y)) for y, x in np.clip(points, -limit, limit)]
    if len(path) == 1:
        (x, y), reach = path[0], 1.6 * _POINT_RADIUS_PX
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)
    elif closed:
        draw.polygon(path, fill=255, outline=255)
    else:
        draw.line(path, fill=255, width=3)
    return image


def stamp(pixels: NDArray[np.uint8], band: Band, colour_rgb: Sequence[int]) -> None:
    """Put a band on a picture (row, column, 3), in place, in a colour with a rim that is dark around bright colours."""
    ink = _coverage(band.covered)
    rim = _coverage(grown(band.covered, round(RIM_PX * FINE))) * np.float32(_RIM_OPACITY)
    around = 0.0 if float(np.dot(colour_rgb, _LUMA)) >= _DARK else 255.0
    rows, columns = ink.shape[:2]
    part = pixels[band.top : band.top + rows, band.left : band.left + columns]
    under = part.astype(np.float32) * (1.0 - rim) + np.float32(around) * rim
    drawn = under * (1.0 - ink) + np.array(colour_rgb, dtype=np.float32) * ink
    part[...] = np.rint(drawn).astype(np.uint8)


def _parts(
    ends: Sequence[tuple[float, float]], size: tuple[int, int], margin: Sequence[float]
) -> tuple[tuple[int, int], ...]:
    """Which rows and which columns of a picture to draw on: those around ``ends``, at least one of each."""
    parts = []
    for (low, high), length, around in zip(ends, size, margin, strict=True):
        first = min(max(math.floor(low - around), 0), length - 1)
        parts.append((first, min(max(math.ceil(high + around), first + 1), length)))
    return tuple(parts)


def grown(mask: NDArray[np.bool_], reach: int, *, beyond: bool = False) -> NDArray[np.bool_]:
    """A mask (row, column) with everything within ``reach`` along rows and columns; ``beyond`` is outside of it."""
    for axis in (0, 1):
        padded = np.pad(mask, [(reach, reach) if n == axis else (0, 0) for n in (0, 1)], constant_values=beyond)
        # Doubling the step: as many operations as the reach has binary digits.
        have, want = 1, 2 * reach + 1
        while have < want:
            step = min(have, want - have)
            padded = _either(padded, step, axis)
            have += step
        mask = padded
    return mask


def _either(mask: NDArray[np.bool_], step: int, axis: int) -> NDArray[np.bool_]:
    return mask[:-step] | mask[step:] if axis == 0 else mask[:, :-step] | mask[:, step:]


def _coverage(fine: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Which share of each pixel is covered: (row, column, 1)."""
    rows, columns = fine.shape[0] // FINE, fine.shape[1] // FINE
    blocks = fine[: rows * FINE, : columns * FINE].reshape(rows, FINE, columns, FINE)
    covered: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)[..., None]
    return covered


def _arc(centre: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    angles = np.linspace(0.0, 2 * np.pi, _ARC_POINTS, endpoint=False)[:, None]
    points: NDArray[np.float64] = centre + np.cos(angles) * first + np.sin(angles) * second
    return points


def _draw_point(draw: ImageDraw.ImageDraw, y: float, x: float, pen: int) -> None:
    radius = _POINT_RADIUS_PX * FINE
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=255, width=pen)
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        start, end = 0.6 * radius, 1.6 * radius
        draw.line((x + dx * start, y + dy * start, x + dx * end, y + dy * end), fill=255, width=pen)
