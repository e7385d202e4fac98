"""The grid contract between this model and any runtime, as plain numpy/scipy.

Per axial slice (rows toward Posterior, columns toward Left): a 192 x 192 grid of 2.0 mm whose centre is
the centre of the source slice, sampled linearly at pixel centres (no anti-aliasing), -1024 HU outside.
Target pixel i lies at ``centre + (i - 95.5) * 2.0 mm``; source pixel j at ``centre + (j - (n - 1) / 2) * spacing``.
The slice axis is not touched.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pieces import largest_piece
from scipy import ndimage

Float = NDArray[np.float32]

SIZE = 192
"""Pixels per side of the in-plane grid."""

SPACING_MM = 2.0
"""In-plane distance of pixel centres."""

PADDING_HU = -1024.0
"""Value outside the image."""


def to_model(hu: NDArray[np.int16], row_mm: float, column_mm: float) -> Float:
    """HU volume (slice, row, column) to model input [slices, 1, 192, 192], float32 HU."""
    rows, columns = (_source_index(n, mm) for n, mm in zip(hu.shape[1:], (row_mm, column_mm), strict=True))
    grid = np.meshgrid(rows, columns, indexing="ij")
    sample = [
        ndimage.map_coordinates(plane.astype(np.float32), grid, order=1, mode="constant", cval=PADDING_HU)
        for plane in hu
    ]
    return np.stack(sample)[:, None].astype(np.float32)


def _source_index(count: int, spacing_mm: float) -> NDArray[np.float64]:
    target: NDArray[np.float64] = (np.arange(SIZE) - (SIZE - 1) / 2) * SPACING_MM / spacing_mm + (count - 1) / 2
    return target


def labels_on_source(logits: Float, shape: tuple[int, int], row_mm: float, column_mm: float) -> NDArray[np.uint8]:
    """Logits [slices, classes, 192, 192] to labels (slice, row, column) on the source grid.

    Softmax, linear resampling of the probabilities (background outside the model's grid), argmax.
    """
    rows, columns = (_model_index(n, mm) for n, mm in zip(shape, (row_mm, column_mm), strict=True))
    grid = np.meshgrid(rows, columns, indexing="ij")
    labels = np.zeros((logits.shape[0], *shape), np.uint8)
    for index, plane in enumerate(logits):
        exponent = np.exp(plane - plane.max(axis=0))
        probability = exponent / exponent.sum(axis=0)
        layers = [
            ndimage.map_coordinates(layer, grid, order=1, mode="constant", cval=float(c == 0))
            for c, layer in enumerate(probability)
        ]
        labels[index] = np.argmax(layers, axis=0)
    return labels


def _model_index(count: int, spacing_mm: float) -> NDArray[np.float64]:
    source: NDArray[np.float64] = (np.arange(count) - (count - 1) / 2) * spacing_mm / SPACING_MM + (SIZE - 1) / 2
    return source


def clean(labels: NDArray[np.uint8], classes: int = 4) -> NDArray[np.uint8]:
    """Per structure: largest 26-connected component, then holes filled (6-connected, in 3D).

    A hole that another structure occupies stays that structure's.
    """
    result = np.zeros_like(labels)
    for value in range(1, classes):
        filled = ndimage.binary_fill_holes(largest_piece(labels == value, structure=np.ones((3, 3, 3))))
        result[filled & (result == 0) & ((labels == value) | (labels == 0))] = value
    return result
