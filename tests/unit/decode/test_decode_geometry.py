"""Geometry: pure functions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.decode.planes.geometry import (
    affine_of,
    axes_of,
    gaps_of,
    groups_of_orientation,
    groups_of_position,
    median_spacing_mm,
    name_of_orientation,
    step_of,
)
from worker.domain.volume import Geometry

angles = st.floats(-180, 180)
millimetres = st.floats(0.2, 10)


def rotation(x_deg: float, y_deg: float, z_deg: float) -> np.ndarray:
    x, y, z = np.radians([x_deg, y_deg, z_deg])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def orientation_of(matrix: np.ndarray) -> tuple[float, ...]:
    return (*matrix[:, 0], *matrix[:, 1])


@pytest.mark.parametrize(
    ("turned_deg", "name"),
    [((0, 0, 0), "axial"), ((0, 0, 33), "axial"), ((15, 0, 0), "axial"), ((25, 0, 0), "oblique"),
     ((90, 0, 0), "coronal"),
     ((0, 90, 0), "sagittal"), ((180, 0, 0), "axial"), ((-90, 0, 90), "sagittal"), ((45, 45, 0), "oblique")],
)  # fmt: skip
def test_names(turned_deg: tuple[float, float, float], name: str) -> None:
    assert name_of_orientation(rotation(*turned_deg)[:, 2]) == name


@given(angles, angles, angles)
def test_axes_are_right_handed(x: float, y: float, z: float) -> None:
    axes = axes_of(orientation_of(rotation(x, y, z)))
    assert axes is not None
    assert np.linalg.det(np.stack([axes.row, axes.column, axes.normal])) == pytest.approx(1)


@pytest.mark.parametrize(
    "orientation",
    [(), (1, 0, 0), (0, 0, 0, 0, 0, 0), (1, 0, 0, 1, 0, 0), (2, 0, 0, 0, 1, 0), (1, 0, 0, 0.1, 0.99, 0),
     (float("nan"), 0, 0, 0, 1, 0)],
)  # fmt: skip
def test_what_is_no_plane_has_no_axes(orientation: tuple[float, ...]) -> None:
    assert axes_of(orientation) is None


@given(angles, angles, angles, st.tuples(millimetres, millimetres, millimetres), st.tuples(*[st.floats(-500, 500)] * 3),
       st.floats(-30, 30), st.tuples(*[st.floats(-20, 600)] * 3))  # fmt: skip
def test_index_to_lps_and_back(x, y, z, spacing, origin, tilt_deg, index) -> None:
    axes = axes_of(orientation_of(rotation(x, y, z)))
    assert axes is not None
    step = axes.normal * spacing[0] + axes.column * spacing[0] * np.tan(np.radians(tilt_deg))
    affine = affine_of(
        origin=np.array(origin), step=step, axes=axes, row_spacing_mm=spacing[1], column_spacing_mm=spacing[2]
    )
    geometry = Geometry(shape=(5, 6, 7), affine_lps=affine)
    point = geometry.to_patient_mm(np.array(index))
    # PS3.3 C.7.6.2.1.1: position, plus column index along the row direction, plus row index along the column direction
    k, i, j = index
    expected = np.array(origin) + k * step + j * spacing[2] * axes.row + i * spacing[1] * axes.column
    assert np.allclose(point, expected, atol=1e-6)
    assert np.allclose(geometry.to_index(point), index, atol=1e-6)
    assert geometry.voxel_volume_mm3 == pytest.approx(spacing[0] * spacing[1] * spacing[2])


@given(st.integers(2, 40), millimetres, angles, angles)
def test_regular_planes_have_no_gaps(count: int, spacing: float, x: float, y: float) -> None:
    normal = rotation(x, y, 0)[:, 2]
    positions = np.array([7.0, -3.0, 11.0]) + np.arange(count)[:, None] * spacing * normal
    gaps = gaps_of(positions, normal)
    assert gaps.missing_after == ()
    assert gaps.irregular_mm < 1e-6
    assert gaps.spacing_mm == pytest.approx(spacing)
    assert np.allclose(step_of(positions), normal * spacing)
    assert median_spacing_mm(positions[::-1], normal) == pytest.approx(spacing)


@given(st.integers(8, 40), st.data())
def test_one_missing_plane_is_found_where_it_is(count: int, data: st.DataObject) -> None:
    gone = data.draw(st.integers(1, count - 2))
    positions = np.array([[0.0, 0.0, 2.5 * k] for k in range(count) if k != gone])
    assert gaps_of(positions, np.array([0.0, 0.0, 1.0])).missing_after == (gone - 1,)


@given(st.permutations(range(9)))
def test_order_does_not_matter(order: list[int]) -> None:
    positions = np.array([[0.0, 0.0, -3.0 * k] for k in order])
    groups = groups_of_position(positions, np.array([0.0, 0.0, 1.0]))
    assert [order[group[0]] for group in groups] == list(range(8, -1, -1))


def test_planes_at_one_place_are_one_group() -> None:
    positions = np.array([[0, 0, 0], [0, 0, 5.0], [0, 0, 0.004], [0, 0, 5.0]])
    assert groups_of_position(positions, np.array([0.0, 0.0, 1.0])) == [[0, 2], [1, 3]]


def test_largest_orientation_group_comes_first() -> None:
    axial, coronal = (1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1)
    assert groups_of_orientation([coronal, axial, (1, 0.0005, 0, 0, 1, 0), axial]) == [[1, 2, 3], [0]]


def test_opposite_directions_are_not_the_same() -> None:
    assert len(groups_of_orientation([(1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, 1, 0)])) == 2
