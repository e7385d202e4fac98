"""Cubic B-splines on regular grids, and the smoothing that goes before a coarser grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from worker.inference.image import Float, Image


def spline(values: Float, step: NDArray[np.float64], shape: tuple[int, int, int], *, order: int = 3) -> Float:
    """Sample (channel, a, b, c) along its own axes by a B-spline; beyond the edge the border value continues.

    ``step`` is diagonal with an offset (4x4): index of the result to index of ``values``. Equal to
    ``scipy.ndimage.zoom(..., mode="nearest", grid_mode=True)`` where the fields of view coincide. Splines overshoot at
    edges; nothing is clipped.
    """
    result: Float = np.empty((values.shape[0], *shape), dtype=np.float32)
    for channel, out in zip(values, result, strict=True):
        scipy.ndimage.affine_transform(
            channel.astype(np.float64),
            np.diag(step[:3, :3]),
            offset=step[:3, 3],
            output_shape=shape,
            output=out,
            order=order,
            mode="nearest",
        )
    return result


def smoothed(image: Image, scales: Sequence[float]) -> Image:
    """Smooth by a Gaussian along every axis whose voxels become ``scales`` times as large, where that is above 1.

    The standard deviation is (scale - 1) / 2 voxels (``skimage.transform.resize`` with ``anti_aliasing``).
    """
    sigmas = [max(0.0, (scale - 1) / 2) for scale in scales]
    if not any(sigmas):
        return image
    values: Float = np.empty_like(image.values)
    for channel, out in zip(image.values, values, strict=True):
        scipy.ndimage.gaussian_filter(channel, sigmas, output=out, mode="nearest")
    return image.with_values(values)
