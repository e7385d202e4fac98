"""The files of the embedded broker: who may read them, and where a socket can be."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import socket
import stat
import struct
import sys
import tempfile
from pathlib import Path

from worker.domain.errors import ConfigurationError

_LONGEST_SOCKET_PATH = 100
"""``sockaddr_un`` holds 108 bytes on Linux, 104 elsewhere, a closing zero included."""

_PASSWORD_BYTES = 32
_UCRED = struct.Struct("3i")
"""``struct ucred`` of unix(7): process, user and group."""


def private_folder(folder: Path) -> Path:
    """Make a folder that only this user can enter (0700), or make sure that it is one.

    Raises
    ------
    ConfigurationError
        ``broker-folder-unusable``: cannot be made, is a symbolic link, or belongs to somebody else.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
        if ours:
            folder.chmod(0o700)
    except OSError as error:
        raise ConfigurationError(
            f"The broker's folder {folder} cannot be made ({error.strerror}).",
            next_step="Choose a data folder that this user may write to.",
            code="broker-folder-unusable",
        ) from error
    if not ours:
        raise ConfigurationError(
            f"The broker's folder {folder} is a link or belongs to another user.",
            next_step="Remove it, or choose another data folder.",
            code="broker-folder-unusable",
        )
    return folder


def socket_path(folder: Path) -> Path:
    """A path for the socket, in ``folder`` when it is short enough, else in a short private folder.

    The short folder's name is derived from ``folder``, so that every process of an installation finds the same.
    """
    inside = folder / "redis.sock"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
        return inside
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    for parent in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):  # noqa: S108
        short = Path(parent) / f"overread-{os.geteuid()}-{name}" / "redis.sock"
        if parent and Path(parent).is_dir() and len(os.fsencode(short)) <= _LONGEST_SOCKET_PATH:
            private_folder(short.parent)
            return short
    raise ConfigurationError(
        f"No path for the broker's socket is short enough (data folder {folder}).",
        next_step="Choose a data folder with a shorter path.",
        code="broker-folder-unusable",
    )


def listener_on(path: Path) -> int | None:
    """The process that listens on a Unix socket, by the kernel's word; 0 for none, None where the kernel cannot tell.

    0 as well when it is not of our space of process ids: containers that share a folder count theirs each from one,
    and what a server says of itself may be the id of quite another process here.
    """
    if sys.platform != "linux":
        return None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(2.0)
            probe.connect(str(path))
            pid: int = _UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[0]
    except OSError:
        return 0
    return pid


def password(folder: Path) -> str:
    """The password that is kept in ``folder`` (0600); made at the first call. Letters and digits only."""
    kept = folder / "password"
    if not kept.exists():
        handle, temporary = tempfile.mkstemp(dir=folder, prefix="password-")  # 0600 from the start
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(_PASSWORD_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        # A link, unlike a rename, replaces nothing: when two processes come here at once, one password stands.
        with contextlib.suppress(FileExistsError):
            kept.hardlink_to(temporary)
        Path(temporary).unlink()
    return kept.read_text(encoding="ascii")
