"""Threads for what a process does beside its main loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from worker.domain.errors import OverreadError
from worker.wiring.background_work import BackgroundTask

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 300.0
STOP_GRACE_S = 5.0


class Background:
    """Runs each task in a thread of its own until the end of the block.

    A task that fails is tried again, with growing pauses: nothing but the end of the process ends it. What a task
    was doing when the process ends is taken up again by the next one, because the ledger knows it.
    """

    def __init__(self, tasks: Sequence[BackgroundTask]) -> None:
        self._stop = threading.Event()
        # Daemons: an association that is being opened must not hold up a stop.
        self._threads = [threading.Thread(target=self._run, args=(one,), name=one.name, daemon=True) for one in tasks]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_GRACE_S / max(1, len(self._threads)))

    def _run(self, task: BackgroundTask) -> None:
        pause_s = 0.0
        while not self._stop.wait(pause_s):
            try:
                task.step()
            except OverreadError as error:
                log.warning("chore-failed", extra={"child": task.name, "code": error.code})
            except Exception:
                log.exception("chore-defect", extra={"child": task.name})
            else:
                pause_s = task.every_s
                continue
            pause_s = min(LONGEST_PAUSE_S, max(task.every_s, pause_s * 2))
