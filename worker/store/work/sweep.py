"""What the sweeper asks of the ledger (the port ``Sweepable``). Many processes may do so at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, func, or_, select, update

from worker.domain.job import JobId, JobKind, JobState
from worker.domain.result import DeliveryId, DeliveryState
from worker.domain.study import StudyInstanceUID
from worker.domain.work import DueWork, StudyActivity
from worker.store.database.database import Database
from worker.store.database.leases import Held, LeaseWatch
from worker.store.database.sessions import open_associations
from worker.store.database.tables import arrivals, deliveries, instances, jobs
from worker.store.database.transitions import find, move
from worker.store.work import arrivals as arriving
from worker.store.work.circuit_breakers import free_places, waited_for
from worker.store.work.jobs import Limits, due_in, end_attempt
from worker.store.work.outbox import earlier_is_open, end_dead_delivery, find_delivery

_LONGEST_PAUSE = timedelta(seconds=60)


class LedgerSweep:
    """The ledger as the sweeper sees it.

    Parameters
    ----------
    committing:
        As of ``LedgerOutbox``.
    ring_again_s:
        What was published this long ago and was not claimed is published again: the broker may have forgotten it. The
        pause grows with the time that it has waited, up to a minute: more often than not it only waits its turn. Each
        has its own pause, in the database: nothing that was published hides what was not.
    window:
        Jobs of one kind that are at the broker at a time. The rest wait here, where their order is right, so that a
        long backlog is not repeated to the broker again and again.
    monotonic:
        A clock that never jumps; tests pass their own.
    """

    def __init__(
        self,
        database: Database,
        *,
        limits: Limits | None = None,
        committing: frozenset[str] = frozenset(),
        ring_again_s: float = 5.0,
        window: int = 32,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._limits = limits or Limits()
        self._committing = committing
        self._ring_again = timedelta(seconds=ring_again_s)
        self._window = window
        self._job_leases = LeaseWatch(lease_s=self._limits.lease_s, monotonic=monotonic)
        self._delivery_leases = LeaseWatch(lease_s=self._limits.delivery_lease_s, monotonic=monotonic)

    def arriving(self) -> tuple[StudyActivity, ...]:
        """Route jobs in RECEIVED, with how their studies arrive."""
        with self._database.read() as connection:
            now = self._database.now(connection)
            rows = _arriving_rows(connection)
            turned_back = any(row.last_received_at > now for row in rows)
        if turned_back:
            with self._database.write() as connection:
                now = self._database.now(connection)
                _rebase(connection, now)
        with self._database.read() as connection:
            now = self._database.now(connection)
            return tuple(self._activity_of(connection, row, now) for row in _arriving_rows(connection))

    def complete(self, activity: StudyActivity, *, reason: str) -> bool:
        """RECEIVED to READY, unless an instance came after ``activity`` was read. Tells whether it did."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            return arriving.complete(
                connection, activity.job_id, seen_count=activity.instance_count, reason=reason, now=now
            )

    def take_back_overdue(self) -> int:
        """Jobs and deliveries whose holder is dead: due again, quarantined, or parked. Returns how many."""
        with self._database.read() as connection:
            now = self._database.now(connection)
            running = _held(connection, jobs, jobs.c.job_id, jobs.c.state == JobState.RUNNING)
            state = deliveries.c.state == DeliveryState.SENDING
            sending = _held(connection, deliveries, deliveries.c.delivery_id, state)
        dead_jobs = self._job_leases.overdue(running, now=now)
        dead_deliveries = self._delivery_leases.overdue(sending, now=now)
        if not dead_jobs and not dead_deliveries:
            return 0
        taken = 0
        with self._database.write() as connection:
            now = self._database.now(connection)
            for one in dead_jobs:
                taken += self._take_back_job(connection, one, now)
            for one in dead_deliveries:
                taken += self._take_back_delivery(connection, one, now)
        return taken

    def due(self, *, limit: int) -> tuple[DueWork, ...]:
        """Mark due jobs QUEUED, and name them and the due deliveries; what was published, not claimed, is named again.

        The most urgent first; deliveries get up to half of the places, because they end what was begun. Of those to one
        destination no more are named than may be sent there now: one that hangs fills no queue before the others.
        """
        with self._database.read() as connection:
            now = self._database.now(connection)
            if not self._due_jobs(connection, now, 1) and not self._due_deliveries(connection, now, 1):
                return ()
        with self._database.write() as connection:
            now = self._database.now(connection)
            found_deliveries = self._due_deliveries(connection, now, limit)
            found_jobs = self._due_jobs(connection, now, limit)
            places = max(limit - len(found_jobs), limit // 2)
            published = [self._publish_delivery(connection, row, now) for row in found_deliveries[:places]]
            published += [self._publish_job(connection, row, now) for row in found_jobs[: limit - len(published)]]
            return tuple(published)

    def due_to(self, destination: str) -> tuple[DueWork, ...]:
        """The same for deliveries to one destination, where one has just ended."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            found = self._due_deliveries(connection, now, self._limits.delivery_slots, destination)
            return tuple(self._publish_delivery(connection, row, now) for row in found)

    def release(self, *, mended: bool, reason: str) -> int:
        """WAITING work that is READY again: all of it when a model was ``mended``, else what waited its time."""
        waiting = jobs.c.state == JobState.WAITING
        with self._database.read() as connection:
            now = self._database.now(connection)
            which = waiting if mended else and_(waiting, _scheduled(jobs, now))
            if connection.execute(select(jobs.c.job_id).where(which).limit(1)).first() is None:
                return 0
        with self._database.write() as connection:
            now = self._database.now(connection)
            rows = connection.execute(select(jobs).where(which)).all()
            changes = due_in(0.0, now)
            return sum(move(connection, row, JobState.READY, reason=reason, now=now, changes=changes) for row in rows)

    def forget_published(self, due: Sequence[DueWork]) -> None:
        """Forget that these were published: the broker was away. They are due again at once."""
        job_ids = [one.job_id for one in due if one.job_id is not None]
        delivery_ids = [one.delivery_id for one in due if one.delivery_id is not None]
        with self._database.write() as connection:
            now = self._database.now(connection)
            for table, which in (
                (jobs, jobs.c.job_id.in_(job_ids)),
                (deliveries, deliveries.c.delivery_id.in_(delivery_ids)),
            ):
                connection.execute(update(table).where(which).values(rung_at=None, ring_at=now))

    def forget_all_published(self) -> int:
        """Forget that anything was published: all that was not claimed is due again at once. Returns how many."""
        forgotten = 0
        published = (
            (jobs, and_(jobs.c.state == JobState.QUEUED, jobs.c.rung_at.is_not(None))),
            (deliveries, and_(deliveries.c.state == DeliveryState.PENDING, deliveries.c.rung_at.is_not(None))),
        )
        with self._database.write() as connection:
            now = self._database.now(connection)
            for table, which in published:
                forgotten += connection.execute(update(table).where(which).values(rung_at=None, ring_at=now)).rowcount
        return forgotten

    def holders(self) -> tuple[str, ...]:
        """Workers that hold a lease now."""
        with self._database.read() as connection:
            running = select(jobs.c.worker).where(jobs.c.state == JobState.RUNNING)
            sending = select(deliveries.c.worker).where(deliveries.c.state == DeliveryState.SENDING)
            return tuple(
                sorted({str(row.worker) for row in (*connection.execute(running), *connection.execute(sending))})
            )

    def take_back_from(self, worker: str) -> int:
        """Take back what a worker holds that is known to be dead, without waiting for its lease. Returns how many."""
        reason = f"worker-died: {worker} is not there any more"
        taken = 0
        with self._database.write() as connection:
            now = self._database.now(connection)
            running = select(jobs).where(jobs.c.state == JobState.RUNNING, jobs.c.worker == worker)
            for row in connection.execute(running).all():
                taken += int(end_attempt(connection, row, self._limits, reason=reason, retry_in_s=0.0, now=now))
            sending = select(deliveries).where(
                deliveries.c.state == DeliveryState.SENDING, deliveries.c.worker == worker
            )
            for row in connection.execute(sending).all():
                taken += int(end_dead_delivery(connection, row, self._committing, reason=reason, now=now))
        return taken

    # ---- inside

    def _activity_of(self, connection: Connection, row: Row[Any], now: datetime) -> StudyActivity:
        brought = connection.execute(
            select(instances.c.modality, instances.c.session_id, instances.c.association_id)
            .where(instances.c.route_job_id == row.job_id)
            .distinct()
        ).all()
        pairs = {(one.session_id, one.association_id) for one in brought}
        return StudyActivity(
            job_id=JobId(row.job_id),
            study_instance_uid=StudyInstanceUID(row.study_instance_uid),
            modalities=tuple(sorted({one.modality for one in brought})),
            instance_count=row.instance_count,
            first_received_at=row.first_received_at,
            last_received_at=row.last_received_at,
            largest_gap_s=row.largest_gap_us / 1_000_000,
            open_associations=open_associations(connection, pairs, now=now),
            now=now,
        )

    def _take_back_job(self, connection: Connection, one: Held, now: datetime) -> int:
        row = find(connection, one.owner)
        if row is None or row.state is not JobState.RUNNING or not _is_still(row, one):
            return 0
        reason = f"lease-expired: worker {row.worker} gave no sign of life"
        # A short pause, so that a job which kills whole machines does not meet the next one at once.
        return int(end_attempt(connection, row, self._limits, reason=reason, retry_in_s=1.0, now=now))

    def _take_back_delivery(self, connection: Connection, one: Held, now: datetime) -> int:
        row = find_delivery(connection, one.owner)
        if row is None or row.state is not DeliveryState.SENDING or not _is_still(row, one):
            return 0
        reason = f"lease-expired: worker {row.worker} gave no sign of life"
        return int(end_dead_delivery(connection, row, self._committing, reason=reason, now=now))

    def _due_jobs(self, connection: Connection, now: datetime, limit: int) -> list[Row[Any]]:
        ready = and_(jobs.c.state == JobState.READY, _scheduled(jobs, now))
        forgotten = and_(jobs.c.state == JobState.QUEUED, _to_be_published(jobs, now))
        order = (jobs.c.priority.desc(), jobs.c.created_at, jobs.c.job_id)
        found = list(connection.execute(select(jobs).where(forgotten).order_by(*order).limit(limit)))
        at_broker: dict[JobKind, int] = {
            row.kind: int(row.at_broker)
            for row in connection.execute(
                select(jobs.c.kind, func.count().label("at_broker"))
                .where(jobs.c.state == JobState.QUEUED)
                .group_by(jobs.c.kind)
            )
        }
        for kind in JobKind:
            places = min(limit, self._window - at_broker.get(kind, 0))
            if places > 0:
                of_kind = select(jobs).where(ready, jobs.c.kind == kind).order_by(*order).limit(places)
                found.extend(connection.execute(of_kind))
        found.sort(key=lambda row: (-row.priority, row.created_at, row.job_id))
        return found[:limit]

    def _due_deliveries(
        self, connection: Connection, now: datetime, limit: int, destination: str | None = None
    ) -> list[Row[Any]]:
        found: list[Row[Any]] = []
        for name in [destination] if destination is not None else waited_for(connection):
            if free := free_places(connection, name, slots=self._limits.delivery_slots, now=now):
                due = (
                    select(deliveries)
                    .where(
                        deliveries.c.state == DeliveryState.PENDING,
                        deliveries.c.destination == name,
                        _scheduled(deliveries, now),
                        _to_be_published(deliveries, now),
                        ~earlier_is_open(),
                    )
                    .order_by(deliveries.c.priority.desc(), deliveries.c.created_at, deliveries.c.delivery_id)
                )
                found.extend(connection.execute(due.limit(min(limit, free))))
        found.sort(key=lambda row: (-row.priority, row.created_at, row.delivery_id))
        return found[:limit]

    def _published(self, waiting_since: datetime, now: datetime) -> Mapping[str, Any]:
        """Columns of what is published now: if nobody claims it in so long a time, the broker may have forgotten it."""
        pause = min(max(self._ring_again, (now - waiting_since) / 4), _LONGEST_PAUSE)
        return {"rung_at": now, "ring_at": now + pause}

    def _publish_job(self, connection: Connection, row: Row[Any], now: datetime) -> DueWork:
        if row.state is JobState.READY:
            move(connection, row, JobState.QUEUED, reason="due", now=now, changes=self._published(now, now))
        else:
            published = self._published(row.updated_at, now)
            connection.execute(update(jobs).where(jobs.c.job_id == row.job_id).values(**published))
        model = f" {row.model_name} {row.model_version}" if row.model_name else ""
        return DueWork(
            job_id=JobId(row.job_id),
            delivery_id=None,
            kind=row.kind,
            label=f"{row.kind.value}{model}",
            priority=row.priority,
        )

    def _publish_delivery(self, connection: Connection, row: Row[Any], now: datetime) -> DueWork:
        published = self._published(row.updated_at, now)
        connection.execute(update(deliveries).where(deliveries.c.delivery_id == row.delivery_id).values(**published))
        return DueWork(
            job_id=None,
            delivery_id=DeliveryId(row.delivery_id),
            kind=None,
            label=f"deliver {row.destination}",
            priority=row.priority,
        )


def _is_still(row: Row[Any], one: Held) -> bool:
    return bool(row.attempt == one.attempt and row.heartbeat == one.heartbeat)


def _scheduled(table: Table, now: datetime) -> ColumnElement[bool]:
    """As ``leases.is_due``, for the database."""
    return or_(table.c.not_before <= now, table.c.scheduled_at > now)


def _to_be_published(table: Table, now: datetime) -> ColumnElement[bool]:
    """Not published yet, or so long ago that it is again; published in the future: the clock was set back since."""
    return or_(table.c.rung_at.is_(None), table.c.ring_at <= now, table.c.rung_at > now)


def _arriving_rows(connection: Connection) -> list[Row[Any]]:
    return list(
        connection.execute(
            select(arrivals, jobs.c.study_instance_uid)
            .join(jobs, jobs.c.job_id == arrivals.c.job_id)
            .where(jobs.c.kind == JobKind.ROUTE, jobs.c.state == JobState.RECEIVED)
            .order_by(arrivals.c.first_received_at, arrivals.c.job_id)
        )
    )


def _rebase(connection: Connection, now: datetime) -> None:
    """The clock was set back: what came in its future came now. Else the study would wait for the old time."""
    for row in _arriving_rows(connection):
        if row.last_received_at > now:
            first = min(row.first_received_at, now)
            connection.execute(
                update(arrivals)
                .where(arrivals.c.job_id == row.job_id)
                .values(last_received_at=now, first_received_at=first)
            )


def _held(connection: Connection, table: Table, owner: ColumnElement[Any], state: ColumnElement[bool]) -> list[Held]:
    rows = connection.execute(
        select(owner.label("owner"), table.c.attempt, table.c.heartbeat, table.c.lease_until).where(state)
    )
    return [Held(row.owner, row.attempt, row.heartbeat, row.lease_until) for row in rows]
