"""A scalar volume with its place in the patient: what the NRRD and NIfTI readers return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Voxel values and the affine that places them.

    values
        Shape (slice, row, column).
    affine_lps
        4x4, maps the column vector (slice, row, column, 1) to LPS millimetres of the voxel centre.
    """

    values: Values
    affine_lps: Matrix

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of voxel centres along (slice, row, column)."""
        slice_mm, row_mm, column_mm = (float(v) for v in np.linalg.norm(self.affine_lps[:3, :3], axis=0))
        return slice_mm, row_mm, column_mm


def to_axial(grid: Grid) -> Grid:
    """Reorder the axes: slices toward the Head, rows toward Posterior, columns toward Left.

    Only permutes and reverses axes (no interpolation), and moves the affine along, so every voxel
    keeps its LPS position. Oblique volumes keep their obliquity.
    """
    # Patient axis (0=L, 1=P, 2=H) that each index axis mostly runs along.
    runs_along = [int(np.argmax(np.abs(grid.affine_lps[:3, axis]))) for axis in range(3)]
    if sorted(runs_along) != [0, 1, 2]:
        raise ValueError("two axes of the volume run along the same patient axis")
    order = [runs_along.index(patient_axis) for patient_axis in (2, 1, 0)]
    values = grid.values.transpose(order)
    affine = grid.affine_lps[:, [*order, 3]].copy()
    for axis, patient_axis in enumerate((2, 1, 0)):
        if affine[patient_axis, axis] < 0:
            values = np.flip(values, axis)
            affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
            affine[:3, axis] *= -1
    return Grid(np.ascontiguousarray(values), affine)
