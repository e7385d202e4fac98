"""Stored objects against what they should be: names are digests, and a disk may hold something else under them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from worker.domain.study import Digest

_PREFIX_BYTES = 132
_GROUP_LENGTH = struct.Struct("<HH2sHI")
_WRITER = b"\x02\x00\x12\x00UI"
_BLOCK_BYTES = 1 << 20


def same_object(stored: Path, offered: Path) -> bool:
    """Tell whether a stored file holds the object that ``offered`` holds: the same data set in the same encoding.

    Both are Part 10 files of ours (PS3.10 7.1). Who wrote them, (0002,0012) and (0002,0013), may be an earlier version.
    A stored file that is gone, or that the disk does not give, is not the same. Raises OSError for ``offered`` alone.
    """
    return all(found == wanted for found, wanted in zip_longest(_as_far_as_readable(stored), _blocks(offered)))


def is_intact(path: Path, *, sha256: Digest, size_bytes: int) -> bool:
    """Tell whether a stored file still holds the data set with this digest and this size in bytes."""
    digest = hashlib.sha256()
    size = 0
    blocks = _as_far_as_readable(path)
    next(blocks, None)
    for block in blocks:
        digest.update(block)
        size += len(block)
        if size > size_bytes:
            return False
    return size == size_bytes and digest.hexdigest() == sha256


def _as_far_as_readable(path: Path) -> Iterator[bytes]:
    with suppress(OSError):
        yield from _blocks(path)


def _blocks(path: Path) -> Iterator[bytes]:
    """What says how the data set is encoded, then the data set piece by piece."""
    with path.open("rb") as stream:
        yield _encoding(stream)
        while block := stream.read(_BLOCK_BYTES):
            yield block


def _encoding(stream: BinaryIO) -> bytes:
    """Read up to the data set, and return what of that says what it is and how it is encoded."""
    head = stream.read(_PREFIX_BYTES)
    first = stream.read(_GROUP_LENGTH.size)
    if len(first) < _GROUP_LENGTH.size or _GROUP_LENGTH.unpack(first)[:2] != (2, 0):
        stream.seek(len(head))
        return head
    meta = stream.read(_GROUP_LENGTH.unpack(first)[4])
    return head + meta.partition(_WRITER)[0]
