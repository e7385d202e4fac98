"""A colour map for numbers: equal steps of the number look equal, also in grey and to colour-blind readers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_INFERNO = (
    (0x00, 0x00, 0x04), (0x1B, 0x0C, 0x42), (0x4B, 0x0C, 0x6B), (0x78, 0x1C, 0x6D), (0xA5, 0x2C, 0x60),
    (0xCF, 0x44, 0x46), (0xED, 0x69, 0x25), (0xFB, 0x9A, 0x06), (0xF7, 0xD0, 0x3C), (0xFC, 0xFF, 0xA4),
)  # fmt: skip
"""Ten evenly spaced colours of the map "inferno" (S. van der Walt, N. Smith, CC0), sRGB."""


def shares(values: NDArray[np.float32], value_range: tuple[float, float]) -> NDArray[np.float32]:
    """Where each value lies in a range: 0 at its low end and below, 1 at its high end and above; no number is 0."""
    low, high = value_range
    with np.errstate(over="ignore", invalid="ignore"):
        share = (values.astype(np.float32) - np.float32(low)) / np.float32(max(high - low, 1e-12))
    placed: NDArray[np.float32] = np.nan_to_num(np.clip(share, 0.0, 1.0), nan=0.0)
    return placed


def coloured(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour numbers from 0 (black) to 1 (pale yellow); an array (...) gives one of sRGB (..., 3)."""
    places = np.linspace(0.0, 1.0, len(_INFERNO))
    anchors = np.array(_INFERNO, dtype=np.float64)
    table = np.stack([np.interp(np.linspace(0.0, 1.0, 256), places, anchors[:, c]) for c in range(3)], axis=-1)
    index = np.rint(np.clip(share, 0.0, 1.0) * 255.0).astype(np.intp)
    rgb: NDArray[np.uint8] = np.rint(table).astype(np.uint8)[index]
    return rgb


def rgb_of_cielab(scaled: Sequence[int]) -> tuple[int, int, int]:
    """SRGB of a CIELab colour as DICOM writes it (PS3.3 C.10.7.1.1); what sRGB cannot show is brought to its edge.

    The white point is D65, as viewers have it.
    """
    lightness = scaled[0] / 65535 * 100
    a, b = (value / 65535 * 255 - 128 for value in scaled[1:3])
    y = (lightness + 16) / 116
    xyz = np.array([_uncubed(y + a / 500) * 0.95047, _uncubed(y), _uncubed(y - b / 200) * 1.08883])
    linear = np.clip(_RGB_OF_XYZ @ xyz, 0.0, 1.0)
    gamma = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (int(v) for v in np.rint(gamma * 255))
    return red, green, blue


def _uncubed(t: float) -> float:
    return t**3 if t > 6 / 29 else 3 * (6 / 29) ** 2 * (t - 4 / 29)


_RGB_OF_XYZ = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)
