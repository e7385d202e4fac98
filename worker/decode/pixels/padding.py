"""Which pixels are none: Pixel Padding Value and Pixel Padding Range Limit (PS3.3 C.7.5.1.1.2), as senders write them.

The value is often written in the other sign, with or without its sign extended above the stored bits, and sometimes it
is a value that the image has: such a value would turn tissue into air, and is not believed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.headers.attributes import Attributes, integer

AIR_HU = -1000.0
"""Padding of CT lies at or below air ..."""

CT_SCALE_HU = 3071.0
"""... or beyond the scale of 12 bits. What lies between is in the patient."""

Range = tuple[int, int]
"""Both ends included."""


@dataclass(frozen=True, slots=True)
class Padding:
    """What a header declares, in the sign of the pixels.

    ``stored`` are the ranges that it may mean once all is masked to the stored bits (PS3.5 8.1.1). ``words`` is the
    range of whole words where these hold more than the stored bits can: such words are no pixels, whatever they mean.
    ``declared`` is the value as it stands in the header.
    """

    declared: str
    stored: tuple[Range, ...]
    words: Range | None


def padding_of(attributes: Attributes, *, bits_allocated: int, bits_stored: int, signed: bool) -> Padding | None:
    """Read the declaration; None when there is none."""
    value = integer(attributes, "PixelPaddingValue")
    if value is None:
        return None
    limit = integer(attributes, "PixelPaddingRangeLimit")
    ends = (value, value if limit is None else limit)
    stored = {_range(ends, bits_stored, signed=signed)}
    if signed and bits_stored > 16 and all(0x8000 <= end <= 0xFFFF for end in ends):
        stored.add(_range((ends[0] - 0x10000, ends[1] - 0x10000), bits_stored, signed=True))  # written in 16 bits
    words = _range(ends, bits_allocated, signed=signed)
    declared = str(value) if limit is None else f"{value} to {limit}"
    return Padding(declared, tuple(sorted(stored)), None if words in stored else words)


@dataclass(frozen=True, slots=True, eq=False)
class PaddingMask:
    """Where the padding of a frame is (row, column), and whether pixels were declared as padding that are none."""

    mask: NDArray[np.bool_]
    doubted: bool


def find_padding(
    padding: Padding, *, whole: NDArray[np.integer], stored: NDArray[np.integer], hu: NDArray[np.float32] | None
) -> PaddingMask:
    """Find the padding of one frame. All arrays have shape (row, column).

    Parameters
    ----------
    whole:
        Whole words.
    stored:
        Their stored bits.
    hu:
        Of CT, the Hounsfield units: padding is air, or beyond the scale. Without them, padding lies below or above all
        other pixels of the frame.
    """
    mask = np.zeros(stored.shape, dtype=bool) if padding.words is None else _within(whole, padding.words)
    doubted = False
    for range_ in () if mask.any() else padding.stored:
        named = _within(stored, range_)
        if not named.any():
            continue
        believed = named & _beyond_tissue(hu) if hu is not None else _beside_all_others(named, stored, range_)
        doubted = doubted or bool((named & ~believed).any())
        mask |= believed
    return PaddingMask(mask, doubted)


def _beyond_tissue(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    beyond: NDArray[np.bool_] = (hu <= AIR_HU) | (hu > CT_SCALE_HU)
    return beyond


def _beside_all_others(named: NDArray[np.bool_], stored: NDArray[np.integer], range_: Range) -> NDArray[np.bool_]:
    others = stored[~named]
    is_beside = others.size == 0 or range_[1] < others.min() or range_[0] > others.max()
    return named if is_beside else np.zeros_like(named)


def _within(values: NDArray[np.integer], range_: Range) -> NDArray[np.bool_]:
    low, high = range_
    within: NDArray[np.bool_] = (values == low) if low == high else (values >= low) & (values <= high)
    return within


def _range(ends: tuple[int, int], bits: int, *, signed: bool) -> Range:
    numbers = [_in_sign(end, bits, signed=signed) for end in ends]
    return min(numbers), max(numbers)


def _in_sign(number: int, bits: int, *, signed: bool) -> int:
    """The lowest ``bits`` of a number, as the pixels are (63536 is -2000 in 16 bits)."""
    number &= (1 << bits) - 1
    return number - (1 << bits) if signed and number >= 1 << (bits - 1) else number
