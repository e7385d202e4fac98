"""A montage of slices with what was found drawn on them, for ``overread show`` and the demo.

It carries no patient name, number or date, and says on its face that it is an unverified AI draft.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from worker.domain.findings import Conclusion, Segment
from worker.pictures.planes import View, chosen_slices, to_grey, view_of, window_of

_BACKGROUND = (16, 18, 22)
_TEXT = (235, 235, 235)
_WARNING = (255, 196, 0)
_MARGIN = 12
_LINE = 22
_MOST_LINES = 40


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Style:
    """How the montage looks. ``tile_px`` is the longer side of a slice; ``fill`` the opacity of the colour inside."""

    tile_px: int = 360
    columns: int = 4
    slices: int = 8
    fill: float = 0.28


def write_overlay(conclusion: Conclusion, path: Path, style: Style | None = None) -> None:
    """Write the montage of a conclusion as a PNG file; its folder must exist."""
    picture(conclusion, style or Style()).save(path, format="PNG")


def picture(conclusion: Conclusion, style: Style) -> Image.Image:
    """Draw the montage: slices in rows, the legend below."""
    volume = conclusion.volume
    drawn = next((finding for finding in conclusion.findings if finding.labels.any()), None)
    view, window = view_of(volume), window_of(volume, drawn)
    tiles = [_tile(conclusion, index, view, window, style) for index in chosen_slices(volume, drawn, style.slices)]
    width, height = tiles[0].size
    columns = min(style.columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    legend = _legend_lines(conclusion)
    sheet_width = max(columns * width, 760)
    sheet = Image.new("RGB", (sheet_width, rows * height + _legend_height(legend)), _BACKGROUND)
    for n, tile in enumerate(tiles):
        sheet.paste(tile, (n % columns * width, n // columns * height))
    _draw_legend(sheet, legend, top=rows * height)
    return sheet


def _tile(conclusion: Conclusion, index: int, view: View, window: tuple[float, float], style: Style) -> Image.Image:
    plane = np.ascontiguousarray(view.turn(to_grey(conclusion.volume.voxels[index], window)))
    row_mm, column_mm = view.pixel_mm
    height_mm, width_mm = plane.shape[0] * row_mm, plane.shape[1] * column_mm
    scale = style.tile_px / max(height_mm, width_mm)
    size = max(round(width_mm * scale), 1), max(round(height_mm * scale), 1)
    image = Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR).convert("RGB")
    for finding in conclusion.findings:
        # Nearest neighbour: a label is a name, there is nothing between two of them.
        labels = np.ascontiguousarray(view.turn(finding.labels[index])).astype(np.int32)
        turned = Image.fromarray(labels, mode="I").resize(size, Image.Resampling.NEAREST)
        image = Image.fromarray(_coloured(np.asarray(image), np.asarray(turned), finding.segments, style.fill))
    _draw_marks(image, view, f"{index + 1}/{len(conclusion.volume.voxels)}")
    return image


def _coloured(
    grey: NDArray[np.uint8], labels: NDArray[np.int32], segments: tuple[Segment, ...], fill: float
) -> NDArray[np.uint8]:
    """Tint the inside of each structure and draw its edge in full colour. Arrays are (row, column[, RGB])."""
    palette = np.zeros((int(labels.max(initial=0)) + 1, 3), dtype=np.float32)
    for segment in segments:
        if segment.number < len(palette):
            palette[segment.number] = segment.colour_rgb
    inside = labels > 0
    rgb = grey.astype(np.float32)
    rgb[inside] = (1 - fill) * rgb[inside] + fill * palette[labels[inside]]
    edge = np.zeros_like(inside)
    padded = np.pad(labels, 1)
    for neighbour in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        edge |= inside & (neighbour != labels)
    rgb[edge] = palette[labels[edge]]
    return rgb.astype(np.uint8)


def _draw_marks(image: Image.Image, view: View, number: str) -> None:
    """Orientation letters at the edges, slice number in a corner."""
    draw, font = ImageDraw.Draw(image), _font(15)
    width, height = image.size
    left, right, top, bottom = view.letters
    for text, place, anchor in (
        (left, (4, height // 2), "lm"),
        (right, (width - 4, height // 2), "rm"),
        (top, (width // 2, 4), "mt"),
        (bottom, (width // 2, height - 4), "mb"),
        (number, (4, height - 4), "lb"),
    ):
        draw.text(place, text, fill=_TEXT, font=font, anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    colour: tuple[int, int, int] = _TEXT
    swatch: tuple[int, int, int] | None = None


def _legend_lines(conclusion: Conclusion) -> list[_Line]:
    algorithm = conclusion.algorithm
    lines = [_Line("AI draft, not verified", _WARNING), _Line(f"{algorithm.title}, version {algorithm.model.version}")]
    for finding in conclusion.findings:
        for segment in finding.segments:
            values = ", ".join(f"{m.name.meaning} {m.value:.4g} {m.unit.ucum}" for m in segment.measurements)
            lines.append(_Line(f"{segment.label}: {values}" if values else segment.label, swatch=segment.colour_rgb))
        lines += [_Line(f"Not found: {label}", _WARNING) for label in finding.absent]
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], _Line(f"and {len(lines) - _MOST_LINES + 1} more")]
    return lines


def _legend_height(lines: list[_Line]) -> int:
    return 2 * _MARGIN + _LINE * math.ceil(len(lines) / 2)


def _draw_legend(sheet: Image.Image, lines: list[_Line], *, top: int) -> None:
    """Two columns of lines below the slices, read downwards."""
    draw, font = ImageDraw.Draw(sheet), _font(16)
    per_column = math.ceil(len(lines) / 2)
    for n, line in enumerate(lines):
        x = _MARGIN + (sheet.width // 2) * (n // per_column)
        y = top + _MARGIN + _LINE * (n % per_column)
        if line.swatch is not None:
            draw.rectangle((x, y + 3, x + 14, y + 17), fill=line.swatch)
            x += 22
        room = sheet.width // 2 * (n // per_column + 1) - x - _MARGIN
        draw.text((x, y), _fitting(line.text, font, room), fill=line.colour, font=font)


def _fitting(text: str, font: Font, width: int) -> str:
    """Shorten a text to a width in pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def _font(size: int) -> Font:
    return ImageFont.load_default(size)
