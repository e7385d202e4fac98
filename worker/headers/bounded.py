"""Bytes with limits: strict reads, and bounded inflation."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from typing import BinaryIO, cast

from worker.headers.errors import UnreadableInstanceError


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What reading one instance may cost.

    Attributes
    ----------
    header_bytes:
        Largest sum of everything before the pixel data. An Enhanced MR with 20,000 frames has about 60 MB.
    inflated_bytes:
        Largest size of an inflated data set (deflated transfer syntax), pixels included.
    inflate_ratio:
        Largest ratio of inflated to deflated size, for data sets that inflate to more than 64 MiB. Deflate itself
        ends near 1032; real images stay below 10, a blank one reaches the limit only when it is large.
    """

    header_bytes: int = 256 * 2**20
    inflated_bytes: int = 1 * 2**30
    inflate_ratio: int = 200


_RATIO_COUNTS_FROM_BYTES = 64 * 2**20
_INFLATE_CHUNK_BYTES = 2**20


def inflate(file: BinaryIO, *, name: str, limits: ReadLimits) -> bytes:
    """Inflate the rest of the file (PS3.5 A.5: raw deflate), counting what comes out."""
    inflator = zlib.decompressobj(-zlib.MAX_WBITS)
    parts: list[bytes] = []
    taken = made = 0
    try:
        while block := file.read(_INFLATE_CHUNK_BYTES):
            taken += len(block)
            while block:
                part = inflator.decompress(block, _INFLATE_CHUNK_BYTES)
                made += len(part)
                parts.append(part)
                block = inflator.unconsumed_tail
                over_ratio = made > _RATIO_COUNTS_FROM_BYTES and made > taken * limits.inflate_ratio
                if made > limits.inflated_bytes or over_ratio:
                    raise UnreadableInstanceError(
                        f"The deflated instance {name} grows beyond {made} bytes from {taken}: more than the limits of "
                        f"{limits.inflated_bytes} bytes and {limits.inflate_ratio} to 1.",
                        next_step="If the object is genuine, have it sent uncompressed, or raise the limits.",
                        code="deflate-bomb",
                    )
    except zlib.error as error:
        raise UnreadableInstanceError(f"The deflated instance {name} is damaged.") from error
    if not inflator.eof:
        raise truncated(name, "the deflated data set has no end")
    return b"".join(parts)


def truncated(name: str, what: str) -> UnreadableInstanceError:
    """The bytes end too early."""
    return UnreadableInstanceError(
        f"Instance {name} is cut off: {what}.",
        next_step="Send it again.",
        code="truncated-instance",
    )


class ShortReadError(ValueError):
    """Not an EOFError, which pydicom swallows."""


class TooMuchHeaderError(ValueError):
    """More was read than the limit allows."""


class StrictFile(io.RawIOBase):
    """A file whose short reads are errors, and which gives at most ``limit_bytes`` in all.

    An empty read of 8 bytes is the ordinary end of a data set (pydicom asks for the next tag). An empty read of
    1 or 2 to 6 bytes happens while pydicom looks ahead. pydicom looks for the delimiter of an undefined-length value
    in blocks of 8 KiB, of which the last one may be short.
    """

    def __init__(self, file: BinaryIO, *, limit_bytes: int) -> None:
        super().__init__()
        self._file = file
        self._left = limit_bytes

    @property
    def binary(self) -> BinaryIO:
        """Self, as the type that pydicom's annotations ask for."""
        return cast(BinaryIO, self)

    def read(self, size: int = -1) -> bytes:
        """Exactly ``size`` bytes, or an error (see above)."""
        if size > self._left:
            here = self._file.tell()
            there = self._file.seek(0, io.SEEK_END) - here
            raise TooMuchHeaderError if there >= size else ShortReadError(f"an element of {size} bytes has {there}")
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise TooMuchHeaderError
        if size == 8 and not data.strip(b"\0"):
            data = data if len(data) == size else b""  # zeros behind the end fill up a block, and are no element
        looking_ahead = size <= 8 or size == 132
        if len(data) < size and not (not data and looking_ahead) and size != _SEARCH_BLOCK_BYTES:
            raise ShortReadError(f"an element of {size} bytes has {len(data)}")
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move in the file as its own ``seek``: only reading is bounded."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position in the file, in bytes."""
        return self._file.tell()

    def offset_of_pixels(self, size: int) -> int | None:
        """Where reading stopped, unless that is the end."""
        here = self.tell()
        if here > size:
            raise ShortReadError("the last element reaches beyond the end")
        return here if here < size else None


_SEARCH_BLOCK_BYTES = 8192
