"""Waiting for what another thread does: until it is so, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], *, at_most_s: float = 20.0) -> bool:
    end = time.monotonic() + at_most_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return condition()
