"""``listen``, ``work``, ``sweep``: the long-running processes, one role each."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import Annotated

import typer

from worker.cli import console
from worker.cli.chores import Background
from worker.cli.options import Config, Data, settings_for
from worker.domain.errors import TransientError
from worker.tasks.lanes import Lane

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 0.25
"""Short beside any quiet period, and one indexed query each time."""
SWEEP_CAP_S = 5.0


class Stop:
    """Set by SIGTERM and SIGINT; a second signal ends the process at once."""

    def __init__(self) -> None:
        self._event = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._event.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._event.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait; True when it is time to stop."""
        return self._event.wait(seconds)


def listen(config: Config = None, data: Data = None) -> None:
    """Receive: the C-STORE and C-ECHO SCP. 0x0000 means that the instance is durable."""
    from worker.wiring import receiving

    with console.reporting():
        settings = settings_for(config, data)
        stop = Stop()
        listener = receiving.listener(settings)
        listener.start()
        log.info("listening", extra={"address": settings.listener.bind, "port": listener.port})
        stop.wait()
        listener.stop(grace_s=5.0)
        log.info("stopped")


def sweep(config: Config = None, data: Data = None) -> None:
    """Keep things moving: complete studies, ring for due jobs, take back what is overdue. Run one or many.

    Beside that it asks destinations whether they keep our results, tells others what we keep, and deletes what is old.
    """
    from worker.wiring import chores, sweeping

    with console.reporting():
        settings = settings_for(config, data)
        stop = Stop()
        sweeper = sweeping.sweeper(settings)
        wait_s = SWEEP_EVERY_S
        with Background(chores.chores(settings)):
            while not stop.wait(wait_s):
                try:
                    swept = sweeper.sweep()
                except TransientError as error:
                    log.warning("sweep-failed", extra={"code": error.code})
                    wait_s = min(SWEEP_CAP_S, wait_s * 2)
                    continue
                wait_s = min(SWEEP_CAP_S, wait_s * 2) if swept.broker_away else SWEEP_EVERY_S
        log.info("stopped")


def work(
    config: Config = None,
    data: Data = None,
    lane: Annotated[
        list[Lane] | None, typer.Option("--lane", help="Kind of work; may be repeated. All of them by default.")
    ] = None,
) -> None:
    """Work: run queued jobs in child processes (Celery). Run as many as you have machines."""
    from worker.wiring import working

    with console.reporting():
        settings = settings_for(config, data)
        working.run_worker(settings, lane or list(Lane))


def flower(config: Config = None, data: Data = None) -> None:
    """Show tasks by model and stage in a browser (Flower, behind a login)."""
    from worker.wiring import flower as monitor

    with console.reporting():
        monitor.run(settings_for(config, data))
