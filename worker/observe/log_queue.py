"""Log lines that never hold anybody up: a pipe that nobody reads, or a full disk, costs lines and not work.

Who logs puts a line into a bounded queue; a thread of its own writes the queue to the stream, in order, each line
whole. What does not fit is counted, and the count is said as soon as the stream takes lines again.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import threading
import time
from collections import deque
from typing import IO, Final

_PASSING: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EAGAIN, errno.EINTR, errno.ENOBUFS})
_RETRY_S: Final = 0.2
_IDLE_S: Final = 1.0
_EXIT_S: Final = 1.0


class LineHandler(logging.Handler):
    """Writes records to the file descriptor of a stream, one line each.

    Parameters
    ----------
    stream:
        Must have a file descriptor; nothing of its own buffer is used.
    limit_bytes:
        How much may wait. Beyond it, lines are dropped and counted.
    """

    def __init__(self, stream: IO[str], *, limit_bytes: int = 4 << 20) -> None:
        super().__init__()
        self._stream = stream
        self._limit_bytes = limit_bytes
        self._begin()

    def _begin(self) -> None:
        """Start empty; also in a forked child, which has no thread and must not write its parent's lines again."""
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._lines: deque[tuple[bytes, int]] = deque()
        """Each with the number of lines that it stands for: its own, or those that it says are missing."""
        self._waiting_bytes = 0
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one line. Never blocks."""
        if self._pid != os.getpid():
            self._begin()
        try:
            line = self._encoded(record)
        except Exception:  # noqa: BLE001 - logging's own report would go to the same stream, and may quote values
            line = None
        with self._changed:
            if line is None or self._waiting_bytes + len(line) > self._limit_bytes:
                self._dropped += 1
                return
            self._own_up()
            self._append(line)
            self._start()
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait for what is queued, at most a second: a stream that takes nothing must not keep a process alive."""
        if self._pid != os.getpid():
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_bytes or self._thread is None, _EXIT_S)
            alone = self._thread is None
        if alone:  # no thread can be started any more while the interpreter ends
            self._write_what_fits()

    def _encoded(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode("utf-8", "backslashreplace")

    # ---- with the lock held

    def _append(self, line: bytes, *, stands_for: int = 1) -> None:
        self._lines.append((line, stands_for))
        self._waiting_bytes += len(line)

    def _own_up(self) -> None:
        """Say how many lines are missing at this place."""
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, "log-lines-dropped", None, None)
            record.count = dropped
            self._append(self._encoded(record), stands_for=dropped)

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="log-lines", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads now: the lines wait
                return
            self._thread = thread

    # ---- the thread

    def _run(self) -> None:
        while (found := self._next()) is not None:
            line, stands_for = found
            written = self._write(line)
            with self._changed:
                self._waiting_bytes -= len(line)
                if not written:
                    self._give_up(stands_for)
                self._changed.notify_all()
                if not written:
                    return

    def _give_up(self, stands_for: int) -> None:
        """The stream is gone: nobody tries again for what waits, its own lines included; the next record does once."""
        self._dropped += stands_for + sum(number for _, number in self._lines)
        self._lines.clear()
        self._waiting_bytes = 0
        self._thread = None

    def _next(self) -> tuple[bytes, int] | None:
        with self._changed:
            if not self._lines:
                self._own_up()
            if not self._lines:
                self._changed.wait(_IDLE_S)
            if not self._lines:
                self._thread = None
                return None
            return self._lines.popleft()

    def _write(self, line: bytes) -> bool:
        """Write a whole line, however long that takes; False when the stream is gone."""
        view = memoryview(line)
        while view:
            try:
                view = view[os.write(self._stream.fileno(), view) :]
            except OSError as error:
                if error.errno not in _PASSING:
                    return False
                time.sleep(_RETRY_S)
            except ValueError:  # the stream was closed
                return False
        return True

    def _write_what_fits(self) -> None:
        with self._changed:
            while self._lines and takes(self._stream):
                line, _ = self._lines.popleft()
                self._waiting_bytes -= len(line)
                self._write(line[: select.PIPE_BUF])


def takes(stream: IO[str], *, within_s: float = 0.0) -> bool:
    """Tell whether a stream takes ``select.PIPE_BUF`` bytes without blocking (a file always does)."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        return bool(poll.poll(within_s * 1000))
    except (OSError, ValueError):
        return True
