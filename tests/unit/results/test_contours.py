from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from worker.results.contours import TOLERANCE_PX, _distance, _trace, largest_component, outline, polygon_area_px

masks = npst.arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14))).filter(lambda mask: mask.any())


@forall(masks)
@settings(max_examples=300)
def test_the_traced_edge_encloses_exactly_the_component(mask) -> None:
    component = largest_component(mask)
    assert polygon_area_px(_trace(component)) == np.count_nonzero(component)


@forall(masks)
@settings(max_examples=300)
def test_outlines_are_closed_inside_and_near_the_edge(mask) -> None:
    component = largest_component(mask)
    points, edge = outline(component), _trace(component)
    assert np.array_equal(points[0], points[-1])
    assert points.min() >= 0
    assert (points.max(axis=0) <= component.shape[::-1]).all()
    for corner in edge:
        nearest = min(float(_distance(corner[None], a, b)[0]) for a, b in pairwise(points))
        assert nearest <= TOLERANCE_PX + 1e-9


@forall(masks)
def test_the_largest_part_is_chosen_with_its_holes(mask) -> None:
    component = largest_component(mask)
    assert (component & mask).any()
    assert np.array_equal(largest_component(component), component)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (2, 2), (3, 5)])
def test_small_rectangles_are_not_taken_for_boxes(shape) -> None:
    mask = np.zeros((9, 9), bool)
    mask[2 : 2 + shape[0], 1 : 1 + shape[1]] = True
    points = outline(mask)
    assert len(points) > 5
    assert polygon_area_px(points) == shape[0] * shape[1]
    assert points.min(axis=0).tolist() == [1, 2]
    assert points.max(axis=0).tolist() == [1 + shape[1], 2 + shape[0]]


def test_the_whole_image() -> None:
    points = outline(np.ones((7, 5), bool))
    assert polygon_area_px(points) == 35
    assert points.max(axis=0).tolist() == [5, 7]


def test_a_large_round_structure_has_few_points_and_its_area() -> None:
    y, x = np.mgrid[:512, :512]
    mask = (y - 250.3) ** 2 + (x - 240.1) ** 2 < 200**2
    points = outline(mask)
    assert 20 < len(points) <= 400
    assert polygon_area_px(points) == pytest.approx(np.count_nonzero(mask), rel=0.005)


def test_a_fringed_structure_keeps_to_the_limit_of_points() -> None:
    rng = np.random.default_rng(1)
    mask = np.zeros((300, 300), bool)
    mask[100:200] = True
    for column in range(0, 300, 2):
        mask[100 - rng.integers(2, 60) : 100, column] = True
    assert len(outline(mask)) <= 400
    assert len(outline(mask, maximum_points=5000)) > 400
