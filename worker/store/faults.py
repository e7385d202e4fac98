"""Named points at which a test makes this process die, fail or wait (``OVERREAD_FAULT=step:kill``).

Crash safety is the order of a few system calls. The suite kills a real process at each named point and looks at what
is left, instead of arguing about it. Unset, which is always so outside of tests, a point is one comparison with None.

``OVERREAD_FAULT`` is ``step:action`` or ``step:action:n`` (the n-th time that the step is reached), with the actions
``kill`` (SIGKILL to this process), ``fail`` (``OSError`` EIO, as a dying disk gives) and ``full`` (ENOSPC).
"""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import dataclass

VARIABLE = "OVERREAD_FAULT"


@dataclass(slots=True)
class _Fault:
    step: str
    action: str
    countdown: int


def _armed() -> _Fault | None:
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    step, action, *rest = text.split(":")
    return _Fault(step, action, int(rest[0]) if rest else 1)


_FAULT = _armed()


def arm() -> None:
    """Look at the environment again: for a child that was forked after this module was read."""
    global _FAULT
    _FAULT = _armed()


def reach(step: str) -> None:
    """Mark a step; acts only when the environment asked for a fault at exactly this step."""
    if _FAULT is None or _FAULT.step != step:
        return
    _FAULT.countdown -= 1
    if _FAULT.countdown != 0:
        return
    match _FAULT.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "full":
            raise OSError(errno.ENOSPC, "No space left on device (a fault that a test asked for)")
        case _:
            raise OSError(errno.EIO, "Input/output error (a fault that a test asked for)")
