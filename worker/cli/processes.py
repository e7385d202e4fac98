"""Child processes of ``overread up``: started, watched, started again when they die, and ended with the parent."""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from worker.domain.errors import ConfigurationError

log = logging.getLogger(__name__)

PARENT = "OVERREAD_PARENT_PID"
READY = "READY_FD"
"""Without our prefix: variables that carry it are configuration."""
_PR_SET_PDEATHSIG = 1
_RESTART_FIRST_S = 0.2
LONGEST_PAUSE_S = 15.0
WATCH_EVERY_S = 0.1
"""How often a parent looks whether its children live."""
_STEADY_S = 10.0
"""A child that lived this long was healthy: its next restart is quick again."""


def end_with_parent() -> None:
    """In a child: ask the kernel for SIGTERM when the parent dies, so that no kill leaves half a system behind.

    Children of ours call it first thing; the check afterwards closes the gap in which the parent died before.
    """
    parent = os.environ.pop(PARENT, "")
    if not parent:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(0)


def say_ready() -> None:
    """In a child whose parent waits for it (``Processes.add`` with ``ready_within_s``): it serves from now on."""
    pipe = os.environ.pop(READY, "")
    if pipe:
        with suppress(OSError):  # the parent waited long enough, or is gone
            os.write(int(pipe), b"\n")
        os.close(int(pipe))


@dataclass(slots=True)
class Child:
    """One process of the system: its name for people, its command, and how often it had to be started again.

    ``longest_pause_s`` is how long it is left alone at most, however often it has died.
    """

    name: str
    command: Sequence[str]
    output: Path | None = None
    longest_pause_s: float = LONGEST_PAUSE_S
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    started_at: float = 0.0
    due_at: float = field(default=0.0)

    def start(self, environment: Mapping[str, str], *, inherited: Sequence[int] = ()) -> None:
        """Start the process; its output goes to ``output``, or where ours goes."""
        stream = self.output.open("ab") if self.output else None
        try:
            self.process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env={**environment, PARENT: str(os.getpid())},
                # Ctrl-C in the terminal reaches us alone; we then end the children in order.
                start_new_session=True,
                pass_fds=inherited,
            )
        finally:
            if stream is not None:
                stream.close()
        self.started_at = time.monotonic()


class Processes:
    """A handful of children, in the order in which they are started; they are ended in reverse."""

    def __init__(self, *, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._children: list[Child] = []

    def add(
        self,
        name: str,
        *arguments: str,
        module: str = "worker.cli.main",
        output: Path | None = None,
        longest_pause_s: float = LONGEST_PAUSE_S,
        ready_within_s: float = 0.0,
    ) -> Child:
        """Start ``python -m worker.cli.main ARGUMENTS`` (or another module) as a child that is watched from now on.

        With ``ready_within_s``: return when it has said that it serves (``say_ready``), when it has ended, or after
        that time, so that what is started next does not take the processor away from it.
        """
        child = Child(name, [sys.executable, "-m", module, *arguments], output, longest_pause_s)
        self._children.append(child)
        if ready_within_s:
            with _ready_pipe() as (hear, say):
                child.start({**self._environment, READY: str(say)}, inherited=[say])
                os.close(say)  # ours: when the child ends without a word, the pipe does as well
                log.info("process-started", extra={"child": name})
                select.select([hear], [], [], ready_within_s)
        else:
            child.start(self._environment)
            log.info("process-started", extra={"child": name})
        return child

    def watch_once(self) -> None:
        """Start again what died; a child that dies at once waits longer each time.

        Raises ConfigurationError (``process-misconfigured``) for a child that said EX_CONFIG (78): starting it again
        cannot help, and a person has to look.
        """
        now = time.monotonic()
        for child in self._children:
            if child.process is None or child.process.poll() is None:
                continue
            if child.process.returncode == os.EX_CONFIG:
                where = f"Its log: {child.output}" if child.output else "Its error is above."
                raise ConfigurationError(
                    f"The process {child.name!r} cannot start as configured.",
                    next_step=f"`overread doctor` looks at every part. {where}",
                    code="process-misconfigured",
                )
            if child.due_at == 0.0:
                steady = now - child.started_at > _STEADY_S
                child.restarts = 1 if steady else child.restarts + 1
                wait_s = min(child.longest_pause_s, _RESTART_FIRST_S * 2.0 ** (child.restarts - 1))
                child.due_at = now + wait_s
                extra = {"child": child.name, "status": child.process.returncode, "seconds": wait_s}
                log.warning("process-died", extra=extra)
            elif now >= child.due_at:
                child.due_at = 0.0
                child.start(self._environment)
                log.info("process-started", extra={"child": child.name})

    def stop(self, *, grace_s: float = 20.0) -> None:
        """End every child: SIGTERM in reverse order, all at once, then SIGKILL for what is left after the grace."""
        for child in reversed(self._children):
            _signal(child, signal.SIGTERM)
        ends = time.monotonic() + grace_s
        for child in reversed(self._children):
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.1, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                _kill_session(child)
                child.process.wait()
            _kill_session(child)
        self._children.clear()


@contextmanager
def _ready_pipe() -> Iterator[tuple[int, int]]:
    """A pipe: the end to hear at, and the end that the child gets. Whoever starts the child closes the second."""
    hear, say = os.pipe()
    try:
        yield hear, say
    finally:
        os.close(hear)


def _signal(child: Child, number: signal.Signals) -> None:
    if child.process is not None and child.process.poll() is None:
        child.process.send_signal(number)


def _kill_session(child: Child) -> None:
    """Kill what a child may have left in its session (a pool process that did not end)."""
    if child.process is None:
        return
    with suppress(ProcessLookupError):
        os.killpg(child.process.pid, signal.SIGKILL)
