"""Where windows lie, and how much each of their voxels weighs. Pure arithmetic on one axis or one patch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import scipy

from worker.inference.image import Float

Placement = Literal["fixed_step", "even_step"]
"""How windows are placed along an axis.

"fixed_step": one step of (1 - overlap) of the window, the last window moved back to the end (MONAI). "even_step": as
many windows as that needs, evenly spaced from the first to the last voxel (nnU-Net).
"""
Weighting = Literal["constant", "gaussian", "gaussian_filter"]
"""How much a voxel of a window counts.

"gaussian": by its distance from the middle, never less than a thousandth (MONAI). "gaussian_filter": a filtered
impulse, in half precision (nnU-Net). Both with a standard deviation of an eighth of the window by default.
"""


def starts(size: int, window: int, *, overlap: float, placement: Placement) -> tuple[int, ...]:
    """First indices of the windows along an axis of ``size`` voxels, at least ``window``; all voxels are covered."""
    last = size - window
    if placement == "fixed_step":
        step = window if window == size else max(1, int(window * (1 - overlap)))
        count = next(n for n in range(size) if n * step + window >= size) + 1
        return tuple(min(n * step, last) for n in range(count))
    count = math.ceil(last / (window * (1 - overlap))) + 1
    spacing = last / (count - 1) if count > 1 else 0.0
    return tuple(int(np.round(spacing * n)) for n in range(count))


@lru_cache(maxsize=4)
def weights(shape: tuple[int, ...], *, weighting: Weighting, sigma: float = 0.125) -> Float:
    """The weight of each voxel of a window, float32, all above 0."""
    if weighting == "constant":
        return np.ones(shape, np.float32)
    if weighting == "gaussian":
        publisher: Float = np.ones((1,) * len(shape), np.float32)
        for axis, size in enumerate(shape):
            x = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
            along = np.exp(x**2 / np.float32(-2 * (sigma * size) ** 2))
            publisher = publisher * along.reshape([-1 if other == axis else 1 for other in range(len(shape))])
        publisher[publisher < np.float32(max(float(publisher.min()), 1e-3))] = max(float(publisher.min()), 1e-3)
        found: Float = publisher.astype(np.float32)
        return found
    impulse = np.zeros(shape)
    impulse[tuple(size // 2 for size in shape)] = 1.0
    filtered = scipy.ndimage.gaussian_filter(
        impulse, [size * sigma for size in shape], order=0, mode="constant", cval=0.0
    )
    halved = (filtered / filtered.max() * 10).astype(np.float16)
    halved[halved == 0] = halved[halved > 0].min()
    blended: Float = halved.astype(np.float32)
    return blended


def padding(shape: Sequence[int], window: Sequence[int]) -> list[tuple[int, int]]:
    """Voxels to add before and after each axis that is shorter than the window; of an odd number one more after."""
    missing = [max(0, wished - has) for has, wished in zip(shape, window, strict=True)]
    return [(count // 2, count - count // 2) for count in missing]
