"""A circuit breaker and places for each destination, in the ledger: every process, and the next start, sees the same.

A PACS that hangs must not hold up the others, so only so many deliveries to one destination are sent at a time. After
some failures in a row its circuit is open: nobody tries, and nothing is published for it. When the pause is over, one
delivery tries; what it finds closes the circuit, or opens it for longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from worker.domain.result import DeliveryState
from worker.store.database.leases import is_due
from worker.store.database.tables import circuits, deliveries

FAILURES_UNTIL_OPEN = 2
"""In a row: of all deliveries to the destination, in all processes."""
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 300.0


def pause_s(failures: int) -> float:
    """How long nobody tries after so many failures in a row; 0 while the circuit stays closed."""
    openings = failures - FAILURES_UNTIL_OPEN
    # Beyond 2**10 the power is of no use, and would overflow after a year-long outage.
    return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(openings, 10)) if openings >= 0 else 0.0


def failed(connection: Connection, destination: str, *, reason: str, now: datetime) -> None:
    """The destination could not be reached, or gave no answer."""
    row = connection.execute(select(circuits).where(circuits.c.destination == destination)).one_or_none()
    failures = row.failures + 1 if row is not None else 1
    open_until = now + timedelta(seconds=pause_s(failures))
    values = {"failures": failures, "open_until": open_until, "changed_at": now, "reason": reason}
    if row is None:
        connection.execute(insert(circuits).values(destination=destination, **values))
    else:
        connection.execute(update(circuits).where(circuits.c.destination == destination).values(**values))


def closed(connection: Connection, destinations: Iterable[str]) -> None:
    """They answered, whatever they said; or a person says that they are to be tried."""
    connection.execute(delete(circuits).where(circuits.c.destination.in_(sorted(set(destinations)))))


def free_places(connection: Connection, destination: str, *, slots: int, now: datetime) -> int:
    """How many deliveries to a destination may begin now."""
    row = connection.execute(select(circuits).where(circuits.c.destination == destination)).one_or_none()
    sending = select(func.count()).where(
        deliveries.c.state == DeliveryState.SENDING, deliveries.c.destination == destination
    )
    return max(0, _places(row, slots, now) - int(connection.execute(sending).scalar_one()))


def waited_for(connection: Connection) -> list[str]:
    """Destinations that a delivery waits for."""
    pending = select(deliveries.c.destination).where(deliveries.c.state == DeliveryState.PENDING)
    return sorted(row.destination for row in connection.execute(pending.distinct()))


def why_waiting(connection: Connection, destination: str, now: datetime) -> str:
    """What to say of a delivery that waits behind an open circuit; empty when it is closed, or one may try now."""
    row = connection.execute(select(circuits).where(circuits.c.destination == destination)).one_or_none()
    if row is None or _places(row, 1, now):
        return ""
    return (
        f"circuit-open: {destination} gave no answer {row.failures} times in a row; one delivery at a time tries it. "
        f"The last: {row.reason}"
    )


def _places(circuit: Row[Any] | None, slots: int, now: datetime) -> int:
    if circuit is None or circuit.failures < FAILURES_UNTIL_OPEN:
        return slots
    return 1 if is_due(not_before=circuit.open_until, scheduled_at=circuit.changed_at, now=now) else 0
