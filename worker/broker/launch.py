"""Become the server, and end with the process that started it: ``python launch.py PARENT PROGRAM ARGUMENT...``.

A program of its own rather than a ``preexec_fn``: between fork and exec of a process with threads nothing may be done
that takes a lock, and loading a library does. Only the standard library is imported, so that it costs milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def ending_with_us() -> list[str]:
    """What stands before the command of a child that must not outlive the calling thread; nothing but on Linux."""
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", __file__, str(os.getpid())]


def main() -> None:
    """Ask the kernel for SIGTERM when the parent dies, then exec. What is asked for survives the exec (prctl(2))."""
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before we could ask
        sys.exit(0)
    os.execv(command[0], command)  # noqa: S606 - the binary that was found, without a shell


if __name__ == "__main__":
    main()
