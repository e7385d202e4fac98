"""Pure functions on pixels: where on the screen a mask or an outline is expected, and what is there.

A screen is an array (row, column, RGB) of uint8; ``x`` is its column, ``y`` its row, (0, 0) the corner of its first
pixel. A mask or an outline is in indices (row, column) of the image, whole numbers at the centres of its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

Screen = NDArray[np.uint8]
Marks = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Placement:
    """Where an image is on the screen.

    ``first`` is the centre of its first pixel, ``row_step`` and ``column_step`` lead to the next row and column, all
    (x, y) in screen pixels. ``rows`` and ``columns`` are the part of the screen where only image and results are.
    """

    first: NDArray[np.float64]
    row_step: NDArray[np.float64]
    column_step: NDArray[np.float64]
    rows: tuple[int, int]
    columns: tuple[int, int]

    def to_screen(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        """(x, y) of indices (row, column); shape (n, 2)."""
        placed: NDArray[np.float64] = self.first + index[:, :1] * self.row_step + index[:, 1:] * self.column_step
        return placed

    def to_index(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Index (row, column) that each pixel of a screen of ``shape`` shows: shape (row, column, 2)."""
        y, x = np.indices(shape[:2]) + 0.5
        steps = np.stack([self.row_step, self.column_step], axis=1)
        inverse = np.linalg.inv(steps)
        index: NDArray[np.float64] = (np.stack([x, y], axis=-1) - self.first) @ inverse.T
        return index

    def inside(self, shape: tuple[int, ...]) -> Marks:
        """Pixels of the screen where only image and results are."""
        marks = np.zeros(shape[:2], dtype=np.bool_)
        marks[slice(*self.rows), slice(*self.columns)] = True
        return marks

    @property
    def zoom(self) -> float:
        """Screen pixels an image pixel."""
        return float(np.sqrt(abs(np.linalg.det(np.stack([self.row_step, self.column_step])))))


def sampled(
    image: NDArray[np.generic], placement: Placement, shape: tuple[int, ...]
) -> tuple[NDArray[np.generic], Marks]:
    """What each pixel of a screen of ``shape`` shows of ``image`` (nearest), and which pixels show any of it."""
    index = np.round(placement.to_index(shape)).astype(int)
    rows, columns = image.shape[:2]
    within = (index >= 0).all(axis=-1) & (index[..., 0] < rows) & (index[..., 1] < columns) & placement.inside(shape)
    clipped = np.clip(index, 0, np.array([rows, columns]) - 1)
    return image[clipped[..., 0], clipped[..., 1]], within


def expected_marks(mask: Marks, placement: Placement, shape: tuple[int, ...]) -> Marks:
    """Pixels of the screen that a mask (row, column) of the image covers."""
    values, within = sampled(mask, placement, shape)
    marks: Marks = values.astype(np.bool_) & within
    return marks


def expected_line(points: NDArray[np.float64], placement: Placement) -> NDArray[np.float64]:
    """Places (x, y) along a line through indices (row, column), at most half a screen pixel apart."""
    corners = placement.to_screen(points)
    places = []
    for begin, end in pairwise(corners):
        steps = max(int(np.ceil(2 * np.linalg.norm(end - begin))), 1)
        places.append(begin + (end - begin) * np.linspace(0, 1, steps, endpoint=False)[:, None])
    return np.concatenate([*places, corners[-1:]])


def chroma(screen: Screen) -> NDArray[np.int16]:
    """How far each pixel is from grey: 0 for greys."""
    wide = screen.astype(np.int16)
    spread: NDArray[np.int16] = wide.max(axis=-1) - wide.min(axis=-1)
    return spread


def coloured(screen: Screen, placement: Placement, *, least: int = 24) -> Marks:
    """Pixels of the viewport that are not grey. The images themselves must be."""
    marks: Marks = (chroma(screen) >= least) & placement.inside(screen.shape)
    return marks


def changed(before: Screen, after: Screen, placement: Placement, *, least: int = 12) -> Marks:
    """Pixels of the viewport that differ."""
    difference = np.abs(before.astype(np.int16) - after.astype(np.int16)).max(axis=-1)
    marks: Marks = (difference >= least) & placement.inside(after.shape)
    return marks


@dataclass(frozen=True)
class Agreement:
    """How two sets of marks agree: intersection over union, and in screen pixels centroids and extents."""

    overlap: float
    centroid_off: float
    extent_off: float
    found: int
    expected: int

    def holds(self, *, overlap: float, centroid_off: float, extent_off: float) -> bool:
        """True when all of it is within limits."""
        return self.overlap >= overlap and self.centroid_off <= centroid_off and self.extent_off <= extent_off


def agreement(found: Marks, expected: Marks) -> Agreement:
    """Compare marks on the screen; nothing found agrees with nothing."""
    if not found.any() or not expected.any():
        return Agreement(0.0, np.inf, np.inf, int(found.sum()), int(expected.sum()))
    union = np.count_nonzero(found | expected)
    places = [np.argwhere(one) for one in (found, expected)]
    centroids = [one.mean(axis=0) for one in places]
    extents = [np.concatenate([one.min(axis=0), one.max(axis=0)]) for one in places]
    return Agreement(
        overlap=float(np.count_nonzero(found & expected) / union),
        centroid_off=float(np.linalg.norm(centroids[0] - centroids[1])),
        extent_off=float(np.abs(extents[0] - extents[1]).max()),
        found=len(places[0]),
        expected=len(places[1]),
    )


def colour_of_overlay(before: Screen, after: Screen, marks: Marks) -> tuple[NDArray[np.float64], float]:
    """Colour (RGB) and opacity of something laid over a grey image, on ``marks``.

    What is laid over gives ``after = before * (1 - opacity) + colour * opacity`` in each channel: the slope of the
    line through (before, after) tells the opacity, where it meets zero the colour.
    """
    grey = before[marks].mean(axis=-1).astype(np.float64)
    slopes, offsets = np.polyfit(grey, after[marks].astype(np.float64), 1)
    opacity = float(1 - np.median(slopes))
    colour: NDArray[np.float64] = np.clip(offsets / opacity, 0, 255)
    return colour, opacity


def coverage(line: NDArray[np.float64], marks: Marks, *, within: float) -> float:
    """Share of the places (x, y) of a line that have a mark within so many screen pixels."""
    away = ndimage.distance_transform_edt(~marks)
    x, y = (np.clip(np.floor(line[:, k]).astype(int), 0, marks.shape[1 - k] - 1) for k in (0, 1))
    return float(np.mean(away[y, x] <= within))


def strays(line: NDArray[np.float64], marks: Marks, *, beyond: float) -> float:
    """Share of the marks that are further from the line than so many screen pixels; 1 when there are none."""
    if not marks.any():
        return 1.0
    drawn = np.zeros(marks.shape, dtype=np.bool_)
    x, y = (np.clip(np.floor(line[:, k]).astype(int), 0, marks.shape[1 - k] - 1) for k in (0, 1))
    drawn[y, x] = True
    return float(np.mean(ndimage.distance_transform_edt(~drawn)[marks] > beyond))


def likeness(screen: Screen, image: NDArray[np.generic], placement: Placement) -> float:
    """Rank correlation of the greys of the screen with the values of the image in that place: 1 for the same image.

    Ranks, because the grey levels of a viewer cut off what is darker or brighter than they reach.
    """
    values, within = sampled(image, placement, screen.shape)
    use = within & (chroma(screen) < 8)
    found = stats.spearmanr(values[use][::7], screen.mean(axis=-1)[use][::7]).statistic
    return float(found)
