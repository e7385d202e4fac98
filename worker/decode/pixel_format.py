"""What the header says about the stored pixels (PS3.3 C.7.6.3), checked once."""

from __future__ import annotations

from dataclasses import dataclass

from worker.decode.attributes import Attributes, integer
from worker.decode.outcomes import PixelDataError

_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """Grey pixels: one sample, 8, 16 or 32 bits allocated.

    ``padding`` is the closed range of stored values that mean "no image here" (Pixel Padding Value and Range Limit,
    PS3.3 C.7.5.1.1.2), already in the sign of the pixels.
    """

    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    inverted: bool
    padding: tuple[int, int] | None

    @property
    def pixels(self) -> int:
        """Pixels of one frame, as a Python integer: no product of 16-bit numbers overflows."""
        return self.rows * self.columns

    @property
    def frame_bytes(self) -> int:
        """Stored bytes of one frame."""
        return self.pixels * self.bits_allocated // 8


def pixel_format_of(attributes: Attributes, *, name: str) -> PixelFormat:
    """Read and check the Image Pixel module.

    Parameters
    ----------
    attributes:
        Of ``attributes.attributes_of``.
    name:
        What messages call the instance.

    Raises
    ------
    PixelDataError
        ``colour-image`` or ``unsupported-pixel-format``.
    """
    photometric = attributes.get("PhotometricInterpretation", ("",))[0]
    samples = integer(attributes, "SamplesPerPixel") or 1
    if samples != 1 or photometric not in (*_GREY, ""):
        raise PixelDataError(
            f"Instance {name} is a colour image ({photometric or 'no photometric interpretation'}, {samples} samples "
            "per pixel); one grey value per pixel was expected.",
            next_step="Exclude such series by a rule: models take modality values.",
            code="colour-image",
        )
    numbers = {
        keyword: integer(attributes, keyword)
        for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation")
    }
    missing = [keyword for keyword, value in numbers.items() if value is None]
    if missing:
        raise _unsupported(name, f"{', '.join(missing)} missing or not a whole number")
    rows, columns, allocated, stored, representation = (value or 0 for value in numbers.values())
    frames = integer(attributes, "NumberOfFrames") if "NumberOfFrames" in attributes else 1
    high_bit = integer(attributes, "HighBit") if "HighBit" in attributes else stored - 1
    if rows < 1 or columns < 1 or frames is None or frames < 1:
        raise _unsupported(name, f"{rows} rows, {columns} columns, {frames} frames")
    if allocated not in (8, 16, 32) or high_bit is None or not 0 < stored <= high_bit + 1 <= allocated:
        raise _unsupported(name, f"{allocated} bits allocated, {stored} stored, high bit {high_bit}")
    return PixelFormat(
        rows=rows,
        columns=columns,
        frames=frames,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high_bit,
        signed=representation == 1,
        inverted=photometric == "MONOCHROME1",
        padding=_padding(attributes, allocated, signed=representation == 1),
    )


def has_embedded_overlay(tags: frozenset[int]) -> bool:
    """Whether overlays live in unused bits of the pixels (retired; Overlay Bit Position without Overlay Data)."""
    return any((group << 16 | 0x0102) in tags and (group << 16 | 0x3000) not in tags for group in _OVERLAY_GROUPS)


def _padding(attributes: Attributes, bits: int, *, signed: bool) -> tuple[int, int] | None:
    value = integer(attributes, "PixelPaddingValue")
    if value is None:
        return None
    limit = integer(attributes, "PixelPaddingRangeLimit")
    ends = [_in_sign(number, bits, signed=signed) for number in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _in_sign(number: int, bits: int, *, signed: bool) -> int:
    """The padding value is often written in the other sign (63536 for -2000): take its bits."""
    number &= (1 << bits) - 1
    return number - (1 << bits) if signed and number >= 1 << (bits - 1) else number


def _unsupported(name: str, found: str) -> PixelDataError:
    return PixelDataError(
        f"The pixels of instance {name} are described as {found}; expected are rows, columns and frames of at least "
        "1, and 8, 16 or 32 bits allocated that hold the stored bits.",
        next_step="Exclude such series by a rule, or have the sender's software checked.",
        code="unsupported-pixel-format",
    )
