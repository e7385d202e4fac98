"""RLE Lossless (PS3.5 Annex G): byte planes, each packed by PackBits. Strict: missing and extra bytes are errors."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray


class TooLongError(ValueError):
    """A segment holds more pixels than the header says."""


def decode_rle(data: bytes, *, pixels: int, bytes_per_pixel: int) -> NDArray[np.uint8]:
    """Decode one frame.

    Returns
    -------
    NDArray[np.uint8]
        Shape (pixels, bytes_per_pixel), least significant byte first; of several samples the last one first.

    Raises
    ------
    ValueError
        The header is wrong, or a segment has too few bytes; TooLongError when it has too many.
    """
    if len(data) < 64:
        raise ValueError("the RLE header is cut off")
    count, *offsets = struct.unpack("<16L", data[:64])
    if count != bytes_per_pixel:
        raise ValueError(f"{count} RLE segments where {bytes_per_pixel} were expected")
    ends = [*offsets[1:count], len(data)]
    words = np.empty((pixels, bytes_per_pixel), dtype=np.uint8)
    for index, (start, end) in enumerate(zip(offsets, ends, strict=False)):
        if not 64 <= start <= end <= len(data):
            raise ValueError("an RLE segment lies outside of the frame")
        words[:, bytes_per_pixel - 1 - index] = _unpack(data[start:end], pixels)
    return words


def _unpack(segment: bytes, size: int) -> NDArray[np.uint8]:
    parts: list[bytes] = []
    made = position = 0
    last = len(segment) - 1
    while made <= size and position < last:
        control = segment[position]
        if control < 128:
            part = segment[position + 1 : position + 2 + control]
            position += 2 + control
        elif control > 128:
            part = segment[position + 1 : position + 2] * (257 - control)
            position += 2
        else:
            part = b""
            position += 1
        parts.append(part)
        made += len(part)
    if made < size:
        raise ValueError(f"an RLE segment has {made} bytes of {size}")
    if made > size:
        raise TooLongError(f"an RLE segment has more than {size} bytes")
    return np.frombuffer(b"".join(parts), dtype=np.uint8, count=size)
