"""Group commit: many threads offer, one thread commits all that wait, everybody is told at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Ticket(Generic[T, R]):
    """Something offered, and the wait for what became of it."""

    def __init__(self, item: T) -> None:
        self.item = item
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

    def wait(self) -> R:
        """Wait for the commit; raises the error that it met."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # succeed() always sets it


class GroupThread(Generic[T, R]):
    """One thread that takes everything that waits, again and again.

    While one group is being committed the next one gathers, so groups grow with the load and nobody waits for a timer.

    Parameters
    ----------
    handle:
        Settles every ticket of a group. It is also called with an empty group after ``idle_s`` without any.
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
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, item: T) -> Ticket[T, R]:
        """Hand something over; wait on the ticket for the end of it."""
        ticket: Ticket[T, R] = Ticket(item)
        with self._condition:
            if self._closing:
                raise RuntimeError("offered to a group that is closed")
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
        while True:
            with self._condition:
                if not self._waiting and not self._closing:
                    self._condition.wait(self._idle_s)
                if self._closing and not self._waiting:
                    return
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._limit))]
            self._handle(group)
