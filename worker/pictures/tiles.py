"""One plane with everything that was found on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.domain.regions import Box, Circle, Ellipse, Line, Place, Point, Polygon, Shape
from worker.drawing.canvas import Canvas, Corner, Edge
from worker.drawing.voi_window import windowed
from worker.pictures.planes import View
from worker.pictures.scene import Heat, Mark, Scene

FILL = 0.15
"""How much of its colour the inside of a structure gets."""

_EDGES = (Edge.LEFT, Edge.RIGHT, Edge.TOP, Edge.BOTTOM)


@dataclass(frozen=True, slots=True)
class Looks:
    """How planes are shown: how they are turned, from which value to which, and how large.

    ``tile_px`` is the longer side in the picture.
    """

    view: View
    window: tuple[float, float]
    tile_px: int


def blank(plane: NDArray[np.float32], looks: Looks) -> Canvas:
    """A plane (row, column) with orientation letters, and nothing else."""
    low, high = looks.window
    down_mm, right_mm = looks.view.pixel_mm
    longest_mm = max(plane.shape[0] * down_mm, plane.shape[1] * right_mm)
    return Canvas(
        windowed(plane, low=low, high=high),
        scale=looks.tile_px * min(down_mm, right_mm) / longest_mm,
        pixel_mm=looks.view.pixel_mm,
        turn=looks.view.turn,
    )


def letter(canvas: Canvas, view: View) -> None:
    """Write the letters of a view (R, L, A, P, H, F) at its edges."""
    for text, edge in zip(view.letters, _EDGES, strict=True):
        if text:
            canvas.mark(text, edge)


def slice_tile(scene: Scene, k: int, looks: Looks) -> Image.Image:
    """Slice ``k`` with outlines and marks."""
    canvas = blank(scene.volume.voxels[k], looks)
    for structure in scene.structures:
        if k in structure.voxels:
            canvas.outline(structure.mask(k), structure.colour_rgb, fill=FILL)
    marks = [mark for mark in scene.marks if mark.slice_index == k]
    draw_marks(canvas, [(mark, mark.shape) for mark in marks])
    letter(canvas, looks.view)
    canvas.text([slice_name(scene, k)], Corner.LOWER_LEFT)
    return canvas.image()


def draw_marks(canvas: Canvas, marks: Sequence[tuple[Mark, Shape]]) -> None:
    """Draw shapes, and beside the first of each label what it is; text last, so that no line crosses it."""
    for mark, shape in marks:
        canvas.shape(shape, mark.colour_rgb)
    for mark, shape in {mark.label: (mark, shape) for mark, shape in reversed(marks)}.values():
        canvas.label(mark.label, label_place(shape), mark.colour_rgb)


def heat_tile(scene: Scene, heat: Heat, k: int, looks: Looks) -> Image.Image:
    """Slice ``k`` coloured by a heat map, with its colour bar."""
    canvas = blank(scene.volume.voxels[k], looks)
    canvas.overlay(heat.values(k), heat.value_range)
    canvas.colour_bar(heat.value_range, heat.unit)
    letter(canvas, looks.view)
    canvas.text([heat.label])
    canvas.text([slice_name(scene, k)], Corner.LOWER_LEFT)
    return canvas.image()


def slice_name(scene: Scene, k: int) -> str:
    """Which slice or frame, counted from 1."""
    volume, total = scene.volume, scene.slice_count
    if total == 1:
        return ""
    if volume.in_patient_space:
        return f"slice {k + 1}/{total}"
    at = "" if volume.frame_time_ms is None else f", {k * volume.frame_time_ms / 1000:.2f} s"
    return f"frame {k + 1}/{total}{at}"


def label_place(shape: Shape) -> Place:
    """Where the label of a shape stands: at the middle of its right side."""
    match shape:
        case Point():
            return shape.at
        case Line() | Polygon():
            row, column = shape.points[int(np.argmax(shape.points[:, 1]))]
            return float(row), float(column)
        case Box():
            return (shape.first[0] + shape.last[0]) / 2, max(shape.first[1], shape.last[1])
        case Circle():
            return shape.centre[0], shape.centre[1] + shape.radius_px
        case Ellipse():
            return max((*shape.major, *shape.minor), key=lambda end: end[1])
