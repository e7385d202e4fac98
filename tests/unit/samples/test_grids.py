"""Axial reordering keeps every voxel at its place in the patient."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from worker.samples.grids import Grid, to_axial


def a_grid(order: tuple[int, ...], signs: tuple[int, ...], tilt_deg: float = 0.0) -> Grid:
    """2 x 3 x 4 voxels whose index axes run along the patient axes `order` with `signs`."""
    angle = np.deg2rad(tilt_deg)
    tilt = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    directions = np.zeros((3, 3))
    for axis, (patient_axis, sign) in enumerate(zip(order, signs, strict=True)):
        directions[patient_axis, axis] = sign * (1.0, 2.0, 3.0)[axis]
    affine[:3, :3] = tilt @ directions
    affine[:3, 3] = (5, -6, 7)
    return Grid(np.arange(24).reshape(2, 3, 4), affine)


def places(grid: Grid) -> dict[int, tuple[float, ...]]:
    """Voxel value to its LPS position; values are unique."""
    return {
        int(grid.values[index]): tuple(np.round((grid.affine_lps @ [*index, 1])[:3], 6))
        for index in np.ndindex(grid.values.shape)
    }


@pytest.mark.parametrize("order", list(permutations((0, 1, 2))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
@pytest.mark.parametrize("tilt_deg", [0.0, 15.0])
def test_every_orientation_ends_axial_and_moves_no_voxel(
    order: tuple[int, ...], signs: tuple[int, ...], tilt_deg: float
) -> None:
    grid = a_grid(order, signs, tilt_deg)
    axial = to_axial(grid)
    assert places(axial) == places(grid)
    # (slice, row, column) run toward (Head, Posterior, Left)
    dominant = [axial.affine_lps[patient_axis, axis] for axis, patient_axis in enumerate((2, 1, 0))]
    assert all(value > 0 for value in dominant)


def test_degenerate_axes_are_refused() -> None:
    affine = np.eye(4)
    affine[:3, 1] = affine[:3, 0]
    with pytest.raises(ValueError, match="same patient axis"):
        to_axial(Grid(np.zeros((2, 2, 2)), affine))
