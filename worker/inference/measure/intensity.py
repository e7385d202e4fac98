"""First-order statistics of the values inside a mask, as IBSI defines them (intensity-based statistical features)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.inference.image import Float

STATISTICS = ("mean", "standard_deviation", "median", "minimum", "maximum", "skewness", "kurtosis")


def first_order(values: Float) -> dict[str, float]:
    """Statistics of values (n,), n at least 1, by name.

    The deviation is that of the population (divided by n); kurtosis is the excess (0 for a normal distribution).
    Skewness and kurtosis of equal values are 0.
    """
    exact: NDArray[np.float64] = values.astype(np.float64)
    mean = float(exact.mean())
    centred = exact - mean
    variance = float(np.mean(centred**2))

    def moment(power: int) -> float:
        return float(np.mean(centred**power)) / variance ** (power / 2) if variance > 0 else 0.0

    return {
        "mean": mean,
        "standard_deviation": variance**0.5,
        "median": float(np.median(exact)),
        "minimum": float(exact.min()),
        "maximum": float(exact.max()),
        "skewness": moment(3),
        "kurtosis": moment(4) - 3.0 if variance > 0 else 0.0,
    }
