"""The tasks: translate, call one use-case, translate back."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from celery import Celery, Task
from celery.signals import worker_process_init

from worker.domain.job import JobId, JobState
from worker.domain.result import DeliveryId, DeliveryState
from worker.tasks.lanes import Lane
from worker.tasks.outcome import WorkFailedError, concluded
from worker.tasks.request import LaneRequest
from worker.tasks.stopping import ChildStop


class RunsJob(Protocol):
    """A use-case that runs one claimed job: RouteStudy or AnalyseSeries."""

    def run(self, job_id: JobId, *, worker: str) -> JobState | None:
        """Claim and carry out."""


class RunsDelivery(Protocol):
    """A use-case that runs one claimed delivery: DeliverResults."""

    def run(self, delivery_id: DeliveryId, *, worker: str) -> DeliveryState | None:
        """Claim and carry out."""


class UseCases(Protocol):
    """Made in the child process at its first task: sessions and connections must not cross a fork."""

    @property
    def route(self) -> RunsJob:
        """Of a route job."""

    @property
    def analyse(self) -> RunsJob:
        """Of an analyse job."""

    @property
    def deliver(self) -> RunsDelivery:
        """Of a delivery."""


class TakesBack(Protocol):
    """Told, in the parent process, that the child which held a job is dead."""

    def __call__(self, lane: Lane, id_: str, *, worker: str, reason: str) -> None:
        """Take the work back at once instead of waiting for the lease to run out."""


def worker_name(pid: int | None = None) -> str:
    """Who holds a lease: host, space of process ids (containers of one host have their own), and process."""
    return f"{_here()}:{pid or os.getpid()}"


def is_dead(worker: str) -> bool:
    """Tell whether a worker of this machine is known to be gone; False for all others, whose leases must tell."""
    where, _, pid = worker.rpartition(":")
    return where == _here() and not where.endswith("/0") and pid.isdigit() and not Path(f"/proc/{pid}").exists()


def _here() -> str:
    try:
        space = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # not Linux: then nobody is known to be dead either, since there is no /proc
        space = 0
    return f"{socket.gethostname()}/{space}"


def register(
    app: Celery, use_cases: Callable[[], UseCases], on_lost: TakesBack, *, stop: ChildStop | None = None
) -> None:
    """Register the three tasks. ``use_cases`` is called in the child and keeps its own cache."""
    stopping = stop or ChildStop()

    def reports(request: LaneRequest, reason: str) -> None:
        lane = Lane(request.task.name.rpartition(".")[2])
        on_lost(lane, str(request.args[0]), worker=worker_name(request.worker_pid), reason=reason)

    class Reporting(LaneRequest):
        pass

    Reporting.reports = staticmethod(reports)

    class Thin(Task):  # type: ignore[misc]  # celery has no types
        Request = Reporting
        send_events = False  # the request tells, of work alone
        throws = (WorkFailedError,)  # expected: no traceback in the log

    def route(job_id: str) -> JobState | None:
        return use_cases().route.run(JobId(job_id), worker=worker_name())

    def analyse(job_id: str) -> JobState | None:
        return use_cases().analyse.run(JobId(job_id), worker=worker_name())

    def deliver(delivery_id: str) -> DeliveryState | None:
        return use_cases().deliver.run(DeliveryId(delivery_id), worker=worker_name())

    for lane, function in ((Lane.ROUTE, route), (Lane.ANALYSE, analyse), (Lane.DELIVER, deliver)):
        app.task(_task(function, lane, stopping), name=lane.task, base=Thin, shared=False)


def _task(
    function: Callable[[str], JobState | DeliveryState | None], lane: Lane, stopping: ChildStop
) -> Callable[[str], str]:
    def task(id_: str) -> str:
        def work() -> JobState | DeliveryState | None:
            with stopping.at_work(patient=lane is Lane.DELIVER):
                return None if stopping.asked else function(id_)

        return concluded(work)

    return task


def before_first_task(act: Callable[[], None]) -> None:
    """Have each child call this after its fork, before it takes a task."""

    def begin(**_: Any) -> None:
        act()

    worker_process_init.connect(begin, weak=False)


def at_child_start(prepare: Callable[[], None]) -> None:
    """Have each child call this after its fork, in a thread of its own: it takes tasks meanwhile."""

    def begin(**_: Any) -> None:
        threading.Thread(target=prepare, name="warm-up", daemon=True).start()

    worker_process_init.connect(begin, weak=False)
