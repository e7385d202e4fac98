"""What Flower remembers: the events of tasks in a file of their own, one JSON object a line, added as they come.

Flower's own store is a pickle, written at a clean stop alone. Lines that are there survive ``kill -9`` of this process;
one that was cut is skipped. The file is for the owner alone.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

log = logging.getLogger(__name__)

LONGEST_LINES = 40_000
"""About 12 MB; then what nobody shows any more is left out."""


class History:
    """The events of tasks, oldest first. Not for several processes at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = 0
        self._stream: IO[str] | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._lines = 0
        try:
            stream = self._path.open(encoding="utf-8", errors="replace")
        except OSError:
            return
        with stream:
            for line in stream:
                self._lines += 1
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict):
                    yield event

    def add(self, event: Mapping[str, Any], shown: Container[object]) -> None:
        """Write an event. ``shown`` has the ids of tasks that are still wanted. What cannot be written is not kept."""
        try:
            if self._stream is None:
                self._stream = self._opened()
            self._stream.write(json.dumps(event, default=str) + "\n")
            self._stream.flush()
            self._lines += 1
            if self._lines > LONGEST_LINES:
                self._shorten(shown)
        except OSError as error:
            log.warning("history-not-kept", extra={"error": type(error).__name__})

    def _shorten(self, shown: Container[object]) -> None:
        kept = [event for event in self if event.get("uuid") in shown][-LONGEST_LINES // 2 :]
        beside = self._path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(event) + "\n" for event in kept)
        beside.replace(self._path)
        self._stream, self._lines = self._opened(), len(kept)

    def _opened(self) -> IO[str]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(descriptor, 0o600)
        stream = os.fdopen(descriptor, "a", encoding="utf-8")
        if stream.tell():
            stream.write("\n")  # the last line may have been cut
        return stream
