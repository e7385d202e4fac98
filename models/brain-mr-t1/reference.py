"""deepbet's recipe from volume to brain mask, in numpy/scipy, to check the runtime engine against.

Follows deepbet 1.0.2 (`deepbet/bet.py`, `deepbet/utils.py`) line by line; where that uses torch, cc3d and
fill_voids, this uses equal operations of numpy and scipy. The nets are passed in, so that the same recipe
runs with torch (`export.load_nets`) and with ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
Net = Callable[[Float], Float]
"""Clipped intensities [1,1,n,n,n] to probability of brain [1,1,n,n,n]."""

LOCALIZER_EDGE, SEGMENTER_EDGE = 128, 256
LOW_QUANTILE, HIGH_QUANTILE = 0.005, 0.995
MARGIN = 0.1
FOREGROUND_FRACTION = 0.02


@dataclass(frozen=True)
class Trace:
    """Every intermediate that an engine can be compared at. Axes are (R, A, S)."""

    low: float
    high: float
    small: Float
    localized: Float
    box: tuple[slice, slice, slice]
    cropped: Float
    segmented: Float
    probability: Float
    mask: Mask


def to_ras(values: NDArray[np.generic], affine_lps: NDArray[np.float64]) -> tuple[Float, NDArray[np.float64]]:
    """Permute and reverse (slice, row, column) so that the axes run toward Right, Anterior, Superior.

    Equals nibabel's ``as_closest_canonical``: no interpolation. Returns the values and their 4x4 affine to LPS.
    """
    runs_along = [int(np.argmax(np.abs(affine_lps[:3, axis]))) for axis in range(3)]
    order = [runs_along.index(axis) for axis in range(3)]
    volume = values.transpose(order)
    affine = affine_lps[:, [*order, 3]].copy()
    for axis, sign in enumerate((-1, -1, 1)):  # toward Right and Anterior is against L and P
        if affine[axis, axis] * sign < 0:
            volume = np.flip(volume, axis)
            affine[:3, 3] += affine[:3, axis] * (volume.shape[axis] - 1)
            affine[:3, axis] *= -1
    return np.ascontiguousarray(volume, dtype=np.float32), affine


def nearest(volume: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
    """As ``nearest-exact`` of torch: output i takes input floor((i + 0.5) * n / m), edges aligned to edges."""
    for axis, (n, m) in enumerate(zip(volume.shape, shape, strict=True)):
        # float32 as in torch: the rounding decides which of two equally near voxels is taken
        source = np.floor((np.arange(m, dtype=np.float32) + np.float32(0.5)) * np.float32(n / m)).astype(int)
        volume = np.take(volume, np.minimum(source, n - 1), axis=axis)
    return volume


def bounding_box(mask: Mask, shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    """Box of `mask` with 10 % margin on each side, scaled to a volume of `shape`.

    A plane counts as foreground if more than 2 % of it is set. Rounding is half to even, as torch rounds,
    and the corners are truncated toward zero.
    """
    box = []
    for axis, (small, full) in enumerate(zip(mask.shape, shape, strict=True)):
        others = tuple(a for a in range(3) if a != axis)
        planes = np.flatnonzero(mask.mean(axis=others) > FOREGROUND_FRACTION)
        if planes.size == 0:
            raise ValueError("no brain found: not enough foreground for a bounding box")
        first, last = int(planes.min()), int(planes.max()) + 1
        centre = np.rint(full / small * (first + last) / 2)
        size = np.rint(full / small * (last - first) * (1 + 2 * MARGIN))
        box.append(slice(max(0, int(centre - size / 2)), min(full, int(centre + size / 2))))
    return box[0], box[1], box[2]


def largest_component(mask: Mask) -> Mask:
    """Largest 26-connected component; of several equally large ones the first."""
    pieces, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count == 0:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    result: Mask = pieces == sizes.argmax()
    return result


def extract(volume: Float, localizer: Net, segmenter: Net, threshold: float = 0.5) -> Trace:
    """Brain mask of a T1 volume (R, A, S); every step that an engine must repeat is kept in the result."""
    volume = np.nan_to_num(volume)
    small = nearest(volume, (LOCALIZER_EDGE,) * 3).astype(np.float32)
    low, high = (float(q) for q in np.quantile(small, [LOW_QUANTILE, HIGH_QUANTILE]))
    localized = localizer(small.clip(low, high)[None, None])[0, 0]
    box = bounding_box(largest_component(localized > 0.5), volume.shape)
    cropped = nearest(volume[box], (SEGMENTER_EDGE,) * 3).astype(np.float32)
    # The intensity range stays that of the whole volume, as the localizer saw it.
    segmented = segmenter(cropped.clip(low, high)[None, None])[0, 0]
    inside = tuple(s.stop - s.start for s in box)
    probability = np.zeros(volume.shape, np.float32)
    probability[box] = nearest(segmented, inside)
    mask = np.zeros(volume.shape, bool)
    mask[box] = ndimage.binary_fill_holes(largest_component(probability[box] > threshold))
    return Trace(low, high, small, localized, box, cropped, segmented, probability, mask)
