"""A circuit breaker for each destination: a PACS that is away is asked by one delivery at a time, not by all of them.

After some failures in a row the circuit is open: deliveries go back to the outbox at once, without a connection that
would only run into its time-out and hold a worker meanwhile. When the pause is over, one delivery tries; what it finds
closes the circuit, or opens it for longer. The state is that of one process: losing it costs one connection attempt.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from worker.pipeline.attempt import Backoff


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    open_until: float = 0.0


class Breakers:
    """The circuits of all destinations.

    Parameters
    ----------
    failures:
        Failures in a row after which a circuit opens.
    backoff:
        How long it stays open: after the first opening, the second, ...
    clock:
        In seconds; never jumps.
    """

    def __init__(
        self,
        *,
        failures: int = 2,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures = failures
        self._backoff = backoff or Backoff(first_s=5.0, factor=2.0, cap_s=300.0)
        self._clock = clock
        self._circuits: dict[str, _Circuit] = {}

    def wait_s(self, destination: str) -> float:
        """Seconds for which nobody should try; 0 when one may try now."""
        circuit = self._circuits.get(destination)
        return max(0.0, circuit.open_until - self._clock()) if circuit is not None else 0.0

    def failed(self, destination: str) -> None:
        """The destination could not be reached."""
        circuit = self._circuits.setdefault(destination, _Circuit())
        circuit.failures += 1
        openings = circuit.failures - self._failures + 1
        if openings > 0:
            circuit.open_until = self._clock() + self._backoff.delay_s(openings)

    def answered(self, destination: str) -> None:
        """It answered, whatever it said: the circuit is closed."""
        self._circuits.pop(destination, None)
