"""A picture of one slice, on which is drawn what was found there."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from worker.domain.regions import Place, Shape
from worker.drawing import lettering
from worker.drawing.callouts import free_spot
from worker.drawing.colours import coloured, shares
from worker.drawing.orientation import AS_STORED, Turn
from worker.drawing.strokes import filled, line_band, mask_band, shape_points, stamp

Colour = tuple[int, int, int]
WHITE: Colour = (235, 235, 235)
WARNING: Colour = (255, 196, 0)
LARGEST_PX = 8192
"""No side of a picture is longer."""


class Corner(StrEnum):
    """The corner of a picture in which a text stands."""

    UPPER_LEFT = "la"
    UPPER_RIGHT = "ra"
    LOWER_LEFT = "ld"
    LOWER_RIGHT = "rd"


class Edge(StrEnum):
    """Where an orientation letter stands."""

    LEFT = "lm"
    RIGHT = "rm"
    TOP = "ma"
    BOTTOM = "md"


class Canvas:
    """A grey image, enlarged so that its pixels are square, in colour.

    Masks, values and shapes are given on the grid of that image, (row, column); the canvas turns and scales them with
    it. Colours are sRGB. Widths and text sizes are in pixels of the picture.

    Parameters
    ----------
    grey:
        uint8, (row, column).
    scale:
        Pixels of the picture per pixel of the image, along the direction in which the image's pixels are smaller.
    pixel_mm:
        Distance of pixels along (rows, columns), that is down and to the right; only the ratio counts.
    turn:
        How the image is to be looked at.
    """

    def __init__(
        self,
        grey: NDArray[np.uint8],
        *,
        scale: float = 1.0,
        pixel_mm: tuple[float, float] = (1.0, 1.0),
        turn: Turn = AS_STORED,
    ) -> None:
        self._shape = (int(grey.shape[0]), int(grey.shape[1]))
        self._turn = turn
        turned = turn.plane(grey)
        down_mm, right_mm = turn.pair(pixel_mm)
        finest = min(down_mm, right_mm)
        self._scale = (
            _bounded(scale * down_mm / finest, turned.shape[0]),
            _bounded(scale * right_mm / finest, turned.shape[1]),
        )
        self.size = (
            max(round(turned.shape[0] * self._scale[0]), 1),
            max(round(turned.shape[1] * self._scale[1]), 1),
        )
        """(height, width) of the picture."""
        self._pixels = self._resized(turned, Image.Resampling.BILINEAR)[..., None].repeat(3, axis=2)

    def outline(self, mask: NDArray[np.bool_], colour_rgb: Colour, width: float = 2.0, *, fill: float = 0.0) -> None:
        """Draw the edge of a mask (row, column); ``fill`` is how much of the colour its inside gets, 0 to 1."""
        if not mask.any():
            return
        turned = self._turn.plane(mask)
        if fill > 0.0:
            inside = self._resized(turned.astype(np.uint8) * 255, Image.Resampling.BILINEAR)
            share = inside[..., None].astype(np.float32) * np.float32(fill / 255.0)
            blend = self._pixels * (1.0 - share) + np.array(colour_rgb, dtype=np.float32) * share
            self._pixels = np.rint(blend).astype(np.uint8)
        stamp(self._pixels, mask_band(turned, self.size, width), colour_rgb)

    def shape(self, shape: Shape, colour_rgb: Colour, width: float = 2.0) -> None:
        """Draw a shape. Raises ValueError when a coordinate is not a number."""
        points, closed = shape_points(shape)
        stamp(self._pixels, line_band(self._on_picture(points), self.size, width, closed=closed), colour_rgb)

    def overlay(self, values: NDArray[np.float32], value_range: tuple[float, float], *, opacity: float = 0.6) -> None:
        """Colour the image by values (row, column): not at the low end of the range, by ``opacity`` at its high end."""
        share = shares(self._turn.plane(values), value_range)
        resized = np.asarray(Image.fromarray(share).resize(self.size[::-1], Image.Resampling.BILINEAR))
        # The map begins with black: low values leave the image as it is instead of darkening it.
        cover = (np.sqrt(np.clip(resized, 0.0, 1.0)) * np.float32(opacity))[..., None]
        blend = self._pixels * (1.0 - cover) + coloured(resized).astype(np.float32) * cover
        self._pixels = np.rint(blend).astype(np.uint8)

    def colour_bar(self, value_range: tuple[float, float], unit: str, *, size_px: int = 13) -> None:
        """Draw the colour map near the right edge, with the values of its ends; ``unit`` in UCUM."""
        height, width = self.size
        bar_height, bar_width = max(height // 2, 1), max(round(size_px * 0.7), 1)
        # Beside the orientation letter in the middle of the edge.
        top, left = height // 4, max(width - bar_width - 2 * size_px, 0)
        ramp = coloured(np.linspace(1.0, 0.0, bar_height, dtype=np.float32))[:, None, :]
        part = self._pixels[top : top + bar_height, left : left + bar_width]
        part[...] = np.broadcast_to(ramp, (bar_height, bar_width, 3))[: part.shape[0], : part.shape[1]]
        lower, upper = (lettering.fitting(lettering.with_unit(end, unit), width - 8, size_px) for end in value_range)
        end = left + bar_width
        self._write([(upper, (end, top - 4), "rd"), (lower, (end, top + bar_height + 4), "ra")], WHITE, size_px)

    def text(
        self, lines: Sequence[str], corner: Corner = Corner.UPPER_LEFT, *, colour_rgb: Colour = WHITE, size_px: int = 15
    ) -> None:
        """Write lines into a corner, each shortened to the width of the picture; lines without room are left out."""
        height, width = self.size
        step, margin = lettering.line_height(size_px), max(size_px // 3, 2)
        room = lines[: max((height - 2 * margin) // step, 1)]
        upper = corner in {Corner.UPPER_LEFT, Corner.UPPER_RIGHT}
        x = margin if corner in {Corner.UPPER_LEFT, Corner.LOWER_LEFT} else width - margin
        placed = []
        for n, line in enumerate(room):
            y = margin + n * step if upper else height - margin - (len(room) - 1 - n) * step
            placed.append((lettering.fitting(line, width - 2 * margin, size_px), (x, y), corner.value))
        self._write(placed, colour_rgb, size_px)

    def mark(self, letters: str, edge: Edge, *, size_px: int = 15) -> None:
        """Write an orientation letter in the middle of an edge."""
        height, width = self.size
        x = {Edge.LEFT: 4, Edge.RIGHT: width - 4}.get(edge, width // 2)
        y = {Edge.TOP: 4, Edge.BOTTOM: height - 4}.get(edge, height // 2)
        self._write([(lettering.writable(letters), (x, y), edge.value)], WHITE, size_px)

    def label(self, text: str, at: Place, colour_rgb: Colour, *, size_px: int = 13) -> None:
        """Write beside a place of the image (row, column), to its right, or to its left where there is no room."""
        y, x = self._on_picture(np.array([at], dtype=np.float64))[0]
        height, width = self.size
        line = lettering.fitting(text, width - 8, size_px)
        length = lettering.width_of(line, size_px)
        away = size_px  # beyond the ring that stands for a point
        x = x + away if x + away + length < width - 4 else max(x - away - length, 4)
        y = min(max(y, size_px), height - size_px)
        self._write([(line, (float(x), float(y)), "lm")], colour_rgb, size_px)

    def area_of(self, what: NDArray[np.bool_] | Shape) -> NDArray[np.bool_]:
        """Which pixels of the picture a mask (row, column) or the inside of a shape covers; the ring around a point."""
        if isinstance(what, np.ndarray):
            return self._resized(self._turn.plane(what).astype(np.uint8) * 255, Image.Resampling.BILINEAR) > 0
        points, closed = shape_points(what)
        image = Image.new("1", self.size[::-1])
        return np.array(filled(image, self._on_picture(points), closed=closed))

    def callout(
        self,
        text: str,
        own: NDArray[np.bool_],
        taken: NDArray[np.bool_],
        colour_rgb: Colour,
        *,
        size_px: int = 13,
    ) -> NDArray[np.bool_] | None:
        """Write a name beside what it names, and draw a line that leads there.

        ``own`` are the pixels of the picture that are named, ``taken`` those that text must not cover (``own`` among
        them). Returns the pixels that the text takes; None, and nothing is written, where there is no room for it.
        """
        line = lettering.fitting(text, self.size[1] // 2, size_px)
        height, width = lettering.line_height(size_px), int(np.ceil(lettering.width_of(line, size_px))) + 2
        spot = None
        if own.any() and line:
            spot = free_spot(own, taken, height_px=height, width_px=width, gap_px=max(size_px // 2, 2))
        if spot is None:
            return None
        leader = line_band(np.array([spot.start, spot.end]), self.size, 1.0, closed=False)
        # Paler than the outline, so that it is not taken for a part of it.
        stamp(self._pixels, leader, [(value + 255) // 2 for value in colour_rgb])
        self._write([(line, (spot.left + 1, (spot.top + spot.bottom) / 2), "lm")], colour_rgb, size_px)
        area = np.zeros(self.size, dtype=np.bool_)
        area[spot.top : spot.bottom, spot.left : spot.right] = True
        return area

    def pixels(self) -> NDArray[np.uint8]:
        """The picture: uint8, sRGB, (row, column, 3)."""
        return self._pixels.copy()

    def image(self) -> Image.Image:
        """The picture as an image."""
        return Image.fromarray(self._pixels)

    def _on_picture(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """(y, x) from the outer corner of the picture for places (row, column) of the image."""
        points: NDArray[np.float64] = (self._turn.places(places, self._shape) + 0.5) * np.array(self._scale)
        return points

    def _resized(self, plane: NDArray[np.uint8], filter_: Image.Resampling) -> NDArray[np.uint8]:
        return np.array(Image.fromarray(plane).resize(self.size[::-1], filter_))

    def _write(self, placed: Sequence[tuple[str, tuple[float, float], str]], colour_rgb: Colour, size_px: int) -> None:
        image = Image.fromarray(self._pixels)
        draw = ImageDraw.Draw(image)
        for line, place, anchor in placed:
            draw.text(
                place,
                line,
                fill=colour_rgb,
                font=lettering.font(size_px),
                anchor=anchor,
                stroke_width=max(size_px // 8, 1),
                stroke_fill=(0, 0, 0),
            )
        self._pixels = np.array(image)


def _bounded(scale: float, pixels: int) -> float:
    return min(scale, LARGEST_PX / pixels)
