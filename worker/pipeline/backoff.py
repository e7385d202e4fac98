"""The pause before a job or a delivery is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter: attempt n waits up to ``first_s * factor**(n-1)``, never over ``cap_s``.

    Jitter keeps a recovered PACS from being met by everybody at once; the lower bound of half keeps the order.
    """

    first_s: float = 5.0
    factor: float = 2.0
    cap_s: float = 3600.0

    def delay_s(self, attempt: int, *, uniform: Callable[[float, float], float] = random.uniform) -> float:
        """Seconds to wait after attempt number ``attempt`` (counted from 1)."""
        # Past 2**60 the power is of no use and overflows a float for an attempt number out of a year-long outage.
        full = min(self.cap_s, self.first_s * self.factor ** min(attempt - 1, 60))
        return uniform(full / 2, full)
