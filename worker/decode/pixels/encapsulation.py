"""The pixel data element in the file: native bytes, or fragments that make frames (PS3.5 A.4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from pydicom.encaps import generate_frames

from worker.decode.outcomes import PixelDataError
from worker.headers.parsing import PARSE_FAILURES, ParsedInstance

UNDEFINED_LENGTH = 0xFFFFFFFF
_LONG_VRS = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN"})
_PIXEL_DATA = 0x7FE00010
_ITEM, _DELIMITER = 0xFFFEE000, 0xFFFEE0DD


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where the value of Pixel Data (7FE0,0010) starts in its source, and its length as announced."""

    vr: bytes
    offset: int
    length: int


def require_pixels(parsed: ParsedInstance) -> int:
    """Offset of the pixel data element; PixelDataError ``no-pixel-data`` when there is none."""
    if parsed.pixel_offset is None:
        raise PixelDataError(
            f"Instance {parsed.name} has no pixel data.",
            next_step="Exclude such objects by a rule (SOP class, modality).",
            code="no-pixel-data",
        )
    return parsed.pixel_offset


def pixel_element_of(parsed: ParsedInstance, source: BinaryIO) -> PixelElement:
    """Read the element's header.

    Raises
    ------
    PixelDataError
        ``no-pixel-data``; ``unsupported-pixel-format`` for float pixel data.
    """
    offset = require_pixels(parsed)
    source.seek(offset)
    head = source.read(12).ljust(12, b"\0")
    order = "<" if parsed.little_endian else ">"
    group, element = struct.unpack_from(f"{order}HH", head)
    if group << 16 | element != _PIXEL_DATA:
        raise PixelDataError(
            f"Instance {parsed.name} has floating point pixels; whole numbers were expected.",
            next_step="Exclude parametric maps by a rule.",
            code="unsupported-pixel-format",
        )
    vr = b"" if parsed.implicit_vr else head[4:6]
    if vr in _LONG_VRS:
        return PixelElement(vr, offset + 12, struct.unpack_from(f"{order}L", head, 8)[0])
    if vr:
        return PixelElement(vr, offset + 8, struct.unpack_from(f"{order}H", head, 6)[0])
    return PixelElement(vr, offset + 8, struct.unpack_from(f"{order}L", head, 4)[0])


def encoded_frames(parsed: ParsedInstance, source: BinaryIO, element: PixelElement, *, frames: int) -> list[bytes]:
    """Split the fragments into exactly ``frames`` compressed images.

    Raises
    ------
    PixelDataError
        ``truncated-pixel-data`` or ``pixel-length-mismatch``.
    """
    name = parsed.name
    if element.length != UNDEFINED_LENGTH:
        raise PixelDataError(
            f"The transfer syntax of instance {name} is compressed, and its pixel data is not in fragments.",
            next_step="Have the sender's software checked.",
            code="pixel-length-mismatch",
        )
    source.seek(element.offset)
    value = source.read()
    end = _end_of_fragments(value)
    if end is None:
        raise _cut_off(name, "its fragments have no end")
    offsets = _extended_offsets(parsed)
    try:
        found = list(generate_frames(value[:end], number_of_frames=frames, extended_offsets=offsets))
    except PARSE_FAILURES as error:
        raise _cut_off(name, f"its fragments do not make {frames} frames") from error
    if len(found) < frames:
        raise _cut_off(name, f"it has {len(found)} of {frames} frames")
    if len(found) > frames:
        raise PixelDataError(
            f"Instance {name} has {len(found)} compressed frames, and its header says {frames}.",
            next_step="Have the sender's software checked.",
            code="pixel-length-mismatch",
        )
    return found


def _end_of_fragments(value: bytes) -> int | None:
    """Offset behind the sequence delimiter; None when an item is cut off or there is no delimiter."""
    position = 0
    while position + 8 <= len(value):
        group, element, length = struct.unpack_from("<HHL", value, position)
        tag = group << 16 | element
        position += 8
        if tag == _DELIMITER:
            return position
        if tag != _ITEM or position + length > len(value):
            return None
        position += length
    return None


def _extended_offsets(parsed: ParsedInstance) -> tuple[bytes, bytes] | None:
    offsets = parsed.dataset.get("ExtendedOffsetTable")
    lengths = parsed.dataset.get("ExtendedOffsetTableLengths")
    return (offsets, lengths) if isinstance(offsets, bytes) and isinstance(lengths, bytes) else None


def _cut_off(name: str, why: str) -> PixelDataError:
    return PixelDataError(
        f"The pixel data of instance {name} is damaged or cut off: {why}.",
        next_step="Send the instance again.",
        code="truncated-pixel-data",
    )
