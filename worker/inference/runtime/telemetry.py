"""What ONNX Runtime tells its maker: nothing, on the versions that were watched.

Since 1.29 its builds for Linux report every session to its maker unless ``ORT_DISABLE_TELEMETRY`` is set when the
library is loaded; ``worker/__init__.py`` sets it. That this is enough was watched (files and sockets of a process, 60
seconds) on the releases from 1.29.0 to 1.32.0; the pre-releases of 1.29 still sent one event. What a later release does
is known once it was watched too: then ``FIRST_NOT_WATCHED`` and the cap in pyproject.toml move together.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

VARIABLE = "ORT_DISABLE_TELEMETRY"
FIRST_THAT_REPORTS = (1, 29)
FIRST_NOT_WATCHED = (1, 33)


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Whether a build of ONNX Runtime is known to report nothing, why, and otherwise what to do."""

    silent: bool
    why: str
    next_step: str = ""


def telemetry_of(version: str) -> Telemetry:
    """Judge a build by its version (``onnxruntime.__version__``), whichever distribution it came in."""
    numbers = re.match(r"(\d+)\.(\d+)(?:\.\d+)*", version)
    release = (int(numbers[1]), int(numbers[2])) if numbers else FIRST_NOT_WATCHED
    if release < FIRST_THAT_REPORTS:
        return Telemetry(silent=True, why="this version has no telemetry")
    if os.environ.get(VARIABLE) != "1":
        return Telemetry(
            silent=False,
            why=f"telemetry is on: {VARIABLE} is not 1",
            next_step=f"Find what unset it in this process: Overread sets {VARIABLE}=1 before anything else.",
        )
    low, high = ".".join(map(str, FIRST_THAT_REPORTS)), ".".join(map(str, FIRST_NOT_WATCHED))
    if release >= FIRST_NOT_WATCHED or numbers is None or numbers[0] != version:
        return Telemetry(
            silent=False,
            why=f"telemetry is switched off ({VARIABLE}=1), but nobody has watched whether this version obeys",
            next_step=f"Install a release below {low}, or from {low} to below {high}; or close the network to it.",
        )
    return Telemetry(silent=True, why=f"telemetry is off ({VARIABLE}=1)")
