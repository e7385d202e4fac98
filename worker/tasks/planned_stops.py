"""Planned stops in writing: in the ledger, and on this machine's disk while the ledger cannot be told.

A worker that is asked to stop may be killed before its database answers. What it held would count as if it had died;
the next worker that starts on this data folder tells the ledger what it finds here.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from worker.domain.errors import OverreadError

log = logging.getLogger(__name__)


class StopLedger(Protocol):
    """The ledger, as told of planned stops; raises OverreadError when it cannot be."""

    def stop_asked(self, workers: Sequence[str], /) -> object:
        """These workers (by name) are asked to stop."""

    def stopped(self, workers: Sequence[str], /) -> object:
        """Told that these workers have ended, as they were asked to."""


class PlannedStops:
    """What the parent of a worker writes down when it is asked to stop (``tasks.stopping.Announces``)."""

    def __init__(self, folder: Path, ledger: Callable[[], StopLedger]) -> None:
        self._folder = folder
        self._ledger = ledger
        self._note = self._folder / f"stop-{os.getpid()}.json"

    def begins(self, workers: Sequence[str]) -> None:
        """These workers (by name) are asked to stop. Noted before the ledger is told: that may take its time."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._note.write_text(json.dumps(list(workers)), encoding="ascii")
        except OSError as error:
            log.warning("stop-not-noted", extra={"error": type(error).__name__})
        if self._told(workers, _stop_asked):
            self._note.unlink(missing_ok=True)

    def is_over(self, workers: Sequence[str]) -> None:
        """Tell the ledger that these workers have ended; the note of their stop goes then."""
        if self._told(workers, _stopped):
            self._note.unlink(missing_ok=True)

    def take_up(self) -> None:
        """Tell the ledger of stops that it was not told of. Call it before any work is taken."""
        for path in self._folder.glob("stop-*.json"):
            if self._told(_workers_in(path), _stop_asked):
                path.unlink(missing_ok=True)

    def _told(self, workers: Sequence[str], tell: Callable[[StopLedger, Sequence[str]], object]) -> bool:
        try:
            tell(self._ledger(), workers)
        except OverreadError as error:
            log.warning("stop-not-recorded", extra={"code": error.code, "count": len(workers)})
            return False
        return True


def _stop_asked(ledger: StopLedger, workers: Sequence[str]) -> None:
    ledger.stop_asked(workers)


def _stopped(ledger: StopLedger, workers: Sequence[str]) -> None:
    ledger.stopped(workers)


def _workers_in(path: Path) -> list[str]:
    try:
        found = json.loads(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # another worker has taken it up, or it was cut
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
