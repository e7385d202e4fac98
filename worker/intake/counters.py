"""Counters of the listener, for metrics. Counting costs one lock; reading gives one consistent picture."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ListenerStats:
    """A picture of the listener at one moment.

    ``instances`` counts answers by outcome: stored, repeated, other-encoding, own-result, conflict, refused,
    out-of-resources, failed.
    ``associations_ended`` counts ends by reason: released, aborted, closed, idle-timeout, pdu-timeout, slow-message,
    protocol-error, evicted, stopped. ``requests_refused`` counts connections that got no association, by reason.
    """

    associations_open: int
    connections_pending: int
    associations_accepted: int
    echoes: int
    bytes_received: int
    instances: dict[str, int] = field(default_factory=dict)
    associations_ended: dict[str, int] = field(default_factory=dict)
    requests_refused: dict[str, int] = field(default_factory=dict)


class Counters:
    """What the listener's threads count, under one lock; ``ListenerStats`` is what others see of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accepted = 0
        self._echoes = 0
        self._bytes = 0
        self._instances: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def accepted(self) -> None:
        """Count an association that was established."""
        with self._lock:
            self._accepted += 1

    def echo(self) -> None:
        """Count a C-ECHO that was answered."""
        with self._lock:
            self._echoes += 1

    def instance(self, outcome: str, size_bytes: int) -> None:
        """Count a C-STORE that was answered, by its outcome, and the bytes of its data set."""
        with self._lock:
            self._instances[outcome] += 1
            self._bytes += size_bytes

    def ended(self, reason: str) -> None:
        """Count an association that has ended, by the reason."""
        with self._lock:
            self._ended[reason] += 1

    def refused(self, reason: str) -> None:
        """A connection got no association."""
        with self._lock:
            self._refused[reason] += 1

    def picture(self, *, open_associations: int, pending: int) -> ListenerStats:
        """All counts at this moment."""
        with self._lock:
            return ListenerStats(
                associations_open=open_associations,
                connections_pending=pending,
                associations_accepted=self._accepted,
                echoes=self._echoes,
                bytes_received=self._bytes,
                instances=dict(self._instances),
                associations_ended=dict(self._ended),
                requests_refused=dict(self._refused),
            )
