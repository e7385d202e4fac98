"""Celery's worker as a program: what it is started with, and that it leaves our log and standard output alone."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from socket import gethostname
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_ready

from worker.domain.errors import TransientError
from worker.tasks.lanes import Lane
from worker.tasks.stopping import ParentStop


def run(app: Celery, lanes: Sequence[Lane], *, concurrency: int, stop: ParentStop) -> None:
    """Run one worker with this many child processes until SIGTERM. It logs as this process was told to.

    Standard output goes nowhere from now on: Celery prints its banner there, and a word for people at each signal.

    Raises TransientError (``worker-ended``) when it ends by itself: nobody may take that for a stop.
    """
    setup_logging.connect(_keep_ours, weak=False)
    worker_ready.connect(_say_no_stacks, weak=False)
    _mute(sys.__stdout__)
    stop.connect()
    try:
        _run(app, lanes, concurrency=concurrency)
    finally:
        stop.finish()
    if not stop.asked:
        raise TransientError(
            "The worker ended, and nobody had asked it to.",
            next_step="Start it again. The line before this one says what ended it.",
            code="worker-ended",
        )


def _run(app: Celery, lanes: Sequence[Lane], *, concurrency: int) -> None:
    # Not by the command line of Celery, which brings a shell with completion into each worker.
    app.Worker(
        hostname=f"{'-'.join(lanes)}-{os.getpid()}@{gethostname()}",
        queues=[lane.queue for lane in lanes],
        concurrency=concurrency,
        pool="prefork",
        optimization="fair",
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    ).start()


def _keep_ours(**_: Any) -> None:
    """That somebody hears this signal is what tells Celery that logging is set up, in this process and its children."""


def _say_no_stacks(**_: Any) -> None:
    """At SIGUSR1 Celery writes every stack with its local variables to standard error: those may hold a patient."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _mute(stream: Any) -> None:
    if stream is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
