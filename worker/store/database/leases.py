"""When is the holder of a lease dead? A deadline on the database's clock, and a watch that no clock can fool.

A wall clock may jump: forward, and every running job looks overdue at once; backward, and a dead worker's job looks
leased for a day. So a lease ends only when this process has itself seen its heartbeat counter stand still on its own
monotonic clock: for the lease's duration when the deadline has passed too, and for twice the duration whatever the
database's clock says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Held:
    """A lease as the database shows it. ``heartbeat`` grows with every sign of life."""

    owner: str
    attempt: int
    heartbeat: int
    lease_until: datetime | None


@dataclass(slots=True)
class _Seen:
    attempt: int
    heartbeat: int
    since: float


class LeaseWatch:
    """What one process has seen of the leases of others.

    Parameters
    ----------
    lease_s:
        Duration of a lease in seconds.
    monotonic:
        A clock in seconds that never jumps.
    """

    def __init__(self, *, lease_s: float, monotonic: Callable[[], float]) -> None:
        self._lease_s = lease_s
        self._monotonic = monotonic
        self._seen: dict[str, _Seen] = {}

    def overdue(self, held: list[Held], *, now: datetime) -> list[Held]:
        """Look at all leases that are held now; returns those whose holder is taken for dead."""
        present = self._monotonic()
        owners = {one.owner for one in held}
        self._seen = {owner: seen for owner, seen in self._seen.items() if owner in owners}
        return [one for one in held if self._is_overdue(one, present, now)]

    def _is_overdue(self, one: Held, present: float, now: datetime) -> bool:
        seen = self._seen.get(one.owner)
        if seen is None or (seen.attempt, seen.heartbeat) != (one.attempt, one.heartbeat):
            self._seen[one.owner] = _Seen(one.attempt, one.heartbeat, present)
            return False
        still_s = present - seen.since
        passed = one.lease_until is None or now >= one.lease_until
        return (passed and still_s >= self._lease_s) or still_s >= 2 * self._lease_s


def is_due(*, not_before: datetime, scheduled_at: datetime, now: datetime) -> bool:
    """Tell whether something that was scheduled may happen.

    A clock that reads earlier than when the schedule was made has been set back: then nobody knows how long to wait,
    and too early is harmless where too late may be a day.
    """
    return now >= not_before or now < scheduled_at
