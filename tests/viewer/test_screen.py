"""The arithmetic on pixels must find what is wrong: an overlay that is turned, moved, of another size or colour."""

from __future__ import annotations

import numpy as np
import pytest

from tests.viewer import screen
from tests.viewer.reading_room import SAME, View

SHAPE = (300, 360, 3)
PLACEMENT = screen.Placement(
    first=np.array([40.0, 25.0]), row_step=np.array([0.0, 2.5]), column_step=np.array([2.5, 0.0]),
    rows=(20, 290), columns=(30, 350),
)  # fmt: skip
MASK = np.zeros((100, 110), dtype=np.bool_)
MASK[20:60, 15:50] = True
MASK[40:60, 30:50] = False
COLOUR = np.array([70, 160, 255])


def grey() -> np.ndarray:
    ramp = np.linspace(30, 220, SHAPE[0] * SHAPE[1]).reshape(SHAPE[:2])
    return np.repeat(ramp[..., None], 3, axis=2).round().astype(np.uint8)


def overlaid(mask: np.ndarray, placement: screen.Placement = PLACEMENT, opacity: float = 0.5) -> np.ndarray:
    drawn, marks = grey().astype(float), screen.expected_marks(mask, placement, SHAPE)
    drawn[marks] = drawn[marks] * (1 - opacity) + COLOUR * opacity
    return drawn.round().astype(np.uint8)


def moved(x: float, y: float) -> screen.Placement:
    return screen.Placement(
        PLACEMENT.first + np.array([x, y]), PLACEMENT.row_step, PLACEMENT.column_step, PLACEMENT.rows, PLACEMENT.columns
    )


def test_an_overlay_in_its_place_is_found() -> None:
    view = View(grey(), overlaid(MASK), PLACEMENT)
    assert view.agreement(MASK).holds(**SAME)
    assert view.agreement(MASK).overlap == 1.0


@pytest.mark.parametrize(
    "drawn",
    [MASK[:, ::-1], MASK[::-1], MASK[::-1, ::-1], np.pad(MASK.T, ((0, 0), (0, 10)))[:100, :110], np.zeros_like(MASK)],
    ids=["left-right", "up-down", "turned", "transposed", "nothing"],
)
def test_an_overlay_elsewhere_is_found_out(drawn: np.ndarray) -> None:
    assert not View(grey(), overlaid(drawn), PLACEMENT).agreement(MASK).holds(**SAME)


@pytest.mark.parametrize("x", [-2.5, 2.5])
def test_an_overlay_one_image_pixel_off_is_found_out(x: float) -> None:
    assert not View(grey(), overlaid(MASK, moved(x, 0)), PLACEMENT).agreement(MASK).holds(**SAME)
    assert not View(grey(), overlaid(MASK, moved(0, x)), PLACEMENT).agreement(MASK).holds(**SAME)


def test_what_was_coloured_before_and_what_is_outside_the_viewport_do_not_count() -> None:
    before, after = grey(), overlaid(MASK)
    for one in (before, after):
        one[100:110, 330:340] = (255, 0, 0)
    after[5:15, 5:15] = (0, 255, 0)
    assert View(before, after, PLACEMENT).agreement(MASK).overlap == 1.0


@pytest.mark.parametrize("opacity", [0.3, 0.5, 0.9])
def test_colour_and_opacity_of_an_overlay(opacity: float) -> None:
    marks = screen.expected_marks(MASK, PLACEMENT, SHAPE)
    colour, found = screen.colour_of_overlay(grey(), overlaid(MASK, opacity=opacity), marks)
    assert colour == pytest.approx(COLOUR, abs=4)
    assert found == pytest.approx(opacity, abs=0.02)


def test_indices_and_places_are_each_others_inverse() -> None:
    index = PLACEMENT.to_index(SHAPE)
    places = PLACEMENT.to_screen(index.reshape(-1, 2)).reshape(index.shape)
    y, x = np.indices(SHAPE[:2]) + 0.5
    assert np.allclose(places, np.stack([x, y], axis=-1))
    assert PLACEMENT.zoom == pytest.approx(2.5)


TRIANGLE = np.array([[10.0, 10.0], [60.0, 30.0], [30.0, 90.0], [10.0, 10.0]])


def drawn_line(points: np.ndarray) -> np.ndarray:
    marks = np.zeros(SHAPE[:2], dtype=np.bool_)
    x, y = np.floor(screen.expected_line(points, PLACEMENT)).astype(int).T
    marks[y, x] = True
    return marks


def test_a_line_in_its_place() -> None:
    line = screen.expected_line(TRIANGLE, PLACEMENT)
    assert screen.coverage(line, drawn_line(TRIANGLE), within=2) == 1.0
    assert screen.strays(line, drawn_line(TRIANGLE), beyond=2) == 0.0


@pytest.mark.parametrize("change", [(0.0, 4.0), (4.0, 0.0)])
def test_a_line_elsewhere_is_found_out(change: tuple[float, float]) -> None:
    line = screen.expected_line(TRIANGLE, PLACEMENT)
    elsewhere = drawn_line(TRIANGLE + change)
    assert screen.coverage(line, elsewhere, within=4) < 0.9
    assert screen.strays(line, elsewhere, beyond=4) > 0.1
    assert screen.coverage(line, drawn_line(TRIANGLE[:2]), within=4) < 0.5, "only a part of it"
    assert screen.strays(line, np.zeros(SHAPE[:2], dtype=np.bool_), beyond=4) == 1.0


def test_likeness_tells_an_image_from_its_mirror_image() -> None:
    i, j = np.indices(MASK.shape)
    image = 30 + 1.5 * i + 0.2 * j + 20 * MASK
    values, _ = screen.sampled(image, PLACEMENT, SHAPE)
    shown = np.repeat(np.asarray(values)[..., None], 3, axis=2).astype(np.uint8)
    assert screen.likeness(shown, image, PLACEMENT) > 0.99
    assert screen.likeness(shown, image[::-1], PLACEMENT) < 0.5
