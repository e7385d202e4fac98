"""Names stand beside what they name, on nothing that was found, and a line leads there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.regions import Box, Circle, Line, Point, Polygon
from worker.drawing.callouts import free_spot
from worker.drawing.canvas import Canvas
from worker.drawing.orientation import Turn

RED = (255, 0, 0)
SIZE = (120, 160)


def area(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_the_first_choice_is_beside_it_to_the_right() -> None:
    own = area(40, 30, 80, 60)
    spot = free_spot(own, own, height_px=12, width_px=50, gap_px=5)
    assert spot is not None
    assert 65 <= spot.left < 75
    assert abs((spot.top + spot.bottom) / 2 - 60) < 5
    assert spot.start[1] == spot.left
    assert spot.end[1] == 59


def test_at_the_right_edge_it_stands_to_the_left() -> None:
    own = area(40, 120, 80, 160)
    spot = free_spot(own, own, height_px=12, width_px=50, gap_px=5)
    assert spot is not None
    assert spot.right <= 115


def test_where_all_is_taken_there_is_no_spot() -> None:
    own = area(40, 30, 80, 60)
    assert free_spot(own, np.ones(SIZE, bool), height_px=12, width_px=50, gap_px=5) is None
    assert free_spot(own, own, height_px=12, width_px=400, gap_px=5) is None


def test_the_line_crosses_no_other_finding() -> None:
    own, wall = area(50, 10, 60, 20), area(0, 30, 120, 34)
    spot = free_spot(own, own | wall, height_px=12, width_px=60, gap_px=5)
    assert spot is None, "behind the wall is room, but the line would cross it"


boxes = st.tuples(st.integers(0, 110), st.integers(0, 150), st.integers(1, 60), st.integers(1, 60))


@settings(max_examples=60, deadline=None)
@given(boxes, st.lists(boxes, max_size=4), st.integers(6, 20), st.integers(10, 80))
def test_no_text_covers_a_finding(first, others, height_px, width_px) -> None:
    own, *rest = (area(top, left, top + high, left + wide) for top, left, high, wide in (first, *others))
    taken = np.logical_or.reduce([own, *rest])
    spot = free_spot(own, taken, height_px=height_px, width_px=width_px, gap_px=4)
    if spot is not None:
        assert (spot.bottom - spot.top, spot.right - spot.left) == (height_px, width_px)
        assert 0 <= spot.top < spot.bottom <= SIZE[0]
        assert 0 <= spot.left < spot.right <= SIZE[1]
        assert not taken[spot.top : spot.bottom, spot.left : spot.right].any()
        assert own[round(spot.end[0]), round(spot.end[1])]


def test_a_canvas_leaves_what_is_named_alone() -> None:
    canvas = Canvas(np.full((60, 80), 90, np.uint8), scale=4.0)
    own = canvas.area_of(Box((20.0, 20.0), (40.0, 40.0)))
    before = canvas.pixels()
    written = canvas.callout("Nodule 1", own, own, RED)
    assert written is not None
    assert not (written & own).any()
    changed = (canvas.pixels() != before).any(axis=-1)
    inside = canvas.area_of(Box((21.5, 21.5), (38.5, 38.5)))
    assert changed.any()
    assert not (changed & inside).any()
    assert canvas.callout("Nodule 2", own, np.ones(canvas.size, bool), RED) is None


@pytest.mark.parametrize(
    ("shape", "inside", "outside"),
    [
        (Box((10.0, 10.0), (20.0, 30.0)), (15, 20), (25, 20)),
        (Polygon(np.array([(10.0, 10.0), (10.0, 30.0), (30.0, 10.0)])), (14, 14), (28, 28)),
        (Circle((30.0, 40.0), 8.0), (33, 44), (30, 52)),
        (Point((30.0, 40.0)), (30, 40), (30, 50)),
        (Line(np.array([(10.0, 10.0), (30.0, 50.0)])), (20, 30), (20, 50)),
    ],
)
@pytest.mark.parametrize("turn", [Turn(False, False, False), Turn(True, False, True)])
def test_the_area_of_a_shape(shape, inside, outside, turn) -> None:
    canvas = Canvas(np.zeros((60, 80), np.uint8), scale=4.0, turn=turn)
    covered = canvas.area_of(shape)
    for place, expected in ((inside, True), (outside, False)):
        mark = np.zeros((60, 80), bool)
        mark[place] = True
        at = canvas.area_of(mark)
        assert covered[at].any() == expected
