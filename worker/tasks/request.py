"""Celery's view of a message that is worked on, in the parent: what it tells of a task, and of a child that died."""

from __future__ import annotations

import time
from typing import Any, Protocol

from billiard.exceptions import WorkerLostError
from celery.exceptions import Ignore
from celery.worker.request import Request
from kombu.asynchronous import get_event_loop

SAID_AFTER_S = 1.0
"""A message that finds nothing to do has ended by then."""


class Reports(Protocol):
    """Told that the child which held the work of a request is dead."""

    def __call__(self, request: LaneRequest, reason: str, /) -> None:
        """Told, in the parent, that the child which held this request is dead, and why."""


class LaneRequest(Request):  # type: ignore[misc]  # celery has no types
    """Reports a child that died with the evidence that only the parent has, and shows only work as tasks.

    Every second message finds nothing to do. So that a task is received and has started is told when it has run for a
    moment, or with its end, with the times at which it was so; of one that was no work nothing is told at all.
    """

    reports: Reports

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._received_at = time.time()
        self._told = False
        self._over = False
        self._failed_by: BaseException | None = None

    def on_success(self, failed__retval__runtime: Any, **keywords: Any) -> Any:
        """Called in the parent when the child has answered."""
        self._over = True
        return super().on_success(failed__retval__runtime, **keywords)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Called in the parent for what the task raised, and for WorkerLostError."""
        self._over = True
        # billiard wraps what it raised in the parent, so that its traceback can be shown.
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        self._failed_by = error
        if isinstance(error, WorkerLostError):
            self.reports(self, f"worker-lost: {error}")
        if isinstance(error, Ignore) and self._told:
            self.send_event("task-revoked", terminated=False, signum=None, expired=False)
        return super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> Any:  # noqa: FBT001
        """Called in the parent when the hard time limit killed the child."""
        if not soft:
            self._over = True
            self.reports(self, f"time-limit: the attempt ran longer than {timeout:.0f} s and was killed.")
        return super().on_timeout(soft, timeout)

    def send_event(self, type: str, **fields: Any) -> None:
        """Tell whoever listens (Flower) what happened to the task."""
        if not (self._eventer and self._eventer.enabled):
            return
        if type == "task-started":
            loop = get_event_loop()
            if loop is not None:
                loop.call_later(SAID_AFTER_S, self._tell_if_running)
            return
        self._tell()
        fields.pop("traceback", None)  # of our own thin code: it says nothing
        if type == "task-failed" and self._failed_by is not None:
            fields["exception"] = repr(self._failed_by)  # not of what billiard wrapped it in
        self._eventer.send(type, uuid=self.id, **fields)

    def _tell_if_running(self) -> None:
        if not self._over:
            self._tell()

    def _tell(self) -> None:
        if self._told:
            return
        self._told = True
        self._eventer.send(
            "task-received",
            uuid=self.id,
            name=self.name,
            args=self.argsrepr,
            kwargs=self.kwargsrepr,
            root_id=self.root_id,
            parent_id=self.parent_id,
            retries=0,
            eta=None,
            expires=None,
            timestamp=self._received_at,
        )
        if self.time_start:
            self._eventer.send("task-started", uuid=self.id, timestamp=self.time_start)
