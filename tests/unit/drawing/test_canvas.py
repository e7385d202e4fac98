"""Drawings are where they should be, as thick as they should be, and visible on anything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.regions import Box, Circle, Ellipse, Line, Point, Polygon, Shape
from worker.drawing.canvas import LARGEST_PX, Canvas, Corner, Edge
from worker.drawing.orientation import Turn

RED = (255, 0, 0)
TURNS = [Turn(t, r, c) for t in (False, True) for r in (False, True) for c in (False, True)]


def grey(rows: int = 40, columns: int = 60, value: int = 90) -> np.ndarray:
    return np.full((rows, columns), value, np.uint8)


def inked(canvas: Canvas) -> np.ndarray:
    """Places (row, column) of the picture that are clearly red."""
    pixels = canvas.pixels().astype(int)
    return np.argwhere((pixels[..., 0] > 190) & (pixels[..., 1] < 80) & (pixels[..., 2] < 80))


def span(places: np.ndarray) -> tuple[int, int, int, int]:
    (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0)
    return int(top), int(bottom), int(left), int(right)


def test_pixels_are_as_given_at_scale_one() -> None:
    image = np.arange(200, dtype=np.uint8).reshape(10, 20)
    pixels = Canvas(image).pixels()
    assert pixels.dtype == np.uint8
    assert (pixels == image[..., None]).all()


@pytest.mark.parametrize(
    ("pixel_mm", "expected"), [((1.0, 1.0), (80, 120)), ((2.0, 1.0), (160, 120)), ((0.5, 1.5), (80, 360))]
)
def test_pixels_become_square(pixel_mm, expected) -> None:
    assert Canvas(grey(), scale=2.0, pixel_mm=pixel_mm).size == expected


def test_an_outline_lies_on_the_edge_of_the_mask() -> None:
    canvas = Canvas(grey(), scale=4.0)
    mask = np.zeros((40, 60), bool)
    mask[10:20, 15:30] = True
    canvas.outline(mask, RED, 2.0)
    top, bottom, left, right = span(inked(canvas))
    # Two pixels wide, with the edge in its middle.
    assert (top, bottom, left, right) == (39, 80, 59, 120)
    assert (canvas.pixels()[60, 90] == 90).all()  # the inside is free
    assert (canvas.pixels()[10, 10] == 90).all()


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (0, 0, 140), (128, 128, 128), (255, 200, 0)])
def test_an_outline_is_seen_on_black_grey_and_white(value, colour) -> None:
    canvas = Canvas(grey(value=value), scale=3.0)
    mask = np.zeros((40, 60), bool)
    mask[10:20, 15:30] = True
    canvas.outline(mask, colour)
    across = canvas.pixels()[25:35, 60].astype(int) @ [0.299, 0.587, 0.114]
    # Where the ink is like the image, its rim is not.
    assert across.max() - across.min() >= 75


def test_a_structure_smaller_than_a_pixel_of_the_picture_stays_visible() -> None:
    canvas = Canvas(grey(400, 600), scale=0.1)
    mask = np.zeros((400, 600), bool)
    mask[203, 307] = True
    canvas.outline(mask, RED)
    places = inked(canvas)
    assert len(places) >= 1
    assert np.abs(places.mean(axis=0) - (20, 30)).max() < 1.5


def test_masks_at_the_border_and_empty_masks() -> None:
    canvas = Canvas(grey(), scale=2.0)
    canvas.outline(np.zeros((40, 60), bool), RED)
    assert not len(inked(canvas))
    canvas.outline(np.ones((40, 60), bool), RED)
    assert span(inked(canvas)) == (0, 79, 0, 119)
    assert (canvas.pixels()[40, 60] == 90).all()


def test_the_inside_is_tinted_by_a_share() -> None:
    canvas = Canvas(grey(value=100), scale=2.0)
    mask = np.zeros((40, 60), bool)
    mask[10:30, 15:45] = True
    canvas.outline(mask, RED, fill=0.5)
    assert np.abs(canvas.pixels()[40, 60].astype(int) - (178, 50, 50)).max() <= 2


SHAPES: list[tuple[Shape, tuple[float, float, float, float]]] = [
    (Box((10.0, 15.0), (20.0, 30.0)), (10.0, 20.0, 15.0, 30.0)),
    (Circle((20.0, 30.0), 8.0), (12.0, 28.0, 22.0, 38.0)),
    (Ellipse(((20.0, 10.0), (20.0, 40.0)), ((15.0, 25.0), (25.0, 25.0))), (15.0, 25.0, 10.0, 40.0)),
    (Polygon(np.array([[5.0, 5.0], [30.0, 8.0], [25.0, 50.0]])), (5.0, 30.0, 5.0, 50.0)),
    (Line(np.array([[5.0, 5.0], [30.0, 50.0]])), (5.0, 30.0, 5.0, 50.0)),
]


@pytest.mark.parametrize(("shape", "extent"), SHAPES, ids=lambda one: type(one).__name__)
def test_shapes_are_drawn_through_the_centres_of_pixels(shape, extent) -> None:
    canvas = Canvas(grey(), scale=4.0)
    canvas.shape(shape, RED)
    found = span(inked(canvas))
    expected = [(v + 0.5) * 4.0 for v in extent]
    assert np.abs(np.array(found) + 0.5 - expected).max() <= 2.0, (found, expected)


def test_a_point_leaves_its_place_free() -> None:
    canvas = Canvas(grey(), scale=4.0)
    canvas.shape(Point((20.0, 30.0)), RED)
    places = inked(canvas)
    assert np.abs(places.mean(axis=0) + 0.5 - (82, 122)).max() < 1.0
    assert (canvas.pixels()[82, 122] == 90).all()


def test_a_shape_turns_with_its_image() -> None:
    for turn in TURNS:
        canvas = Canvas(grey(40, 60), scale=2.0, turn=turn)
        canvas.shape(Circle((8.0, 11.0), 4.0), RED)
        marked = np.zeros((40, 60), np.uint8)
        marked[8, 11] = 255
        where = np.argwhere(turn.plane(marked))[0]
        assert np.abs(inked(canvas).mean(axis=0) + 0.5 - (where + 0.5) * 2).max() < 1.0, turn


def test_masks_and_values_turn_with_their_image() -> None:
    mask = np.zeros((40, 60), bool)
    mask[5:11, 7:19] = True
    for turn in TURNS:
        expected = np.argwhere(turn.plane(mask)).mean(axis=0)
        outlined, heated = (Canvas(grey(), scale=2.0, turn=turn) for _ in range(2))
        outlined.outline(mask, RED)
        assert np.abs(inked(outlined).mean(axis=0) + 0.5 - (expected + 0.5) * 2).max() < 1.0
        heated.overlay(mask.astype(np.float32), (0.0, 1.0))
        warm = np.argwhere(np.ptp(heated.pixels().astype(int), axis=-1) > 60)
        assert np.abs(warm.mean(axis=0) + 0.5 - (expected + 0.5) * 2).max() < 1.5


def test_low_values_of_a_heat_map_leave_the_image_as_it_is() -> None:
    canvas = Canvas(grey(), scale=1.0)
    values = np.zeros((40, 60), np.float32)
    values[:, 30:] = [1.0]
    values[0, 0] = np.nan
    canvas.overlay(values, (0.0, 1.0))
    pixels = canvas.pixels().astype(int)
    assert (pixels[:, :29] == 90).all()
    assert (pixels[:, 31:] != 90).any(axis=-1).all()


def test_what_lies_outside_of_the_image_is_cut_off_and_does_no_harm() -> None:
    canvas = Canvas(grey(), scale=2.0)
    for shape in (
        Circle((1e9, -1e9), 5.0),
        Box((-1e12, -1e12), (1e12, 1e12)),
        Point((-50.0, 500.0)),
        Line(np.array([[20.0, -1e6], [20.0, 1e6]])),
    ):
        canvas.shape(shape, RED)
    top, bottom, left, right = span(inked(canvas))
    assert (left, right) == (0, 119)
    assert 39 <= top <= bottom <= 42


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_coordinate_that_is_no_number_is_refused(bad) -> None:
    with pytest.raises(ValueError, match="not a number"):
        Canvas(grey()).shape(Circle((1.0, bad), 2.0), RED)


def test_text_stays_in_the_picture_and_in_its_corner() -> None:
    for corner, (rows, columns) in {
        Corner.UPPER_LEFT: (slice(0, 46), slice(0, 110)),
        Corner.UPPER_RIGHT: (slice(0, 46), slice(110, None)),
        Corner.LOWER_LEFT: (slice(-46, None), slice(0, 110)),
        Corner.LOWER_RIGHT: (slice(-46, None), slice(110, None)),
    }.items():
        canvas = Canvas(grey(100, 220))
        canvas.text(["AI DRAFT", "42"], corner)
        changed = (canvas.pixels() != 90).any(axis=-1)
        assert changed[rows, columns].sum() == changed.sum() > 50


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30), st.integers(1, 60), st.integers(1, 60))
def test_any_text_fits_any_picture(text, rows, columns) -> None:
    canvas = Canvas(grey(rows, columns))
    canvas.text([text] * 3, Corner.LOWER_RIGHT)
    canvas.label(text, (0.0, 0.0), RED)
    canvas.mark(text[:3], Edge.TOP)
    canvas.colour_bar((0.0, 1.0), text)
    assert canvas.pixels().shape == (rows, columns, 3)


def test_a_picture_has_a_largest_size() -> None:
    assert Canvas(grey(2, 3000), scale=10.0).size == (20, LARGEST_PX)
    assert Canvas(grey(1, 1), scale=0.01).size == (1, 1)
