"""What a process says that is no call of its log: exceptions that nobody caught, warnings, and prints of libraries.

Where the log is JSON, each line on standard error is an event, so these are events as well: what it was and where,
never its words, which may quote a data set. Text that native code writes to file descriptor 2 cannot be made one; it
is rare (a process that is about to die says why), and it must not hold the process up.
"""

from __future__ import annotations

import fcntl
import io
import logging
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import IO, TYPE_CHECKING

from worker.observe import logs

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

log = logging.getLogger(__name__)

_MIDDLEMEN = frozenset({"traceback", "warnings", "logging", "threading", __name__})
"""Who writes for somebody else."""
_SAME_S = 1.0


def into_log() -> None:
    """Make events of all that, in this process and in those that are forked from it. May be called again."""
    sys.excepthook = _unhandled
    threading.excepthook = _unhandled_in_thread
    sys.unraisablehook = _unraisable
    logging.captureWarnings(capture=True)
    keep_native_text_from_blocking()
    under = sys.stderr.under if isinstance(sys.stderr, Prints) else sys.stderr
    sys.stderr = Prints(under) if logs.is_json() else under


def takes_events_only() -> bool:
    """Tell whether each line that this process writes to standard error is to be an event."""
    return isinstance(sys.stderr, Prints)


class Prints(io.TextIOBase):
    """In place of ``sys.stderr``: that something was printed is an event, with its place and what was being handled."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, under: IO[str]) -> None:
        self.under = under
        self._last: tuple[str, float] = ("", 0.0)

    def write(self, text: str) -> int:
        """Say once what one place prints in pieces (a traceback)."""
        where, now = _place(sys._getframe(1)), time.monotonic()  # noqa: SLF001 - the documented way to one's caller
        last, at = self._last
        self._last = (where, now)
        if text.strip() and (where != last or now - at > _SAME_S):
            handled = sys.exc_info()
            log.warning("standard-error-written", extra={"where": where}, exc_info=handled if handled[0] else None)
        return len(text)

    def flush(self) -> None:
        """Who flushes may be about to end this process without a word."""
        for handler in logging.getLogger().handlers:
            handler.flush()

    def fileno(self) -> int:
        """The descriptor of the stream that events go to."""
        return self.under.fileno()

    def isatty(self) -> bool:
        """As the stream that events go to."""
        return self.under.isatty()

    def writable(self) -> bool:
        """Tell that anything may be written here."""
        return True


def keep_native_text_from_blocking(descriptor: int = 2) -> None:
    """Have writes to a pipe that is full fail instead of waiting for a reader, for this process and its children.

    The pipe is opened anew: the flag belongs to an open file, and that one is shared with whoever started us. What is
    no pipe is left as it is: a file never blocks, and a socket (of systemd's journal) cannot be opened again.
    """
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_NONBLOCK:
            return
        ours = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # nobody holds its other end, it belongs to another user, or this is not Linux
        return
    os.dup2(ours, descriptor)
    os.close(ours)


def _unhandled(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log.critical("process-defect", exc_info=(kind, error, trace))


def _unhandled_in_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is None or issubclass(found.exc_type, SystemExit):
        return
    name = found.thread.name if found.thread is not None else ""
    log.critical(
        "thread-defect", extra={"child": name}, exc_info=(found.exc_type, found.exc_value, found.exc_traceback)
    )


def _unraisable(found: UnraisableHookArgs) -> None:
    """What was raised where nobody could be told (``__del__``, the end of the interpreter)."""
    if found.exc_value is not None:
        log.warning("exception-ignored", exc_info=(found.exc_type, found.exc_value, found.exc_traceback))


def _place(frame: FrameType | None) -> str:
    for one in _callers(frame):
        module = one.f_globals.get("__name__", "?")
        if module not in _MIDDLEMEN:
            return f"{module}:{one.f_lineno}"
    return "?"


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
