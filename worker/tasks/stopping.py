"""How a worker stops: what can end in good order does, and nothing that it was doing counts as a failure.

SIGTERM reaches the parent. It asks its children, and tells the ledger what they hold: whoever stops us may lose
patience and kill us, and then nobody can say any more that this was planned. A child that computes is interrupted and
hands its job back; one that sends ends the object that it is sending. Whoever is left after ``GRACE_S`` is killed, and
the parent hands back for it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol

from celery.signals import worker_ready, worker_shutting_down
from celery.worker import state

from worker.domain.errors import ShutdownError

log = logging.getLogger(__name__)

GRACE_S = 10.0
"""Below the patience of whoever stops us: 20 s in ``overread up``, 60 s in deploy/."""
_PATIENCE_S = 5.0
"""After this long a child that sends is interrupted as well."""


class ChildStop:
    """In a child: hears SIGTERM while a task runs, also when the main thread is in native code.

    ``on_asked`` is called from a thread of its own, at once; ``ShutdownError`` is raised in the main thread as soon as
    Python runs there again. Between two tasks the signal does what it did before.
    """

    def __init__(self) -> None:
        self.asked = False
        self._pid = -1
        self._patient = False
        self._raised = False
        self._working = False
        self._before: Any = None
        self._on_asked: list[Callable[[], None]] = []

    def on_asked(self, act: Callable[[], None]) -> None:
        """Also do this when a stop is asked for; it must only set flags."""
        self._on_asked.append(act)

    @contextmanager
    def at_work(self, *, patient: bool) -> Iterator[None]:
        """A task runs within the block. A ``patient`` one looks at ``asked`` by itself; only a second signal raises."""
        self._listen()
        self._patient, self._working = patient, True
        try:
            yield
        finally:
            self._working = False

    def _listen(self) -> None:
        if self._pid == os.getpid():
            return
        self._pid, self.asked, self._raised = os.getpid(), False, False
        hear, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(hear,), name="stop", daemon=True).start()
        self._before = signal.signal(signal.SIGTERM, self._on_signal)

    def _watch(self, hear: int) -> None:
        """The interpreter writes the number of each signal here when it comes, whatever the main thread does."""
        while got := os.read(hear, 64):
            if signal.SIGTERM in got and (self._working or self._raised):
                self.asked = True
                if not self._patient:
                    for act in self._on_asked:
                        act()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._working:
            if callable(self._before):
                self._before(number, frame)
            else:
                signal.signal(number, self._before or signal.SIG_DFL)
                signal.raise_signal(number)
            return
        first, self.asked = not self.asked, True
        if self._raised or (self._patient and first):
            return
        self._raised = True
        raise ShutdownError


class Announces(Protocol):
    """Told of the workers (by name) whose stop begins, or is over."""

    def __call__(self, workers: Sequence[str], /) -> None:
        """Write it into the ledger; it must not raise."""


@dataclass
class ParentStop:
    """In the parent: winds the children down, beside Celery, which waits for them to end what they do."""

    name_of: Callable[[int], str]
    begins: Announces
    is_over: Announces
    _children: Callable[[], Sequence[int]] = field(default=tuple, init=False)
    _names: tuple[str, ...] = field(default=(), init=False)
    _again: threading.Event = field(default_factory=threading.Event, init=False)
    _begun: bool = field(default=False, init=False)

    def connect(self) -> None:
        """Connect to Celery's signals: the worker is ready, and it is asked to end."""
        worker_ready.connect(self._on_ready, weak=False)
        worker_shutting_down.connect(self._on_stop, weak=False)

    @property
    def asked(self) -> bool:
        """Whether a stop was asked for."""
        return self._begun

    def finish(self) -> None:
        """The children are gone: hand back what they still held."""
        if self._names:
            self.is_over(self._names)

    def _on_ready(self, sender: Any, **_: Any) -> None:
        self._children = lambda: tuple(sender.pool.info["processes"])

    def _on_stop(self, **_: Any) -> None:
        """Called in a signal handler: the work is for a thread. A second signal ends the patience."""
        if self._begun:
            self._again.set()
            return
        self._begun = True
        children = self._children()
        self._names = tuple(self.name_of(pid) for pid in children)
        working = tuple(request.worker_pid for request in state.active_requests)
        threading.Thread(target=self._wind_down, args=(children, working), name="stop", daemon=True).start()

    def _wind_down(self, children: Sequence[int], working: Sequence[int]) -> None:
        _signal(working, signal.SIGTERM)
        self.begins(self._names)
        log.info("worker-stopping", extra={"count": len(working)})
        self._again.wait(_PATIENCE_S)
        self.begins(self._names)  # what was claimed meanwhile
        _signal(children, signal.SIGTERM)
        self._again.wait(GRACE_S - _PATIENCE_S)
        _signal(children, signal.SIGKILL)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
