"""From a volume to grey planes as a reader holds them: chosen, windowed, oriented, with square pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.domain.findings import Segmentation
from worker.domain.volume import Volume

LUNG_WINDOW = (-600.0, 1500.0)
SOFT_WINDOW = (40.0, 400.0)
"""Centre and width in HU, as radiologists set them."""

_LUNG_HU = (-950.0, -500.0)
_AXIS_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))
"""For each LPS axis: towards smaller and towards larger coordinates."""


@dataclass(frozen=True, slots=True)
class View:
    """How the planes of a volume are turned to be looked at.

    ``flip_rows`` and ``flip_columns`` and ``transpose`` bring them to the usual presentation (axial: patient's right
    on the left, front up; sagittal and coronal: head up). ``letters`` are at the left, right, top and bottom edge.
    ``pixel_mm`` is (row, column) after turning.
    """

    transpose: bool
    flip_rows: bool
    flip_columns: bool
    letters: tuple[str, str, str, str]
    pixel_mm: tuple[float, float]

    def turn(self, plane: NDArray[np.generic]) -> NDArray[np.generic]:
        """Turn a plane (row, column); the result is a copy or a view of the same values."""
        if self.transpose:
            plane = plane.T
        if self.flip_rows:
            plane = plane[::-1]
        return plane[:, ::-1] if self.flip_columns else plane


def view_of(volume: Volume) -> View:
    """Find the usual presentation of the stored planes of a volume."""
    affine, (_, row_mm, column_mm) = volume.geometry.affine_lps, volume.geometry.spacing_mm
    down, right = affine[:3, 1] / row_mm, affine[:3, 2] / column_mm
    # Axial: P is down and L is right. Coronal: F is down and L is right. Sagittal: F is down and P is right.
    normal = int(np.argmax(np.abs(np.cross(right, down))))
    vertical, horizontal = [(2, 1), (2, 0), (1, 0)][normal]
    transpose = abs(down[vertical]) < abs(right[vertical])
    if transpose:
        down, right, row_mm, column_mm = right, down, column_mm, row_mm
    towards_head = vertical == 2
    flip_rows = bool((down[vertical] > 0) == towards_head)
    flip_columns = bool(right[horizontal] < 0)
    down, right = (-down if flip_rows else down), (-right if flip_columns else right)
    return View(
        transpose=bool(transpose),
        flip_rows=flip_rows,
        flip_columns=flip_columns,
        letters=(_letters(-right), _letters(right), _letters(-down), _letters(down)),
        pixel_mm=(row_mm, column_mm),
    )


def _letters(direction: NDArray[np.float64]) -> str:
    """Name a direction by the patient axes that it follows, the strongest first (PS3.3 C.7.6.1.1.1)."""
    order = np.argsort(-np.abs(direction))
    return "".join(_AXIS_LETTERS[axis][int(direction[axis] > 0)] for axis in order if abs(direction[axis]) > 0.3)


def window_of(volume: Volume, finding: Segmentation | None) -> tuple[float, float]:
    """Centre and width for display: by tissue in CT, by percentiles elsewhere."""
    sample = volume.voxels[:: max(len(volume.voxels) // 16, 1), ::4, ::4]
    if volume.modality != "CT":
        low, high = (float(v) for v in np.percentile(sample, (1.0, 99.5)))
        return (low + high) / 2, max(high - low, 1e-6)
    inside = sample
    if finding is not None and finding.labels.any():
        # What was found decides: lungs are looked at in a lung window.
        labels = finding.labels[:: max(len(volume.voxels) // 16, 1), ::4, ::4]
        inside = sample[labels > 0] if (labels > 0).any() else sample
    lung = np.count_nonzero((inside > _LUNG_HU[0]) & (inside < _LUNG_HU[1]))
    return LUNG_WINDOW if lung > 0.3 * inside.size else SOFT_WINDOW


def to_grey(plane: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Apply a window (PS3.3 C.11.2.1.2, linear exact) and give 8 bits; what is no number is black."""
    centre, width = window
    scaled = (plane - (centre - width / 2)) / width * 255.0
    grey: NDArray[np.uint8] = np.nan_to_num(np.clip(scaled, 0.0, 255.0), nan=0.0).astype(np.uint8)
    return grey


def chosen_slices(volume: Volume, finding: Segmentation | None, count: int) -> tuple[int, ...]:
    """Choose up to ``count`` slices: spread over what was found, with the largest slice of each structure."""
    total = len(volume.voxels)
    if finding is None or not finding.labels.any():
        return tuple(sorted({int(k) for k in np.linspace(0, total - 1, min(count, total) + 2)[1:-1].round()}))
    marked = np.flatnonzero(finding.labels.any(axis=(1, 2)))
    width = len(finding.segments) + 1
    sizes = np.stack([np.bincount(plane.ravel(), minlength=width)[:width] for plane in finding.labels])
    largest = [int(k) for k in np.argmax(sizes[:, 1:], axis=0)] if width > 1 else []
    chosen = list(dict.fromkeys(largest))[:count]
    while len(chosen) < min(count, len(marked)):
        # The marked slice that is farthest from those chosen already.
        away = np.abs(marked[:, None] - np.array([marked[0] - 1, marked[-1] + 1, *chosen])[None]).min(axis=1)
        chosen.append(int(marked[int(np.argmax(away))]))
    return tuple(sorted(set(chosen)))
