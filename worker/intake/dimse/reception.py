"""One instance on its way in: written to a temporary file as it arrives, hashed on the way, never held in memory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import struct
from pathlib import Path
from typing import Final

from worker.domain.errors import OutOfSpaceError
from worker.domain.implementation import IMPLEMENTATION_CLASS_UID, implementation_version_name
from worker.domain.study import Digest
from worker.intake.ports import InstanceStore

_SPACE_CHECK_BYTES: Final = 32 << 20


class Reception:
    """A temporary Part 10 file (PS3.10 7.1) that grows.

    Its name is random; no byte of it comes from the wire. The preamble is 128 zero bytes, the file meta information is
    ours, the data set is as received.

    Parameters
    ----------
    store:
        Says where, and whether there is room.
    sop_class_uid, sop_instance_uid, transfer_syntax_uid:
        For the file meta information; valid UIDs.

    Raises
    ------
    OutOfSpaceError, StoreUnavailableError, OSError
        From the constructor and from ``write``.
    """

    def __init__(
        self, store: InstanceStore, *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str
    ) -> None:
        store.check_space(0)
        self._store = store
        self._digest = hashlib.sha256()
        self._checked_at = 0
        self.size_bytes = 0
        self.path: Path = store.temporary_folder / f"{secrets.token_hex(16)}.part"
        head = b"\0" * 128 + b"DICM" + file_meta(sop_class_uid, sop_instance_uid, transfer_syntax_uid)
        self.offset = len(head)
        self._head: bytes = head
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        self.descriptor = os.open(self.path, flags, 0o600)

    def write(self, piece: memoryview) -> None:
        """Append bytes of the data set."""
        self._digest.update(piece)
        self.size_bytes += len(piece)
        if self.size_bytes - self._checked_at >= _SPACE_CHECK_BYTES:
            self._checked_at = self.size_bytes
            self._store.check_space(0)
        if self._head:
            written = os.writev(self.descriptor, [self._head, piece]) - len(self._head)
            if written < 0:
                raise OutOfSpaceError("The spool took only part of a write.")
            self._head = b""
            piece = piece[written:]
        while piece:
            piece = piece[os.write(self.descriptor, piece) :]

    @property
    def sha256(self) -> Digest:
        """Digest of the data set bytes so far."""
        return Digest(self._digest.hexdigest())

    def close(self) -> None:
        """Close the file and leave it where it is. May be repeated."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def discard(self) -> None:
        """Close and remove what is left. May be repeated; never raises."""
        with contextlib.suppress(OSError):
            self.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """File meta information group (PS3.10 Table 7.1-1), without anything that depends on the sender."""
    elements = b"".join(
        (
            struct.pack("<HH2s2xI", 2, 0x0001, b"OB", 2) + b"\0\1",
            _short(0x0002, b"UI", sop_class_uid, b"\0"),
            _short(0x0003, b"UI", sop_instance_uid, b"\0"),
            _short(0x0010, b"UI", transfer_syntax_uid, b"\0"),
            _short(0x0012, b"UI", IMPLEMENTATION_CLASS_UID, b"\0"),
            _short(0x0013, b"SH", implementation_version_name(), b" "),
        )
    )
    return struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(elements)) + elements


def _short(number: int, vr: bytes, text: str, pad: bytes) -> bytes:
    value = text.encode("ascii")
    if len(value) % 2:
        value += pad
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value
