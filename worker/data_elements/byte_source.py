"""Bounded views of a data set on disk: one that is read, one that is inflated as it is read (PS3.5 A.5)."""

from __future__ import annotations

import os
import zlib
from typing import Final, Protocol

from worker.data_elements.faults import ScanError
from worker.data_elements.limits import ScanLimits

UNKNOWN_END: Final = 1 << 62
"""End of a data set whose length is only known once it is inflated."""
_CHUNK: Final = 16384
_BLOCK: Final = 1 << 20
_TAIL: Final = 9
"""What may follow a deflate stream: a NUL to make the length even (PS3.5 A.5), and the eight bytes of a gzip trailer
that some writers leave there."""


class ByteSource(Protocol):
    """A forward view of the data set: ``data`` holds its bytes from position ``base`` on."""

    data: bytes
    base: int
    end: int

    def look(self, position: int, count: int) -> None:
        """Move so that ``count`` bytes at ``position`` are in ``data``, or as many as there are."""

    def ended(self, position: int) -> bool:
        """Tell whether the data set ends at ``position``; ScanError when it ended before."""

    def past_zeros(self, position: int) -> int | None:
        """Return where the zeros that begin at ``position`` end; None when the data set ends with them."""

    def again(self) -> ByteSource:
        """Return a view of the same data set that stands at its beginning."""


class FileBytes:
    """Reads a file piece by piece; what is skipped (pixel data) is never read.

    Parameters
    ----------
    descriptor:
        Open file; ``offset`` is where the data set starts in it, ``length_bytes`` how long it is.
    """

    def __init__(self, descriptor: int, *, offset: int, length_bytes: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self.data = b""
        self.base = 0
        self.end = length_bytes

    def look(self, position: int, count: int) -> None:
        """Put the bytes from ``position`` on into ``data``: ``count`` of them, and more if they are cheap to have."""
        wanted = min(max(count, _CHUNK if position < 4 * _CHUNK else 2048), max(0, self.end - position))
        self.data = os.pread(self._descriptor, wanted, self._offset + position)
        self.base = position

    def ended(self, position: int) -> bool:
        """Compare with the length of the file."""
        return position >= self.end

    def past_zeros(self, position: int) -> int | None:
        """Read on as long as there are zeros."""
        while position < self.end:
            piece = os.pread(self._descriptor, min(_BLOCK, self.end - position), self._offset + position)
            zeros = len(piece) - len(piece.lstrip(b"\0"))
            position += zeros
            if not piece or zeros < len(piece):
                return position
        return None

    def again(self) -> ByteSource:
        """Return another view of the file."""
        return FileBytes(self._descriptor, offset=self._offset, length_bytes=self.end)


class InflatedBytes:
    """Inflates as far as it is asked to, keeps one piece, and counts: a bomb is refused while it is small."""

    def __init__(self, descriptor: int, *, offset: int, length_bytes: int, limits: ScanLimits) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._read_at = offset
        self._stop = offset + length_bytes
        self._limits = limits
        self._limit = min(limits.inflated_bytes, max(limits.inflated_free_bytes, limits.inflated_ratio * length_bytes))
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._input = b""
        self.data = b""
        self.base = 0
        self.end = UNKNOWN_END

    def look(self, position: int, count: int) -> None:
        """Inflate forward; what lies before ``position`` is dropped."""
        self._drop_before(position)
        while self.base + len(self.data) < position + count:
            piece = self._inflate()
            if not piece:
                return
            self.data += piece
            self._drop_before(position)

    def ended(self, position: int) -> bool:
        """Inflate to the end of the stream when nothing follows ``position``, and check what is behind it."""
        self.look(position, 1)
        reached = self.base + len(self.data)
        if reached > position:
            return False
        if reached < position or not self._inflater.eof:
            raise ScanError("The deflated data set ends early.", code="truncated")
        unused = self._inflater.unused_data
        padding = len(unused) + (self._stop - self._read_at)
        if padding > _TAIL and not (unused.count(0) == len(unused) and self._rest.past_zeros(0) is None):
            raise ScanError("Something follows the deflated data set.", code="bytes-after-data-set")
        return True

    def past_zeros(self, position: int) -> int | None:
        """Inflate at most a block: who fills up more than that has made something else."""
        self.look(position, _BLOCK)
        ahead = self.data[position - self.base :]
        past = position + len(ahead) - len(ahead.lstrip(b"\0"))
        whole = len(ahead) < _BLOCK and past == position + len(ahead) and self.ended(past)
        return None if whole else past

    def again(self) -> ByteSource:
        """The same bytes from their beginning: what was inflated is not kept, and cannot be gone back to."""
        length = self._stop - self._offset
        return InflatedBytes(self._descriptor, offset=self._offset, length_bytes=length, limits=self._limits)

    @property
    def _rest(self) -> FileBytes:
        return FileBytes(self._descriptor, offset=self._read_at, length_bytes=self._stop - self._read_at)

    def _drop_before(self, position: int) -> None:
        gone = min(position - self.base, len(self.data))
        if gone > 0:
            self.data = self.data[gone:]
            self.base += gone

    def _inflate(self) -> bytes:
        while not self._inflater.eof:
            if not self._input and self._read_at < self._stop:
                self._input = os.pread(self._descriptor, min(_CHUNK, self._stop - self._read_at), self._read_at)
                self._read_at += len(self._input)
            try:
                piece = self._inflater.decompress(self._input, 65536)
            except zlib.error as error:
                raise ScanError("The deflated data set is damaged.", code="bad-deflate") from error
            exhausted = not self._input and self._read_at >= self._stop
            self._input = self._inflater.unconsumed_tail
            if self.base + len(self.data) + len(piece) > self._limit:
                raise ScanError("The deflated data set inflates beyond the limit.", code="deflate-bomb")
            if piece:
                return piece
            if exhausted:
                return b""
        return b""
