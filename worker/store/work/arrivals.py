"""Which revision of its study a new instance belongs to, and how that revision is arriving."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from worker.domain.job import JobKind, JobState
from worker.domain.study import StudyInstanceUID
from worker.store.database.tables import arrivals, jobs, studies
from worker.store.database.transitions import NewJob, create, find, move

_JOINABLE = frozenset({JobState.RECEIVED, JobState.READY, JobState.QUEUED})


@dataclass(frozen=True, slots=True)
class Revision:
    """The route job that waits for (or was opened by) an instance."""

    job_id: str
    number: int


def ensure_study(connection: Connection, uid: StudyInstanceUID, *, now: datetime) -> None:
    """Insert the study's row, or note that something came."""
    changed = connection.execute(
        update(studies).where(studies.c.study_instance_uid == uid).values(last_received_at=now)
    )
    if changed.rowcount == 0:
        connection.execute(insert(studies).values(study_instance_uid=uid, created_at=now, last_received_at=now))


def join_revision(
    connection: Connection, uid: StudyInstanceUID, *, count: int, priority: int, now: datetime
) -> Revision:
    """Add ``count`` new instances to the study's waiting route job, or open the next revision.

    A route job that nobody has begun takes them in and waits again. Once it runs or has ended, what comes is late:
    it opens a new revision, so that no attempt ever sees its evidence change.
    """
    current = latest_route(connection, uid)
    if current is None or current.state not in _JOINABLE:
        reason = "first instance received" if current is None else "late instances opened the study again"
        number = 1 if current is None else current.revision + 1
        revision = _open(connection, uid, number, JobState.RECEIVED, priority=priority, reason=reason, now=now)
    else:
        revision = Revision(current.job_id, current.revision)
        if current.state is not JobState.RECEIVED:
            move(connection, current, JobState.RECEIVED, reason="another instance arrived before work began", now=now)
    _count(connection, revision.job_id, count=count, now=now)
    return revision


def next_revision(connection: Connection, current: Row[Any], *, reason: str, now: datetime) -> Revision:
    """Open a revision that nothing arrived for: READY at once, with what the study has."""
    return _open(
        connection,
        StudyInstanceUID(current.study_instance_uid),
        current.revision + 1,
        JobState.READY,
        priority=current.priority,
        reason=reason,
        now=now,
    )


def latest_route(connection: Connection, uid: StudyInstanceUID) -> Row[Any] | None:
    """The route job of the study's latest revision."""
    return connection.execute(
        select(jobs)
        .where(jobs.c.study_instance_uid == uid, jobs.c.kind == JobKind.ROUTE)
        .order_by(jobs.c.revision.desc())
        .limit(1)
    ).one_or_none()


def _open(
    connection: Connection,
    uid: StudyInstanceUID,
    number: int,
    state: JobState,
    *,
    priority: int,
    reason: str,
    now: datetime,
) -> Revision:
    job_id = create(connection, NewJob(JobKind.ROUTE, state, uid, number, priority), reason=reason, now=now)
    connection.execute(
        insert(arrivals).values(
            job_id=job_id, instance_count=0, first_received_at=now, last_received_at=now, largest_gap_us=0
        )
    )
    return Revision(job_id, number)


def _count(connection: Connection, job_id: str, *, count: int, now: datetime) -> None:
    row = connection.execute(select(arrivals).where(arrivals.c.job_id == job_id)).one()
    # A clock that was set back between two instances gives no gap, not a negative one.
    gap_us = max(0, int((now - row.last_received_at).total_seconds() * 1_000_000))
    connection.execute(
        update(arrivals)
        .where(arrivals.c.job_id == job_id)
        .values(
            instance_count=row.instance_count + count,
            last_received_at=now,
            largest_gap_us=max(row.largest_gap_us, gap_us),
        )
    )


def complete(connection: Connection, job_id: str, *, seen_count: int, reason: str, now: datetime) -> bool:
    """RECEIVED to READY, unless the study has grown since ``seen_count`` instances were seen."""
    row = find(connection, job_id)
    if row is None or row.state is not JobState.RECEIVED:
        return False
    count = connection.execute(select(arrivals.c.instance_count).where(arrivals.c.job_id == job_id)).scalar_one()
    if count != seen_count:
        return False
    return move(
        connection, row, JobState.READY, reason=reason, now=now, changes={"not_before": now, "scheduled_at": now}
    )
