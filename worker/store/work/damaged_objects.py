"""Work that met a damaged object, and goes on when the object has come again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from worker.domain.job import JobKind, JobState
from worker.store.database.tables import job_evidence, jobs
from worker.store.database.transitions import move
from worker.store.work.jobs import due_in

_REASON = "an image that it works on was damaged on the disk, and came again"


def resume(connection: Connection, instance_ids: Sequence[int], *, now: datetime) -> int:
    """Let the analyses that were planned with these instances begin anew; returns how many do.

    What was quarantined has never had its evidence whole, so its attempts are forgiven. What runs may have read the
    damaged bytes: its attempt loses the lease, and what it makes is thrown away.
    """
    resumed = 0
    for start in range(0, len(instance_ids), 500):  # databases limit the number of parameters
        waiting = select(jobs).where(
            jobs.c.kind == JobKind.ANALYSE,
            jobs.c.state.in_([JobState.RUNNING, JobState.QUARANTINED]),
            jobs.c.superseded_by.is_(None),
            jobs.c.job_id.in_(
                select(job_evidence.c.job_id).where(job_evidence.c.instance_id.in_(instance_ids[start : start + 500]))
            ),
        )
        for row in connection.execute(waiting).all():
            changes = {"forgiven": row.attempt, **due_in(0.0, now)}
            resumed += move(connection, row, JobState.READY, reason=_REASON, now=now, changes=changes)
    return resumed
