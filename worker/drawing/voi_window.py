"""From modality values to grey: which range to show, and showing it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SOFT_WINDOW = (-160.0, 240.0)
LUNG_WINDOW = (-1350.0, 150.0)
BONE_WINDOW = (-500.0, 1300.0)
"""Lowest and highest HU shown: centre and width 40/400, -600/1500, 400/1800, as radiologists set them."""

_LUNG_HU = (-950.0, -500.0)
_BONE_HU = 250.0
_MOST_SAMPLES = 1_000_000


def windowed(values: NDArray[np.float32], *, low: float, high: float) -> NDArray[np.uint8]:
    """Show the values (row, column) from ``low`` (black) to ``high`` (white), linearly (PS3.3 C.11.2.1.3.2).

    What is no number is black. Where ``high`` is not above ``low``, everything above ``low`` is white.
    """
    width = max(high - low, 1e-6)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.clip((values.astype(np.float32) - np.float32(low)) * np.float32(255.0 / width), 0.0, 255.0)
    grey: NDArray[np.uint8] = np.rint(np.nan_to_num(scaled, nan=0.0)).astype(np.uint8)
    return grey


def default_window(
    values: NDArray[np.float32], modality: str, *, of_interest: NDArray[np.float32] | None = None
) -> tuple[float, float]:
    """Choose the lowest and the highest value to show: by tissue in CT, by percentiles elsewhere.

    Parameters
    ----------
    values:
        Modality values of the image or the volume, any shape.
    modality:
        Modality (0008,0060).
    of_interest:
        The values where something was found: lungs are looked at in a lung window, bones in a bone window.
    """
    if modality == "CT":
        return _ct_window(_sample(of_interest if of_interest is not None and of_interest.size else values))
    sample = _sample(values)
    if not sample.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(sample, (1.0, 99.5)))
    if high <= low:
        low, high = float(sample.min()), float(sample.max())
    return low, max(high, low + 1e-6)


def _ct_window(sample: NDArray[np.float32]) -> tuple[float, float]:
    lung = np.count_nonzero((sample > _LUNG_HU[0]) & (sample < _LUNG_HU[1]))
    if lung > 0.3 * sample.size:
        return LUNG_WINDOW
    if np.count_nonzero(sample > _BONE_HU) > 0.5 * sample.size:
        return BONE_WINDOW
    return SOFT_WINDOW


def _sample(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Finite values, at most about a million of them, spread evenly."""
    flat = values.reshape(-1) if values.flags.c_contiguous else values.ravel()
    flat = flat[:: max(flat.size // _MOST_SAMPLES, 1)]
    return flat[np.isfinite(flat)]
