"""Pictures as people get them: tiles side by side, a legend, and at the foot of each who says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from worker.domain.regions import Box
from worker.domain.regions import Line as LineShape
from worker.drawing import lettering
from worker.drawing.canvas import WARNING, WHITE, Canvas
from worker.drawing.strokes import shape_points
from worker.drawing.voi_window import default_window
from worker.pictures.planes import View, chosen_slices, view_of, window_of
from worker.pictures.scene import DRAFT, Line, Mark, Scene
from worker.pictures.sections import Section, place_of_interest, projections, sections_at
from worker.pictures.tiles import FILL, Looks, blank, draw_marks, heat_tile, letter, slice_tile

_BACKGROUND = (16, 18, 22)
_CROSS = (120, 200, 255)
_FRAME = (140, 140, 140)
_MARGIN = 12
_GAP = 4
_TEXT_PX = 16
_LINE = 22
_MOST_LINES = 40
_NARROWEST = 760
_MOST_HEAT_MAPS = 4


@dataclass(frozen=True, slots=True)
class Style:
    """How many slices, and how large. ``tile_px`` is the longer side of a slice among several."""

    tile_px: int = 360
    columns: int = 4
    slices: int = 8


def montage(scene: Scene, style: Style, *, legend: bool = True) -> Image.Image:
    """The slices that show what was found, then those of its heat maps, with a legend below."""
    chosen = chosen_slices(scene, style.slices)
    # One image has the place of several.
    tile_px = style.tile_px * (2 if len(chosen) == 1 else 1)
    looks = Looks(view_of(scene.volume), window_of(scene), tile_px)
    tiles = [slice_tile(scene, k, looks) for k in chosen]
    tiles += [heat_tile(scene, heat, heat.largest, looks) for heat in scene.heats[:_MOST_HEAT_MAPS]]
    return _sheet(scene, tiles, columns=style.columns, lines=scene.lines if legend else ())


def planes(scene: Scene, style: Style) -> Image.Image | None:
    """Three planes through the middle of the largest thing found; None for what is no stack of slices."""
    if not scene.is_stack:
        return None
    window = window_of(scene)
    tiles = [_section_tile(scene, one, window, style) for one in sections_at(scene, place_of_interest(scene))]
    return _sheet(scene, tiles, columns=3)


def projection(scene: Scene, style: Style) -> Image.Image | None:
    """The coronal and the sagittal projection with what was found in colour; None for what is no stack of slices."""
    if not scene.is_stack:
        return None
    # A projection's values are no Hounsfield units any more: it has a window of its own.
    tiles = [_section_tile(scene, one, default_window(one.plane, ""), style) for one in projections(scene)]
    return _sheet(scene, tiles, columns=2)


def _section_tile(scene: Scene, section: Section, window: tuple[float, float], style: Style) -> Image.Image:
    view = view_of(scene.volume, section.axes)
    canvas = blank(section.plane, Looks(view, window, round(style.tile_px * 1.2)))
    for structure, mask in section.masks:
        canvas.outline(mask, structure.colour_rgb, fill=FILL)
    if section.axis == 0:
        marks = [(mark, mark.shape) for mark in scene.marks if section.number in {None, mark.slice_index}]
        draw_marks(canvas, marks)
    elif section.number is None:
        draw_marks(canvas, [(mark, shadow_of(mark, section.axis)) for mark in scene.marks])
    if section.at is not None:
        _draw_cross(canvas, section)
    letter(canvas, view)
    canvas.text([_title(section, view, scene)])
    return canvas.image()


def shadow_of(mark: Mark, axis: int) -> Box:
    """What a mark covers in a projection across rows (axis 1) or columns (axis 2): a box, as many slices high."""
    places, _ = shape_points(mark.shape)
    across = places[:, 1 if axis == 1 else 0]
    first, last = mark.extent
    return Box((first - 0.5, float(across.min())), (last + 0.5, float(across.max())))


def _draw_cross(canvas: Canvas, section: Section) -> None:
    """Where the other two planes cut this one: short lines at the edges, which leave the picture free."""
    if section.at is None:
        return
    row, column = section.at
    rows, columns = section.plane.shape
    for start, end in (
        ((row, -0.5), (row, columns * 0.06)),
        ((row, columns * 0.94), (row, columns - 0.5)),
        ((-0.5, column), (rows * 0.06, column)),
        ((rows * 0.94, column), (rows - 0.5, column)),
    ):
        canvas.shape(LineShape(np.array([start, end], dtype=np.float64)), _CROSS, 1.0)


def _title(section: Section, view: View, scene: Scene) -> str:
    if section.at is not None:
        return f"oblique, nearly {view.name}" if view.is_oblique else view.name
    how = "mean of soft tissue" if scene.volume.modality == "CT" else "maximum"
    return f"{view.name} projection ({how})"


def _sheet(scene: Scene, tiles: Sequence[Image.Image], *, columns: int, lines: Sequence[Line] = ()) -> Image.Image:
    """Put tiles into rows; below them the legend, and at the foot that it is a draft, and whose."""
    rows = [tiles[n : n + columns] for n in range(0, len(tiles), columns)]
    widths = [max(row[n].width for row in rows if n < len(row)) for n in range(len(rows[0]))]
    heights = [max(tile.height for tile in row) for row in rows]
    width = max(sum(widths) + _GAP * (len(widths) - 1), _NARROWEST)
    tiles_height = sum(heights) + _GAP * (len(heights) - 1)
    lines = _shortened(lines)
    legend_height = _LINE * math.ceil(len(lines) / 2) + (_MARGIN if lines else 0)
    sheet = Image.new("RGB", (width, tiles_height + legend_height + _LINE + 2 * _MARGIN), _BACKGROUND)
    for r, row in enumerate(rows):
        for n, tile in enumerate(row):
            sheet.paste(tile, (sum(widths[:n]) + _GAP * n, sum(heights[:r]) + _GAP * r))
    draw = ImageDraw.Draw(sheet)
    _draw_legend(draw, lines, top=tiles_height + _MARGIN, width=width)
    foot = tiles_height + _MARGIN + legend_height
    font = lettering.font(_TEXT_PX)
    draw.text((_MARGIN, foot), DRAFT, fill=WARNING, font=font)
    taken = _MARGIN + lettering.width_of(DRAFT, _TEXT_PX) + 2 * _MARGIN
    draw.text((taken, foot), lettering.fitting(scene.maker, width - taken - _MARGIN, _TEXT_PX), fill=WHITE, font=font)
    return sheet


def _shortened(lines: Sequence[Line]) -> list[Line]:
    if len(lines) <= _MOST_LINES:
        return list(lines)
    return [*lines[: _MOST_LINES - 1], Line(f"and {len(lines) - _MOST_LINES + 1} more")]


def _draw_legend(draw: ImageDraw.ImageDraw, lines: Sequence[Line], *, top: int, width: int) -> None:
    """Two columns of lines, read downwards."""
    per_column = math.ceil(len(lines) / 2)
    for n, line in enumerate(lines):
        x = _MARGIN + (width // 2) * (n // per_column)
        y = top + _LINE * (n % per_column)
        if line.colour_rgb is not None:
            draw.rectangle((x, y + 3, x + 14, y + 17), fill=line.colour_rgb, outline=_FRAME)
            x += 22
        room = width // 2 * (n // per_column + 1) - x - _MARGIN
        text = lettering.fitting(line.text, room, _TEXT_PX)
        draw.text((x, y), text, fill=WARNING if line.warning else WHITE, font=lettering.font(_TEXT_PX))
