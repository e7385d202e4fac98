"""Is the pixel data as long as Rows, Columns, ... say? A cut object is refused, whatever cut it (promise 5).

All arithmetic is in Python integers: no product overflows. Longer than described is kept (some devices pad); shorter
is not.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Final

from worker.data_elements.element_reader import PIXEL_DATA
from worker.data_elements.faults import ScanError

SAMPLES_PER_PIXEL: Final = 0x00280002
PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
NUMBER_OF_FRAMES: Final = 0x00280008
ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
BITS_ALLOCATED: Final = 0x00280100
PIXEL_DATA_PROVIDER_URL: Final = 0x00287FE0
PIXEL_TAGS: Final = frozenset(
    {SAMPLES_PER_PIXEL, PHOTOMETRIC_INTERPRETATION, NUMBER_OF_FRAMES, ROWS, COLUMNS, BITS_ALLOCATED}
    | {PIXEL_DATA_PROVIDER_URL}
)
_DESCRIPTION: Final = PIXEL_TAGS - {PIXEL_DATA_PROVIDER_URL, NUMBER_OF_FRAMES}

_BINARY: Final = {b"US": "H", b"UL": "I", b"SS": "H", b"SL": "I"}
_TEXT: Final = frozenset({b"IS", b"DS"})
_WHOLE: Final = re.compile(rb"[ ]*\+?([0-9]{1,12})(?:\.0*)?[ \0]*\Z")

# PS3.3 C.7.6.3.1.2: chrominance has fewer samples; (numerator, denominator) of the bits of three full planes
_SUBSAMPLED: Final = {b"YBR_FULL_422": (2, 3), b"YBR_PARTIAL_422": (2, 3), b"YBR_PARTIAL_420": (1, 2)}


def check_pixels(
    values: Mapping[int, bytes],
    vrs: Mapping[int, bytes],
    lengths: Mapping[int, int],
    *,
    fragments: int | None,
    big_endian: bool,
    is_image: bool,
    is_video: bool,
) -> None:
    """Compare the description with what is there. Raises ScanError.

    Parameters
    ----------
    values, vrs:
        Raw values of ``PIXEL_TAGS``, and the value representations that they are declared to have: some writers put
        numbers as text.
    lengths:
        Length in bytes of native pixel data by tag (integer, float or double float).
    fragments:
        Number of fragments of encapsulated pixel data; None when there is none.
    is_image:
        The SOP class is one of images: no pixel data means that the rest was lost.
    is_video:
        One stream holds all frames, so fragments say nothing about them.
    """
    if not (lengths or fragments is not None):
        described = not values.keys().isdisjoint(_DESCRIPTION)
        if (is_image or described) and PIXEL_DATA_PROVIDER_URL not in values:
            raise ScanError("An image without its pixel data.", code="pixel-data-missing")
        return
    if not {ROWS, COLUMNS, BITS_ALLOCATED} <= values.keys():
        return
    order = ">" if big_endian else "<"

    def number(tag: int, vr: bytes = b"US") -> int:
        said = vrs.get(tag, b"")
        return _number(values[tag], said if said in _BINARY or said in _TEXT else vr, order)

    rows, columns, bits = number(ROWS), number(COLUMNS), number(BITS_ALLOCATED)
    samples = number(SAMPLES_PER_PIXEL) if SAMPLES_PER_PIXEL in values else 1
    # None, or none at all: one image is one frame
    frames = number(NUMBER_OF_FRAMES, b"IS") or 1 if values.get(NUMBER_OF_FRAMES, b"").strip(b" \0") else 1
    if not (rows and columns and bits and samples):
        raise _nonsense()
    if fragments is not None:
        if not is_video and fragments < frames:
            raise ScanError("Fewer fragments than frames.", code="pixel-data-short")
        return
    total_bits = rows * columns * samples * bits * frames
    numerator, denominator = _SUBSAMPLED.get(values.get(PHOTOMETRIC_INTERPRETATION, b"").strip(b" \0"), (1, 1))
    expected = -(-total_bits * numerator // (8 * denominator)) if samples == 3 else -(-total_bits // 8)
    present = lengths.get(PIXEL_DATA, max(lengths.values(), default=0))
    if present < expected:
        raise ScanError("The pixel data is shorter than its description.", code="pixel-data-short")


def _number(raw: bytes, vr: bytes, order: str) -> int:
    """First value of an element as a whole number, not negative. Raises ScanError."""
    code = _BINARY.get(vr)
    if code is not None:
        return int(struct.unpack_from(order + code, raw)[0]) if len(raw) >= struct.calcsize(code) else 0
    match = _WHOLE.match(raw)
    if match is None:
        raise _nonsense()
    return int(match[1])


def _nonsense() -> ScanError:
    return ScanError("The pixel data is described by nonsense.", code="bad-pixel-description")
