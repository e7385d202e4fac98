"""Deliveries: one per job and destination, leased like jobs, and the job follows them (the port ``Outbox``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, exists, select, update

from worker.domain.job import HANDED_BACK, JobId, JobState
from worker.domain.result import (
    Delivery,
    DeliveryClaim,
    DeliveryId,
    DeliveryItem,
    DeliveryState,
    SendOutcome,
)
from worker.store.database.database import Database
from worker.store.database.leases import is_due
from worker.store.database.rows import result_of
from worker.store.database.tables import deliveries, delivery_items, results
from worker.store.database.transitions import find, follow_up, lease_lost, move
from worker.store.faults import reach
from worker.store.spool.spool import Spool
from worker.store.work.circuit_breakers import closed, failed, free_places
from worker.store.work.jobs import Limits, due_in

_S = DeliveryState

DELIVERY_STEPS: dict[DeliveryState, frozenset[DeliveryState]] = {
    _S.PENDING: frozenset({_S.SENDING, _S.WITHDRAWN}),
    _S.SENDING: frozenset({_S.SENT, _S.PENDING, _S.PARKED, _S.WITHDRAWN}),
    _S.SENT: frozenset({_S.COMMITTED, _S.PENDING, _S.WITHDRAWN}),
    _S.COMMITTED: frozenset(),
    _S.PARKED: frozenset({_S.PENDING, _S.WITHDRAWN}),
    _S.WITHDRAWN: frozenset(),
}
"""What may follow what in the life of a delivery."""

LOOKED = "looked for by C-FIND"
"""How the reason of a delivery begins that was confirmed by a query, not by a promise."""

DEATHS_UNTIL_PARKED = 10
"""A delivery whose worker died this often in a row is parked: it may be what kills them."""

_OPEN = (DeliveryState.PENDING, DeliveryState.SENDING)
_NOT_WANTED = frozenset({JobState.SUPERSEDED, JobState.CANCELLED})
_MAY_DELIVER = frozenset({JobState.PRODUCED, JobState.DELIVERING, JobState.DELIVERED})


class LedgerOutbox:
    """Deliveries in the ledger.

    Parameters
    ----------
    committing:
        Names of the destinations that offer storage commitment: only their promise ends our responsibility there.
    """

    def __init__(
        self,
        database: Database,
        spool: Spool,
        *,
        limits: Limits | None = None,
        committing: frozenset[str] = frozenset(),
    ) -> None:
        self._database = database
        self._spool = spool
        self._limits = limits or Limits()
        self._committing = committing

    def claim(self, delivery_id: DeliveryId, *, worker: str) -> DeliveryClaim | None:
        """Take a due delivery, counting the attempt first; None when there is nothing to take.

        Nor is there while the destination's circuit is open, or as many as may are being sent there. Then the message
        is forgotten, so that the delivery is published again as soon as there is a place.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            row = find_delivery(connection, delivery_id)
            if row is None or row.state is not DeliveryState.PENDING:
                return None
            if not is_due(not_before=row.not_before, scheduled_at=row.scheduled_at, now=now) or waits_for_earlier(
                connection, row
            ):
                return None
            if not free_places(connection, row.destination, slots=self._limits.delivery_slots, now=now):
                forgotten = {"rung_at": None, "ring_at": now}
                connection.execute(
                    update(deliveries).where(deliveries.c.delivery_id == delivery_id).values(**forgotten)
                )
                return None
            job = find(connection, row.job_id)
            if job is None or job.state not in _MAY_DELIVER:
                return None
            changes = {
                "attempt": row.attempt + 1,
                "worker": worker,
                "lease_until": now + timedelta(seconds=self._limits.delivery_lease_s),
                "heartbeat": row.heartbeat + 1,
            }
            if not step(connection, row, DeliveryState.SENDING, reason=row.reason, now=now, changes=changes):
                return None
            if job.state is not JobState.DELIVERING:
                move(connection, job, JobState.DELIVERING, reason=f"sending to {row.destination}", now=now)
            delivery = replace(
                delivery_of(connection, row, self._spool), state=DeliveryState.SENDING, attempt=row.attempt + 1
            )
        return DeliveryClaim(delivery=delivery, attempt=delivery.attempt, worker=worker, failures=row.failures)

    def extend(self, claim: DeliveryClaim) -> None:
        """Heartbeat. Raises LeaseLostError when another attempt holds the delivery, or it was ended."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            _extend(connection, claim, now + timedelta(seconds=self._limits.delivery_lease_s))

    def note(self, claim: DeliveryClaim, outcome: SendOutcome) -> None:
        """Record one object's answer at once, so that what was stored is not sent again; extends the lease.

        An answer, whatever it says, closes the destination's circuit.

        Raises LeaseLostError when another attempt holds the delivery.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            _extend(connection, claim, now + timedelta(seconds=self._limits.delivery_lease_s))
            same = exists().where(
                results.c.id == delivery_items.c.result_id, results.c.sop_instance_uid == outcome.sop_instance_uid
            )
            connection.execute(
                update(delivery_items)
                .where(delivery_items.c.delivery_id == claim.delivery.delivery_id, same)
                .values(status=outcome.status, stored=outcome.stored, detail=outcome.detail, at=now)
            )
            if outcome.answered:
                closed(connection, [claim.delivery.destination])
        reach("deliver.noted")

    def settle(
        self,
        claim: DeliveryClaim,
        state: DeliveryState,
        *,
        reason: str,
        retry_in_s: float | None = None,
        unanswered: bool = False,
    ) -> None:
        """End it: SENT, PARKED, or PENDING again after ``retry_in_s``. The job follows in the same transaction.

        ``unanswered``: the destination could not be reached, or gave no answer; it counts for its circuit.

        Raises LeaseLostError when another attempt holds the delivery.
        """
        failures = claim.failures + 1 if state is DeliveryState.PENDING else 0
        changes = {"died": 0, "failures": failures}
        self._end(claim, state, reason=reason, retry_in_s=retry_in_s or 0.0, changes=changes, unanswered=unanswered)

    def put_back(self, claim: DeliveryClaim, *, reason: str, again_in_s: float) -> None:
        """It was not tried, or was broken off in good order: due again later, and no failure.

        The attempt stays counted: it is the fencing token, and one that is given twice fences nobody.

        Raises LeaseLostError when another attempt holds the delivery.
        """
        self._end(claim, DeliveryState.PENDING, reason=reason, retry_in_s=again_in_s, changes={})

    def _end(
        self,
        claim: DeliveryClaim,
        state: DeliveryState,
        *,
        reason: str,
        retry_in_s: float,
        changes: Mapping[str, Any],
        unanswered: bool = False,
    ) -> None:
        with self._database.write() as connection:
            now = self._database.now(connection)
            row = held_delivery(connection, claim)
            job = find(connection, row.job_id)
            if state is DeliveryState.PENDING and (job is None or job.state in _NOT_WANTED):
                state = DeliveryState.WITHDRAWN
            due: Mapping[str, Any] = due_in(retry_in_s, now) if state is DeliveryState.PENDING else {}
            if not step(connection, row, state, reason=reason, now=now, changes={**due, **changes}):
                raise lease_lost()
            if unanswered:
                failed(connection, row.destination, reason=reason, now=now)
            follow(connection, row.job_id, self._committing, now=now)
            reach("deliver.before-commit")


def step(
    connection: Connection,
    row: Row[Any],
    after: DeliveryState,
    *,
    reason: str,
    now: datetime,
    changes: Mapping[str, Any] | None = None,
) -> bool:
    """Change a delivery's state by compare-and-set: the only place that does. False when it was changed before."""
    before: DeliveryState = row.state
    if after not in DELIVERY_STEPS[before]:
        raise ValueError(f"a delivery must not go from {before.value} to {after.value}")
    values: dict[str, Any] = {"state": after, "reason": reason, "updated_at": now}
    if after is not DeliveryState.SENDING:
        values |= {"worker": None, "lease_until": None}
    changed = connection.execute(
        update(deliveries)
        .where(
            deliveries.c.delivery_id == row.delivery_id,
            deliveries.c.state == before,
            deliveries.c.attempt == row.attempt,
        )
        .values(**{**values, **(changes or {})})
    )
    return changed.rowcount == 1


def end_dead_delivery(
    connection: Connection, row: Row[Any], committing: frozenset[str], *, reason: str, now: datetime
) -> bool:
    """End an attempt whose worker died: due again, parked when that happens again and again, or not wanted any more.

    A worker that had been asked to stop has not died of its work: that is not counted.
    """
    job = find(connection, row.job_id)
    died = row.died if row.stop_asked == row.attempt else row.died + 1
    changes: dict[str, Any] = {"died": died}
    if row.stop_asked == row.attempt:
        reason = f"{HANDED_BACK} {reason}"
    if job is None or job.state in _NOT_WANTED:
        after = DeliveryState.WITHDRAWN
    elif died >= DEATHS_UNTIL_PARKED:
        after, reason = DeliveryState.PARKED, f"too-many-attempts: {died} workers died; {reason}"
    else:
        after = DeliveryState.PENDING
        changes |= due_in(1.0, now)
    done = step(connection, row, after, reason=reason, now=now, changes=changes)
    follow(connection, row.job_id, committing, now=now)
    return done


def follow(connection: Connection, job_id: str, committing: frozenset[str], *, now: datetime) -> None:
    """Let the job's state follow from those of its deliveries."""
    job = find(connection, job_id)
    if job is None or job.state not in {JobState.DELIVERING, JobState.DELIVERED}:
        return
    rows = connection.execute(
        select(deliveries.c.destination, deliveries.c.state, deliveries.c.reason).where(
            deliveries.c.job_id == job_id, deliveries.c.state != DeliveryState.WITHDRAWN
        )
    ).all()
    if any(row.state in _OPEN for row in rows):
        return
    parked = [row for row in rows if row.state is DeliveryState.PARKED]
    if parked and job.state is JobState.DELIVERING:
        names = "; ".join(f"{row.destination}: {row.reason}" for row in parked)
        move(connection, job, JobState.FAILED, reason=f"refused for good by {names}", now=now)
        return
    steps: list[tuple[JobState, str]] = []
    if job.state is JobState.DELIVERING:
        steps.append((JobState.DELIVERED, f"{len(rows)} destination(s) stored everything"))
    wanting = [row for row in rows if row.destination in committing]
    if not wanting:
        steps.append((JobState.COMMITTED, "no destination offers storage commitment"))
    elif all(row.state is DeliveryState.COMMITTED for row in wanting):
        steps.append((JobState.COMMITTED, _confirmed([row.reason for row in wanting])))
    follow_up(connection, job_id, steps, now=now)


def _confirmed(reasons: Sequence[str]) -> str:
    """How safe-keeping was confirmed: by a promise, or only by a look at what is there."""
    looked = sum(1 for reason in reasons if reason.startswith(LOOKED))
    said = []
    if promised := len(reasons) - looked:
        said.append(f"safe-keeping promised by {promised} destination(s)")
    if looked:
        said.append(f"confirmed by a query of {looked} destination(s)")
    return "; ".join(said)


def find_delivery(connection: Connection, delivery_id: str) -> Row[Any] | None:
    """Read a delivery's whole row."""
    return connection.execute(select(deliveries).where(deliveries.c.delivery_id == delivery_id)).one_or_none()


def held_delivery(connection: Connection, claim: DeliveryClaim) -> Row[Any]:
    """Read the row of the delivery that ``claim`` holds; raises LeaseLostError when it does not hold it any more."""
    row = connection.execute(select(deliveries).where(_is_held(claim))).one_or_none()
    if row is None:
        raise lease_lost()
    return row


def earlier_is_open() -> ColumnElement[bool]:
    """Condition on ``deliveries``: an older revision of the same study is still on its way to the same destination."""
    older = deliveries.alias("older")
    return exists().where(
        older.c.study_instance_uid == deliveries.c.study_instance_uid,
        older.c.destination == deliveries.c.destination,
        older.c.revision < deliveries.c.revision,
        older.c.state.in_(_OPEN),
    )


def waits_for_earlier(connection: Connection, row: Row[Any]) -> bool:
    """Tell whether an older revision of the study is still on its way to the same destination."""
    older = select(deliveries.c.delivery_id).where(
        deliveries.c.study_instance_uid == row.study_instance_uid,
        deliveries.c.destination == row.destination,
        deliveries.c.revision < row.revision,
        deliveries.c.state.in_(_OPEN),
    )
    return connection.execute(older.limit(1)).first() is not None


def items_of(connection: Connection, delivery_id: str, spool: Spool) -> tuple[DeliveryItem, ...]:
    """The objects of a delivery, in the order in which they are sent, with what was answered so far."""
    rows: Sequence[Row[Any]] = connection.execute(
        select(results, delivery_items.c.status)
        .join(delivery_items, delivery_items.c.result_id == results.c.id)
        .where(delivery_items.c.delivery_id == delivery_id)
        .order_by(delivery_items.c.position)
    ).all()
    return tuple(DeliveryItem(result=result_of(row, spool), status=row.status) for row in rows)


def delivery_of(connection: Connection, row: Row[Any], spool: Spool) -> Delivery:
    """A row of ``deliveries`` with its items."""
    delivery_id = DeliveryId(row.delivery_id)
    return Delivery(
        delivery_id=delivery_id,
        job_id=JobId(row.job_id),
        destination=row.destination,
        state=row.state,
        attempt=row.attempt,
        items=items_of(connection, delivery_id, spool),
        reason=row.reason,
    )


def _is_held(claim: DeliveryClaim) -> ColumnElement[bool]:
    return (
        (deliveries.c.delivery_id == claim.delivery.delivery_id)
        & (deliveries.c.state == DeliveryState.SENDING)
        & (deliveries.c.attempt == claim.attempt)
        & (deliveries.c.worker == claim.worker)
    )


def _extend(connection: Connection, claim: DeliveryClaim, until: datetime) -> None:
    changed = connection.execute(
        update(deliveries).where(_is_held(claim)).values(lease_until=until, heartbeat=deliveries.c.heartbeat + 1)
    )
    if changed.rowcount != 1:
        raise lease_lost()
