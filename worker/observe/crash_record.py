"""What a process leaves behind when it dies: the job, the stage, and where each thread was.

A child that is killed by a signal can say nothing any more, and its parent only knows the signal. So each child writes
what it is about to do into a small file of its own, and Python's fault handler writes its tracebacks there: files,
lines and functions, never values.
"""

from __future__ import annotations

import faulthandler
import os
import resource
from pathlib import Path
from typing import IO

_AT_MOST_BYTES = 64 << 10
_LONGEST = 700


class BlackBox:
    """The recorders of one worker: one file for each child, named by its process id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stream: IO[str] | None = None
        self._pid = -1

    def begin(self, what: str) -> None:
        """In the child: note what is about to be done, and forget what was done before."""
        stream = self._open()
        stream.seek(0)
        stream.truncate()
        stream.write(f"{what}\n")
        stream.flush()

    def stage(self, name: str) -> None:
        """In the child: note the stage."""
        stream = self._open()
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        stream.write(f"stage {name} (peak memory so far {peak_mb} MiB)\n")
        stream.flush()

    def read(self, pid: int) -> str:
        """In the parent: what the dead child left, on one line, and forget it. Empty when it left nothing."""
        path = self._folder / f"{pid}.log"
        try:
            text = path.read_bytes()[:_AT_MOST_BYTES].decode("utf-8", "replace")
            path.unlink()
        except OSError:
            return ""
        lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        stages = [line for line in lines if line.startswith("stage ")]
        rest = [line for line in lines[1:] if not line.startswith("stage ")]
        return "; ".join([*stages[-1:], *rest])[:_LONGEST]

    def _open(self) -> IO[str]:
        if self._stream is None or self._pid != os.getpid():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._stream = (self._folder / f"{os.getpid()}.log").open("w", encoding="utf-8")
            self._pid = os.getpid()
            faulthandler.enable(self._stream)
        return self._stream
