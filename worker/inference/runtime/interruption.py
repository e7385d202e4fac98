"""Ending a run of ONNX Runtime from another thread, because this process is asked to stop.

No Python runs while a net does: a signal handler waits until it has ended, which may be minutes. ONNX Runtime looks at
the options of a run before each of its nodes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from worker.domain.errors import ShutdownError

if TYPE_CHECKING:
    import onnxruntime as ort

_lock = threading.Lock()
_running: list[ort.RunOptions] = []
_asked = threading.Event()


def interrupt() -> None:
    """End what runs now, and let nothing begin any more: for a process that is about to end. From any thread."""
    _asked.set()
    with _lock:
        for options in _running:
            options.terminate = True


@contextmanager
def interruptible(options: ort.RunOptions) -> Iterator[None]:
    """Run a net with these options within the block. Raises ShutdownError when it was interrupted."""
    with _lock:
        _running.append(options)
    if _asked.is_set():
        options.terminate = True
    try:
        yield
    except Exception as error:
        if _asked.is_set():
            raise ShutdownError from error
        raise
    finally:
        with _lock:
            _running.remove(options)
