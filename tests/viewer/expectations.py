"""What has to be seen, and how it is judged: segments, outlines, marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tests.viewer import screen
from tests.viewer.reading_room import LINE_PX, SAME, View
from worker.domain.findings import Conclusion, Region
from worker.domain.regions import Box, Circle, Ellipse, Line, Point, Polygon, Shape

BORDER_PX = 6
"""Where a viewer draws the border of a segment, opaque; further inside is its fill."""


def segments_on(conclusion: Conclusion, index: int) -> dict[int, NDArray[np.bool_]]:
    """Mask (row, column) of every segment on a slice, by number."""
    (finding,) = conclusion.segmentations
    found = {one.number: finding.labels[index] == one.number for one in finding.segments}
    return {number: mask for number, mask in found.items() if mask.any()}


def assert_segments(view: View, conclusion: Conclusion, index: int, colours: Mapping[int, Sequence[int]]) -> None:
    """The segments of a slice lie on their masks, each in its colour."""
    masks = segments_on(conclusion, index)
    assert masks
    together = np.logical_or.reduce(list(masks.values()))
    found = view.agreement(together)
    assert found.holds(**SAME), found
    for number, mask in masks.items():
        colour, opacity = colour_inside(view, mask)
        assert np.abs(colour - colours[number]).max() < 16, f"segment {number} is {colour.round()}"
        assert 0.2 < opacity < 0.9


def colour_inside(view: View, mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Colour (RGB) and opacity of what was laid over a mask of the slice, within its border."""
    inside = screen.expected_marks(mask, view.placement, view.after.shape)
    return screen.colour_of_overlay(view.before, view.after, ndimage.binary_erosion(inside, iterations=BORDER_PX))


def line_of(shape: Shape) -> NDArray[np.float64]:
    """Places (row, column) that a line through them draws a shape; one place for a point."""
    match shape:
        case Point(at):
            return np.array([at])
        case Line(points):
            return np.asarray(points)
        case Polygon(points):
            return np.concatenate([points, points[:1]])
        case Box((top, left), (bottom, right)):
            return np.array([(top, left), (top, right), (bottom, right), (bottom, left), (top, left)])
        case Circle((row, column), radius):
            across, down = (
                ((row, column - radius), (row, column + radius)),
                ((row - radius, column), (row + radius, column)),
            )
            return _around(np.array(across), np.array(down))
        case Ellipse(major, minor):
            return _around(np.array(major), np.array(minor))


def _around(major: NDArray[np.float64], minor: NDArray[np.float64]) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, 181)[:, None]
    middle, one, other = major.mean(axis=0), (major[1] - major[0]) / 2, (minor[1] - minor[0]) / 2
    return middle + np.cos(angle) * one + np.sin(angle) * other


@dataclass(frozen=True)
class Outlined:
    """``covered`` is the share of an expected line that was drawn, ``stray`` that of what was drawn elsewhere."""

    covered: float
    stray: float

    @property
    def holds(self) -> bool:
        return self.covered > 0.97 and self.stray < 0.03


def outlined(view: View, places: NDArray[np.float64]) -> Outlined:
    """Judge what came by places (x, y) on the screen where a line is expected."""
    marks = view.marks()
    return Outlined(screen.coverage(places, marks, within=LINE_PX), screen.strays(places, marks, beyond=LINE_PX))


def places_of_masks(view: View, masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """Where the outlines of masks are expected on the screen."""
    return np.concatenate([_border(screen.expected_marks(one, view.placement, view.after.shape)) for one in masks])


def _border(marks: screen.Marks) -> NDArray[np.float64]:
    border = marks & ~ndimage.binary_erosion(marks)
    return np.argwhere(border)[:, ::-1] + 0.5


def places_of_regions(view: View, regions: Sequence[Region]) -> NDArray[np.float64]:
    """Where the lines of regions are expected on the screen."""
    return np.concatenate([screen.expected_line(line_of(one.shape), view.placement) for one in regions])
