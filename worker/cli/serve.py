"""``listen``, ``work``, ``sweep``: the long-running processes, one role each."""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import Annotated

import typer

from worker.cli import console
from worker.cli.options import Config, Data, environment, overrides, settings_for
from worker.cli.processes import WATCH_EVERY_S, Processes, say_ready
from worker.domain.errors import TransientError
from worker.observe import collector
from worker.tasks.lanes import Lane

log = logging.getLogger(__name__)

SWEEP_EVERY_S = 0.25
"""Short beside any quiet period, and one indexed query each time."""
SWEEP_CAP_S = 5.0


class Stop:
    """Set by SIGTERM and SIGINT; a second signal ends the process at once. Made and asked in the main thread.

    The wait is one on a pipe that the interpreter writes to whenever a signal comes. ``threading.Event`` would not do:
    a signal that the system hands to another thread does not wake a main thread that waits for a lock, so that the
    process lives on; and one that comes while the main thread holds the event's own lock would find it held for ever.
    """

    def __init__(self) -> None:
        self._asked = False
        self._hear, self._wake = os.pipe()
        os.set_blocking(self._hear, False)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._asked = True

    def wait(self, seconds: float | None = None) -> bool:
        """Wait; True when it is time to stop."""
        ends = None if seconds is None else time.monotonic() + seconds
        while not self._asked:
            left = None if ends is None else max(0.0, ends - time.monotonic())
            ready, _, _ = select.select([self._hear], [], [], left)
            if not ready:
                break
            with suppress(BlockingIOError):
                os.read(self._hear, 512)
        return self._asked


def listen(config: Config = None, data: Data = None) -> None:
    """Receive: the C-STORE and C-ECHO SCP. 0x0000 means that the instance is durable."""
    with console.reporting():
        settings = settings_for(config, data, process="listener")
        stop = Stop()
        with collector.starting():
            from worker.wiring.listener import build_listener

            listener = build_listener(settings)
        listener.start()
        say_ready()
        log.info("listening", extra={"address": settings.listener.bind, "port": listener.port})
        stop.wait()
        listener.stop(grace_s=5.0)
        log.info("stopped")


def sweep(config: Config = None, data: Data = None) -> None:
    """Keep things moving: complete studies, publish due jobs, take back what is overdue. Run one or many.

    Beside that it asks destinations whether they keep our results, tells others what we keep, and deletes what is old.
    """
    from worker.cli.background_threads import Background

    with console.reporting():
        settings = settings_for(config, data, process="sweeper")
        stop = Stop()
        with collector.starting():
            from worker.wiring.background_work import background_tasks
            from worker.wiring.sweeper import build_sweeper

            sweeper, tasks = build_sweeper(settings), background_tasks(settings)
        wait_s = SWEEP_EVERY_S
        with Background(tasks):
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
    """Work: run queued jobs in child processes (Celery), each lane in a worker of its own.

    Run as many as you have machines.
    """
    with collector.starting():
        from worker.wiring import workers

    with console.reporting():
        lanes = list(dict.fromkeys(lane or Lane))
        settings = settings_for(config, data, process="-".join(["worker", *lanes]))
        if len(lanes) == 1:
            workers.run_worker(settings, lanes)
        else:
            _one_worker_for_each(lanes, environment(config, overrides(data=data)))


def _one_worker_for_each(lanes: Sequence[Lane], environ: Mapping[str, str]) -> None:
    """Run lanes side by side: deliveries that hang must not hold the child processes of analyses, nor the reverse."""
    stop = Stop()
    workers = Processes(environment=environ)
    try:
        for lane in lanes:
            workers.add(f"worker-{lane.value}", "work", "--lane", lane.value)
        while not stop.wait(WATCH_EVERY_S):
            workers.watch_once()
    finally:
        workers.stop()


def flower(config: Config = None, data: Data = None) -> None:
    """Show tasks by model and stage in a browser (Flower, behind a login)."""
    with collector.starting():
        from worker.wiring import flower as monitor

    with console.reporting():
        monitor.run(settings_for(config, data, process="flower"))
