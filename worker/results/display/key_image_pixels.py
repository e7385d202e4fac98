"""The pictures of key images: a slice with what was found on it, and pages of statements.

They carry no patient name, number or date: only what the model concluded is written on them, and that it is a draft.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from worker.domain.findings import HeatMap, Segmentation
from worker.drawing import lettering
from worker.drawing.canvas import WARNING, Canvas, Corner, Edge
from worker.drawing.strokes import shape_points
from worker.drawing.voi_window import default_window, windowed
from worker.results.coding import is_anatomical
from worker.results.context import EncoderInput
from worker.results.display.key_slices import Choice, Colour, KeySlice, hottest, legible, unit_text
from worker.results.display.source_display import SourceDisplay, opposite, patient_orientation, plane_of
from worker.results.display.statement_pages import DRAFT, Line, made_by, statement_lines, wrapped

SMALLEST_PX, LARGEST_PX = 768, 1536
"""Between them lies the longer side of a slice: text stays legible on small matrices, objects small on large ones."""

PAGE_PX = 768
MOST_PAGES = 8
"""Statements beyond that are counted, not written."""

_MOST_LEGEND_LINES = 24
_MOST_NAMES = 6
"""With more findings on a slice their names would cover it; the legend has them."""

_NEIGHBOURHOOD_PX = 15

Area = NDArray[np.bool_]
"""Pixels of a picture, (row, column)."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture: uint8, sRGB, (row, column, 3).

    ``key_slice`` is what it shows; None for a page of statements. ``image_px`` is the part of it, from its upper left
    corner on, that is the image (height, width); the rest is legend. ``words`` are what is written on it.
    """

    pixels: NDArray[np.uint8]
    words: tuple[str, ...]
    key_slice: KeySlice | None = None
    image_px: tuple[int, int] = (0, 0)


def draw_slices(inputs: EncoderInput, choice: Choice, displays: tuple[SourceDisplay, ...]) -> Iterator[Picture]:
    """Draw every chosen slice; once for each heat map that is hot there. ``displays``: how they want to be shown."""
    for key_slice, display in zip(choice.slices, displays, strict=True):
        hot = [one for one in inputs.conclusion.heat_maps if hottest(one)[0] == key_slice.index]
        if not hot:
            yield _draw(inputs, key_slice, display, None)
        for heat_map in hot:
            yield _draw(inputs, key_slice, display, heat_map)


def draw_pages(inputs: EncoderInput, choice: Choice) -> tuple[Picture, ...]:
    """Write down everything that was concluded; at least one page."""
    size = max(PAGE_PX // 45, 15)
    step = lettering.line_height(size)
    room = (PAGE_PX - size) // step
    written = list(wrapped(statement_lines(inputs, choice), PAGE_PX - 3 * size, size))
    pages = [written[n : n + room - 2] for n in range(0, len(written), room - 2)]
    if len(pages) > MOST_PAGES:
        more = sum(len(page) for page in pages[MOST_PAGES:]) + 1
        pages = pages[:MOST_PAGES]
        pages[-1] = [*pages[-1][:-1], Line(f"and {more} more lines, which are not shown here", WARNING)]
    pictures = []
    for n, page in enumerate(pages):
        head = [Line(f"{DRAFT} - page {n + 1} of {len(pages)}", WARNING)] if n else []
        lines = [*head, *page]
        pictures.append(Picture(_written(lines, (PAGE_PX, PAGE_PX), size), tuple(line.text for line in lines)))
    return tuple(pictures)


def _draw(inputs: EncoderInput, key_slice: KeySlice, display: SourceDisplay, heat_map: HeatMap | None) -> Picture:
    volume, index = inputs.conclusion.volume, key_slice.index
    _, row_mm, column_mm = volume.geometry.spacing_mm if volume.has_spacing else (1.0, 1.0, 1.0)
    plane = volume.voxels[index]
    low, high = default_window(plane, volume.modality, of_interest=_of_interest(inputs, index))
    grey = windowed(plane, low=low, high=high)
    if display.is_inverted and volume.in_patient_space:
        grey = 255 - grey  # outside of patient space the volume's values grow with brightness already
    canvas = Canvas(grey, scale=_scale(grey.shape, (row_mm, column_mm)), pixel_mm=(row_mm, column_mm))
    size = max(canvas.size[1] // 48, 13)
    if heat_map is not None:
        canvas.overlay(heat_map.values[index], heat_map.value_range)
    drawn = _draw_findings(canvas, inputs, key_slice, size)
    if heat_map is not None:
        canvas.colour_bar(heat_map.value_range, unit_text(heat_map.unit).strip(), size_px=size)
    _draw_letters(canvas, inputs, index, display, size)
    canvas.text(["AI DRAFT - not verified"], Corner.UPPER_LEFT, colour_rgb=WARNING, size_px=size)
    legend = _legend(inputs, key_slice, display, drawn, heat_map)
    lines = list(wrapped(legend, canvas.size[1] - 3 * size, size))
    if len(lines) > _MOST_LEGEND_LINES:
        more = len(lines) - _MOST_LEGEND_LINES + 1
        lines = [*lines[: _MOST_LEGEND_LINES - 1], Line(f"and {more} more lines: see the pages of statements", WARNING)]
    panel = _written(lines, ((len(lines) + 1) * lettering.line_height(size), canvas.size[1]), size)
    return Picture(
        pixels=np.vstack([canvas.pixels(), panel]),
        words=tuple(line.text for line in legend),
        key_slice=key_slice,
        image_px=canvas.size,
    )


def _scale(shape: tuple[int, ...], pixel_mm: tuple[float, float]) -> float:
    finest = min(pixel_mm)
    longest = max(shape[0] * pixel_mm[0] / finest, shape[1] * pixel_mm[1] / finest)
    return float(min(max(SMALLEST_PX / longest, 1.0), LARGEST_PX / longest))


def _of_interest(inputs: EncoderInput, index: int) -> NDArray[np.float32]:
    """The values that decide on the window of a slice: around what is abnormal on it, else inside what was outlined."""
    conclusion = inputs.conclusion
    around = np.zeros(conclusion.volume.geometry.shape[1:], dtype=np.bool_)
    outlined = around.copy()
    for finding in conclusion.segmentations:
        outlined |= finding.labels[index] > 0
        for segment in finding.segments:
            if not is_anatomical(segment.category):
                _add_neighbourhood(around, np.argwhere(finding.mask(segment, index)).astype(np.float64))
    for region in conclusion.regions:
        if region.slice_index == index:
            _add_neighbourhood(around, shape_points(region.shape)[0])
    values: NDArray[np.float32] = conclusion.volume.voxels[index][around if around.any() else outlined]
    return values


def _add_neighbourhood(mask: NDArray[np.bool_], places: NDArray[np.float64]) -> None:
    if len(places):
        low = np.maximum(np.floor(places.min(axis=0)) - _NEIGHBOURHOOD_PX, 0).astype(int)
        high = np.maximum(np.ceil(places.max(axis=0)) + _NEIGHBOURHOOD_PX, 1).astype(int)
        mask[low[0] : high[0], low[1] : high[1]] = True


def _draw_findings(canvas: Canvas, inputs: EncoderInput, key_slice: KeySlice, size: int) -> dict[str, Colour]:
    """Draw everything that was found on a slice; returns its labels with their colours."""
    colours, index = dict(inputs.profile.colours), key_slice.index
    drawn: dict[str, tuple[Colour, Area]] = {}
    for finding in inputs.conclusion.segmentations:
        drawn |= _draw_segments(canvas, finding, index, colours)
    for region in inputs.conclusion.regions:
        first, last = region.extent or (region.slice_index, region.slice_index)
        if first <= index <= last or region.slice_index == index:
            label, colour = legible(region.label, region.type.meaning), colours.get(region.label, region.colour_rgb)
            canvas.shape(region.shape, colour)
            drawn[label] = colour, canvas.area_of(region.shape)
    hot = [
        legible(heat_map.label, heat_map.quantity.meaning)
        for heat_map in inputs.conclusion.heat_maps
        if hottest(heat_map)[0] == index
    ]
    if len(drawn) <= _MOST_NAMES:
        _name(canvas, drawn, size, beside_a_bar=bool(hot))
    return {label: colour for label, (colour, _) in drawn.items()} | dict.fromkeys(hot, (235, 235, 235))


def _name(canvas: Canvas, drawn: dict[str, tuple[Colour, Area]], size: int, *, beside_a_bar: bool) -> None:
    """Write the names of what was drawn beside it, where that covers no finding; the legend has all of them."""
    height, width = canvas.size
    taken = np.zeros(canvas.size, dtype=np.bool_)
    taken[: 2 * size] = taken[-2 * size :] = taken[:, : 2 * size] = taken[:, -2 * size :] = True  # the letters
    if beside_a_bar:
        taken[height // 4 - 2 * size : height - height // 4 + 2 * size, width - 6 * size :] = True
    for _, own in drawn.values():
        taken |= own
    for label, (colour, own) in drawn.items():
        written = canvas.callout(label, own, taken, colour, size_px=size)
        if written is not None:
            taken |= written


def _draw_segments(
    canvas: Canvas, finding: Segmentation, index: int, colours: dict[str, Colour]
) -> dict[str, tuple[Colour, Area]]:
    present = set(np.unique(finding.labels[index]).tolist())
    drawn = {}
    for segment in finding.segments:
        if present.intersection(segment.numbers):
            colour = colours.get(segment.label, segment.colour_rgb)
            mask = finding.mask(segment, index)
            canvas.outline(mask, colour)
            drawn[legible(segment.label, segment.type.meaning)] = colour, canvas.area_of(mask)
    return drawn


def _draw_letters(canvas: Canvas, inputs: EncoderInput, index: int, display: SourceDisplay, size: int) -> None:
    plane = plane_of(inputs.source.frames[index])
    directions = display.orientation if plane is None else patient_orientation(plane.orientation)
    if len(directions) == 2:
        right, down = directions
        for letters, edge in (
            (opposite(right), Edge.LEFT), (right, Edge.RIGHT), (opposite(down), Edge.TOP), (down, Edge.BOTTOM)
        ):  # fmt: skip
            canvas.mark(letters, edge, size_px=size)


def _legend(
    inputs: EncoderInput,
    key_slice: KeySlice,
    display: SourceDisplay,
    drawn: dict[str, Colour],
    heat_map: HeatMap | None,
) -> tuple[Line, ...]:
    count = inputs.conclusion.volume.geometry.shape[0]
    lines = [
        Line(DRAFT, WARNING),
        Line(made_by(inputs)),
        Line(f"Slice {key_slice.index + 1} of {count}{display.numbered}"),
        *(Line(one.line, one.colour_rgb) for one in key_slice.key_findings),
    ]
    if heat_map is not None:
        low, high = heat_map.value_range
        what = f"{heat_map.quantity.meaning}, {low:.4g} to {high:.4g}{unit_text(heat_map.unit)}"
        lines.append(Line(f"Coloured: {legible(heat_map.label, heat_map.quantity.meaning)}, {what}"))
    told = {one.label for one in key_slice.key_findings}
    lines += [Line(f"Also on this image: {label}", colour) for label, colour in drawn.items() if label not in told]
    return tuple(lines)


def _written(lines: list[Line], size: tuple[int, int], size_px: int) -> NDArray[np.uint8]:
    """Lines on black, one below the other; what has no room is left out."""
    canvas = Canvas(np.zeros(size, dtype=np.uint8))
    step = lettering.line_height(size_px)
    for n, line in enumerate(lines):
        if line.text:
            # A label stands its own size to the right of its place, in its middle.
            canvas.label(line.text, (step * (n + 1) - 0.5, 0.0), line.colour_rgb, size_px=size_px)
    return canvas.pixels()


def same_size(pictures: tuple[Picture, ...]) -> tuple[Picture, ...]:
    """Make the pictures equally high and wide, black where they were not: frames of one object are."""
    height = max((one.pixels.shape[0] for one in pictures), default=0)
    width = max((one.pixels.shape[1] for one in pictures), default=0)
    return tuple(
        replace(
            one,
            pixels=np.pad(one.pixels, ((0, height - one.pixels.shape[0]), (0, width - one.pixels.shape[1]), (0, 0))),
        )
        for one in pictures
    )
