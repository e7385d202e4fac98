"""What preprocessing steps pass on: an array and where it lies in the patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from worker.domain.volume import Geometry

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """Values on a regular grid.

    ``values`` is float32 of shape (channel, a, b, c); ``geometry`` describes its last three axes, in whatever order
    the steps so far have left them. ``kept`` holds named pairs of numbers that a later chain needs again (the
    intensity range that a localiser found in the whole volume). ``bounds`` is the box that the last crop to a
    foreground has left: what was cut away belongs to nothing.
    """

    values: Float
    geometry: Geometry
    kept: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    bounds: Geometry | None = None

    def with_values(self, values: Float) -> Image:
        """The same place, other values (same shape of the last three axes)."""
        return replace(self, values=values)

    def on_grid(self, values: Float, geometry: Geometry) -> Image:
        """Other values at another place, of the same source."""
        return replace(self, values=values, geometry=geometry)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What a net says: float32 of shape (channel, a, b, c), and where it lies in the patient."""

    values: Float
    geometry: Geometry


def regrid(geometry: Geometry, *, shape: tuple[int, int, int], step: NDArray[np.float64]) -> Geometry:
    """The grid whose index (i, j, k) lies at index ``step @ (i, j, k, 1)`` of ``geometry`` (step is 4x4)."""
    return Geometry(shape=shape, affine_lps=np.asarray(geometry.affine_lps @ step, dtype=np.float64))


def over_same_field(geometry: Geometry, shape: tuple[int, int, int]) -> Geometry:
    """The grid of another number of voxels over the same field of view (outer edges coincide)."""
    step: NDArray[np.float64] = np.eye(4)
    for axis, (n, m) in enumerate(zip(geometry.shape, shape, strict=True)):
        step[axis, axis] = n / m
        step[axis, 3] = (n - 1) / 2 - (n / m) * (m - 1) / 2
    return regrid(geometry, shape=shape, step=step)


def index_map(*, of: Geometry, into: Geometry) -> NDArray[np.float64]:
    """The 4x4 matrix that maps indices of grid ``of`` to fractional indices of grid ``into`` (shear included)."""
    matrix: NDArray[np.float64] = np.linalg.inv(into.affine_lps) @ of.affine_lps
    return matrix


def shape_of(values: Float) -> tuple[int, int, int]:
    """The last three axes of (channel, a, b, c)."""
    return int(values.shape[1]), int(values.shape[2]), int(values.shape[3])
