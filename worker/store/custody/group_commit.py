"""Group commit: many threads offer, one thread commits all that wait, everybody is told at once.

Nobody waits for ever: whoever was not told within a limit, or whose committing thread has died, is told that nothing is
promised.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from worker.domain.errors import StoreUnavailableError

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)


class Ticket(Generic[T, R]):
    """Something offered, and the wait for what became of it."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.abandoned = False
        self._done = threading.Event()
        self._result: R | None = None
        self._error: Exception | None = None

    def succeed(self, result: R) -> None:
        """Wake the waiting thread with a result."""
        self._result = result
        self._done.set()

    def fail(self, error: Exception) -> None:
        """Wake the waiting thread with an error."""
        self._error = error
        self._done.set()

    @property
    def settled(self) -> bool:
        """True once somebody said what became of it."""
        return self._done.is_set()

    def wait(self, timeout_s: float | None = None) -> R:
        """Wait for the commit; raises the error that it met, or StoreUnavailableError when the time is over."""
        if not self._done.wait(timeout_s):
            self.abandoned = True
            raise unavailable("the database and the disk gave no answer in time")
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # succeed() always sets it


class GroupThread(Generic[T, R]):
    """One thread that takes everything that waits, again and again.

    While one group is being committed the next one gathers, so groups grow with the load and nobody waits for a timer.

    Parameters
    ----------
    handle:
        Settles every ticket of a group. It is also called with an empty group after ``idle_s`` without any. What it
        raises, and what it leaves unsettled, costs that group; should it end the thread, whoever waits is told.
    """

    def __init__(
        self, handle: Callable[[Sequence[Ticket[T, R]]], None], *, name: str, idle_s: float, limit: int
    ) -> None:
        self._handle = handle
        self._idle_s = idle_s
        self._limit = limit
        self._waiting: deque[Ticket[T, R]] = deque()
        self._condition = threading.Condition()
        self._closing = False
        self._dying = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """False when the thread has ended: closed, killed by what it met, or left behind by a fork."""
        return not self._dying and self._thread.is_alive()

    def offer(self, item: T) -> Ticket[T, R]:
        """Hand something over; wait on the ticket for the end of it. StoreUnavailableError when nobody takes it."""
        ticket: Ticket[T, R] = Ticket(item)
        with self._condition:
            if self._closing or not self.is_alive:
                raise unavailable("the store is being closed")
            self._waiting.append(ticket)
            self._condition.notify()
        return ticket

    def close(self) -> None:
        """Commit what waits, then end the thread."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while (group := self._next_group()) is not None:
                self._settle([ticket for ticket in group if not ticket.abandoned])
        finally:
            with self._condition:
                self._closing = True
                left = [*self._waiting]
                self._waiting.clear()
            _tell(left)

    def _next_group(self) -> list[Ticket[T, R]] | None:
        with self._condition:
            if not self._waiting and not self._closing:
                self._condition.wait(self._idle_s)
            if self._closing and not self._waiting:
                return None
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._limit))]

    def _settle(self, group: Sequence[Ticket[T, R]]) -> None:
        try:
            self._handle(group)
        except Exception as error:  # noqa: BLE001 - this group is lost, the next one must not be
            log.error("group-defect", extra={"error": type(error).__name__})  # noqa: TRY400 - may quote a data set
        except BaseException:
            self._dying = True  # before anybody is told: who comes again must find that another thread is needed
            raise
        finally:
            _tell(group)


def _tell(group: Sequence[Ticket[T, R]]) -> None:
    for ticket in group:
        if not ticket.settled:
            ticket.fail(unavailable("the thread that commits met a defect"))


def unavailable(what: str) -> StoreUnavailableError:
    """Say that nothing was promised (0xA700)."""
    return StoreUnavailableError(
        f"The instance was not stored: {what}.",
        next_step="The sender should send it again.",
        code="store-unavailable",
    )
