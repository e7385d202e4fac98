"""What the header says about the stored pixels (PS3.3 C.7.6.3), checked once."""

from __future__ import annotations

from dataclasses import dataclass

from worker.decode.outcomes import PixelDataError
from worker.decode.pixels.padding import Padding, padding_of
from worker.headers.attributes import Attributes, integer

GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
PALETTE = "PALETTE COLOR"
HALVED = "YBR_FULL_422"
"""Natively, two neighbours of a row share their chrominance."""
TRANSFORMED = frozenset({"YBR_ICT", "YBR_RCT"})
"""Colour transforms that are part of JPEG 2000."""
COLOUR = {"RGB": 3, "YBR_FULL": 3, HALVED: 3, "YBR_ICT": 3, "YBR_RCT": 3, PALETTE: 1}
"""Photometric interpretations that have a luminance, with their samples per pixel (PS3.3 C.7.6.3.1.2)."""
_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """Stored pixels of 8, 16 or 32 bits allocated: one sample, or three of a colour.

    ``planar`` says that the samples are stored one plane after another (Planar Configuration 1).
    ``padding`` says which values mean "no image here" (PS3.3 C.7.5.1.1.2).
    """

    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    inverted: bool
    padding: Padding | None
    photometric: str = ""
    samples: int = 1
    planar: bool = False

    @property
    def pixels(self) -> int:
        """Pixels of one frame, as a Python integer: no product of 16-bit numbers overflows."""
        return self.rows * self.columns

    @property
    def frame_bytes(self) -> int:
        """Stored bytes of one frame, when it is not compressed."""
        samples = 2 if self.photometric == HALVED else self.samples
        return self.pixels * samples * self.bits_allocated // 8


def pixel_format_of(attributes: Attributes, *, name: str) -> PixelFormat:
    """Read and check the Image Pixel module of a grey image.

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
    photometric, samples = _colours(attributes)
    if samples != 1 or photometric not in (*GREY, ""):
        raise PixelDataError(
            f"Instance {name} is a colour image ({photometric or 'no photometric interpretation'}, {samples} samples "
            "per pixel); one grey value per pixel was expected.",
            next_step="Exclude such series by a rule: models take modality values.",
            code="colour-image",
        )
    return _checked(attributes, name=name)


def colour_format_of(attributes: Attributes, *, name: str) -> PixelFormat:
    """Read and check the Image Pixel module of a colour image.

    Raises
    ------
    PixelDataError
        ``unsupported-pixel-format``.
    """
    photometric, samples = _colours(attributes)
    if COLOUR.get(photometric) != samples:
        raise PixelDataError(
            f"Instance {name} has the photometric interpretation {photometric or 'none'} and {samples} samples per "
            f"pixel; expected are MONOCHROME1, MONOCHROME2 or {PALETTE} with one, or RGB, YBR_FULL, {HALVED}, YBR_ICT "
            "or YBR_RCT with three.",
            next_step="Exclude such series by a rule, or have the sender's software checked.",
            code="unsupported-pixel-format",
        )
    format_ = _checked(attributes, name=name)
    if format_.signed and samples == 3:
        raise _unsupported(name, "signed colours")
    return format_


def require_native(format_: PixelFormat, *, name: str) -> None:
    """Check what only uncompressed pixels cannot be.

    Raises
    ------
    PixelDataError
        ``unsupported-pixel-format``.
    """
    if format_.photometric in TRANSFORMED:
        raise _unsupported(name, f"{format_.photometric}, which is made by JPEG 2000 alone, without compression")
    if format_.photometric == HALVED and (format_.columns % 2 or format_.planar or format_.bits_allocated != 8):
        raise _unsupported(name, f"{HALVED} with an odd number of columns, one plane per sample, or not 8 bits")


def is_colour(attributes: Attributes) -> bool:
    """Whether the pixels are no grey values."""
    photometric, samples = _colours(attributes)
    return samples != 1 or photometric not in (*GREY, "")


def _colours(attributes: Attributes) -> tuple[str, int]:
    return attributes.get("PhotometricInterpretation", ("",))[0], integer(attributes, "SamplesPerPixel") or 1


def _checked(attributes: Attributes, *, name: str) -> PixelFormat:
    """What grey and colour images have in common."""
    photometric, samples = _colours(attributes)
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
        padding=padding_of(attributes, bits_allocated=allocated, bits_stored=stored, signed=representation == 1),
        photometric=photometric,
        samples=samples,
        planar=samples > 1 and integer(attributes, "PlanarConfiguration") == 1,
    )


def has_embedded_overlay(tags: frozenset[int]) -> bool:
    """Whether overlays live in unused bits of the pixels (retired; Overlay Bit Position without Overlay Data)."""
    return any((group << 16 | 0x0102) in tags and (group << 16 | 0x3000) not in tags for group in _OVERLAY_GROUPS)


def _unsupported(name: str, found: str) -> PixelDataError:
    return PixelDataError(
        f"The pixels of instance {name} are described as {found}; expected are rows, columns and frames of at least "
        "1, and 8, 16 or 32 bits allocated that hold the stored bits.",
        next_step="Exclude such series by a rule, or have the sender's software checked.",
        code="unsupported-pixel-format",
    )
