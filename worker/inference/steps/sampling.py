"""Sampling one grid at the points of another: axis by axis where the axes agree, point by point where not."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from worker.inference.image import Float, Mask

Interpolation = Literal["linear", "nearest"]

_TIE = 1e-6
"""Voxels: a point half way between two centres takes the upper one, whatever the last bits of the affine say."""


def sample(
    values: Float,
    matrix: NDArray[np.float64],
    shape: tuple[int, int, int],
    *,
    interpolation: Interpolation,
    nearest_axis: int | None = None,
) -> tuple[Float, Mask | None]:
    """Sample ``values`` at the grid of ``shape`` whose index (i, j, k) lies at index ``matrix @ (i, j, k, 1)``.

    Parameters
    ----------
    values:
        float32, shape (channel, a, b, c).
    matrix:
        4x4, from target index to source index (voxel centres are whole numbers).
    shape:
        Shape of the target grid.
    interpolation:
        "linear" (trilinear) or "nearest"; within the outer half voxel the border value continues.
    nearest_axis:
        Axis of the source (0 to 2) along which the nearest voxel is taken, whatever the interpolation.

    Returns
    -------
    tuple
        float32 of shape (channel, *shape), and a mask of the points inside the source's field of view (None where
        all are). Outside, the border value continues: the caller decides what stands there.
    """
    permutation = _permutation(matrix, shape)
    if permutation is None:
        return _sample_points(values, matrix, shape, interpolation=interpolation, nearest_axis=nearest_axis)
    aligned = values.transpose(0, *(1 + axis for axis in permutation))
    coordinates = [
        matrix[source, target] * np.arange(shape[target], dtype=np.float64) + matrix[source, 3]
        for target, source in enumerate(permutation)
    ]
    inside = _inside(coordinates, aligned.shape[1:])
    # The axis that shrinks the data most goes first: a tile of a large grid then touches only what it needs.
    for axis in sorted(range(3), key=lambda axis: shape[axis] / aligned.shape[axis + 1]):
        how: Interpolation = "nearest" if permutation[axis] == nearest_axis else interpolation
        aligned = _along(aligned, axis + 1, coordinates[axis], interpolation=how)
    return aligned, inside


def sample_filled(
    values: Float,
    matrix: NDArray[np.float64],
    shape: tuple[int, int, int],
    *,
    interpolation: Interpolation,
    outside: float,
) -> Float:
    """As ``sample``, with the value ``outside`` where the source has no field of view."""
    sampled, inside = sample(values, matrix, shape, interpolation=interpolation)
    if inside is None:
        return sampled
    filled: Float = np.where(inside, sampled, np.float32(outside))
    return filled


def clear_outside(
    labels: NDArray[np.uint8] | NDArray[np.uint16], matrix: NDArray[np.float64], size: tuple[int, int, int]
) -> None:
    """Set labels (a, b, c) to 0, in place, whose index ``matrix`` takes outside a grid of ``size``."""
    permutation = _permutation(matrix, (labels.shape[0], labels.shape[1], labels.shape[2]))
    if permutation is not None:
        for target, source in enumerate(permutation):
            points = matrix[source, target] * np.arange(labels.shape[target], dtype=np.float64) + matrix[source, 3]
            labels[(slice(None),) * target + (~_within(points, size[source]),)] = 0
        return
    plane = np.stack(np.meshgrid(*(np.arange(n) for n in labels.shape[1:]), indexing="ij")).reshape(2, -1)
    in_plane = matrix[:3, 1:3] @ plane + matrix[:3, 3:4]
    for i, one in enumerate(labels):
        points = in_plane + matrix[:3, 0:1] * i
        one[~np.all([_within(*pair) for pair in zip(points, size, strict=True)], axis=0).reshape(one.shape)] = 0


def _within(points: NDArray[np.float64], size: int) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (points >= -0.5 - _TIE) & (points <= size - 0.5 + _TIE)
    return found


def _permutation(matrix: NDArray[np.float64], shape: tuple[int, int, int]) -> tuple[int, ...] | None:
    """For each target axis the source axis along which it runs; None when an axis runs along several."""
    drift = np.abs(matrix[:3, :3]) * np.maximum(np.asarray(shape, dtype=np.float64), 2.0)
    strongest = np.argmax(np.abs(matrix[:3, :3]), axis=0)
    if sorted(strongest.tolist()) != [0, 1, 2]:
        return None
    for target, source in enumerate(strongest):
        others = [axis for axis in range(3) if axis != source]
        if np.any(drift[others, target] > 1e-4):  # a ten-thousandth of a voxel over the whole grid
            return None
    return tuple(int(axis) for axis in strongest)


def _inside(coordinates: list[NDArray[np.float64]], shape: tuple[int, ...]) -> Mask | None:
    per_axis = [_within(points, size) for points, size in zip(coordinates, shape, strict=True)]
    if all(bool(axis.all()) for axis in per_axis):
        return None
    mask: Mask = per_axis[0][:, None, None] & per_axis[1][None, :, None] & per_axis[2][None, None, :]
    return mask


def _along(values: Float, axis: int, points: NDArray[np.float64], *, interpolation: Interpolation) -> Float:
    size = values.shape[axis]
    if interpolation == "nearest":
        return _take(values, axis, np.clip(np.floor(points + 0.5 + _TIE), 0, size - 1).astype(np.intp))
    clipped = np.clip(points, 0.0, size - 1.0)
    lower = np.minimum(np.floor(clipped + _TIE), size - 1).astype(np.intp)
    weight = np.clip(clipped - lower, 0.0, 1.0)
    weight[weight < _TIE] = 0.0
    if not weight.any():
        return _take(values, axis, lower)
    broadcast = [1] * values.ndim
    broadcast[axis] = -1
    fraction = weight.astype(np.float32).reshape(broadcast)
    low = _take(values, axis, lower)
    high = _take(values, axis, np.minimum(lower + 1, size - 1))
    mixed: Float = (high - low) * fraction
    mixed += low
    return mixed


def _take(values: Float, axis: int, indices: NDArray[np.intp]) -> Float:
    if len(indices) and np.array_equal(indices, np.arange(indices[0], indices[0] + len(indices))):
        cut: list[slice] = [slice(None)] * values.ndim
        cut[axis] = slice(int(indices[0]), int(indices[0]) + len(indices))
        return values[tuple(cut)]  # a view: nothing is copied where nothing changes
    return np.take(values, indices, axis=axis)


def _sample_points(
    values: Float,
    matrix: NDArray[np.float64],
    shape: tuple[int, int, int],
    *,
    interpolation: Interpolation,
    nearest_axis: int | None,
) -> tuple[Float, Mask | None]:
    """Oblique or sheared against the source: plane by plane, so that coordinates never fill the memory."""
    size = np.asarray(values.shape[1:], dtype=np.float64)
    result: Float = np.empty((values.shape[0], *shape), dtype=np.float32)
    inside: Mask = np.empty(shape, dtype=np.bool_)
    plane = np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")).reshape(2, -1)
    in_plane = matrix[:3, 1:3] @ plane + matrix[:3, 3:4]
    for i in range(shape[0]):
        points = in_plane + matrix[:3, 0:1] * i
        inside[i] = np.all((points >= -0.5 - _TIE) & (points <= size[:, None] - 0.5 + _TIE), axis=0).reshape(shape[1:])
        if interpolation == "nearest":
            points = np.floor(points + 0.5 + _TIE)
        elif nearest_axis is not None:
            points[nearest_axis] = np.floor(points[nearest_axis] + 0.5 + _TIE)
        for channel in range(values.shape[0]):
            order = 1 if interpolation == "linear" else 0
            sampled = scipy.ndimage.map_coordinates(values[channel], points, order=order, mode="nearest")
            result[channel, i] = sampled.reshape(shape[1:])
    return result, None if bool(inside.all()) else inside
