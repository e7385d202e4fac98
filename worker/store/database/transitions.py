"""The one place where a job's state changes: allowed by the domain, by compare-and-set, with a line in the timeline."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from worker.domain.errors import LeaseLostError
from worker.domain.job import Claim, JobId, JobKind, JobState, may_follow
from worker.domain.model import ModelIdentity
from worker.domain.study import Digest, SeriesInstanceUID, StudyInstanceUID
from worker.store.database.tables import jobs, timeline

log = logging.getLogger(__name__)

_WITHOUT_LEASE = frozenset(JobState) - {JobState.RUNNING}


_NONE = Digest("")


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a job is made of at first."""

    kind: JobKind
    state: JobState
    study_instance_uid: StudyInstanceUID
    revision: int
    priority: int
    rule: str = ""
    model: ModelIdentity | None = None
    series_instance_uid: SeriesInstanceUID | None = None
    config_digest: Digest = _NONE
    key: Digest | None = None
    destinations: tuple[str, ...] = ()


def create(connection: Connection, new: NewJob, *, reason: str, now: datetime) -> JobId:
    """Insert a job with the first line of its timeline."""
    job_id = JobId(str(uuid.uuid4()))
    connection.execute(
        insert(jobs).values(
            job_id=job_id,
            kind=new.kind,
            state=new.state,
            study_instance_uid=new.study_instance_uid,
            revision=new.revision,
            rule=new.rule,
            model_name=new.model.name if new.model else None,
            model_version=new.model.version if new.model else None,
            model_digest=new.model.digest if new.model else None,
            series_instance_uid=new.series_instance_uid,
            config_digest=new.config_digest,
            key=new.key,
            destinations=list(new.destinations),
            priority=new.priority,
            attempt=0,
            forgiven=0,
            reason=reason,
            created_at=now,
            updated_at=now,
            not_before=now,
            scheduled_at=now,
            heartbeat=0,
        )
    )
    _note(connection, job_id, at=now, before=None, after=new.state, attempt=0, reason=reason)
    return job_id


def move(
    connection: Connection,
    row: Row[Any],
    after: JobState,
    *,
    reason: str,
    now: datetime,
    changes: Mapping[str, Any] | None = None,
) -> bool:
    """Take a job from the state and attempt in which ``row`` was read to ``after``.

    Parameters
    ----------
    row:
        Has at least ``job_id``, ``state`` and ``attempt``; only a job that still is exactly there is moved.
    changes:
        Other columns to set in the same statement.

    Returns
    -------
    bool
        False when somebody else moved the job first; then nothing was written.

    Raises
    ------
    ValueError
        ``worker.domain.job.TRANSITIONS`` does not allow the step: a bug of the caller.
    """
    before: JobState = row.state
    if not may_follow(before, after):
        raise ValueError(f"a job must not go from {before.value} to {after.value}")
    values: dict[str, Any] = {"state": after, "reason": reason, "updated_at": now}
    if after in _WITHOUT_LEASE:
        values |= {"worker": None, "lease_until": None}
    values |= changes or {}
    changed = connection.execute(
        update(jobs)
        .where(jobs.c.job_id == row.job_id, jobs.c.state == before, jobs.c.attempt == row.attempt)
        .values(**values)
    )
    if changed.rowcount != 1:
        return False
    attempt = values.get("attempt", row.attempt)
    _note(connection, row.job_id, at=now, before=before, after=after, attempt=attempt, reason=reason)
    log.info(
        "job-moved", extra={"job_id": row.job_id, "before": before.value, "after": after.value, "attempt": attempt}
    )
    return True


def find(connection: Connection, job_id: JobId | str) -> Row[Any] | None:
    """Read a job's whole row."""
    return connection.execute(select(jobs).where(jobs.c.job_id == job_id)).one_or_none()


def held(connection: Connection, claim: Claim) -> Row[Any]:
    """Read the row of the job that ``claim`` holds; raises LeaseLostError when it does not hold it any more."""
    row = find(connection, claim.job.job_id)
    if row is None or row.state is not JobState.RUNNING or row.attempt != claim.attempt or row.worker != claim.worker:
        raise lease_lost()
    return row


def lease_lost() -> LeaseLostError:
    """Say that another attempt holds it now."""
    return LeaseLostError(
        "Another attempt holds this work now, or it was ended.",
        next_step="Nothing to do: the output of this attempt is thrown away.",
        code="lease-lost",
    )


def follow_up(
    connection: Connection, job_id: JobId | str, steps: Sequence[tuple[JobState, str]], *, now: datetime
) -> None:
    """Take a job, that this transaction has locked by having changed it, through several states at once."""
    for after, reason in steps:
        row = find(connection, job_id)
        if row is None or not move(connection, row, after, reason=reason, now=now):
            raise lease_lost()


def _note(
    connection: Connection,
    job_id: str,
    *,
    at: datetime,
    before: JobState | None,
    after: JobState,
    attempt: int,
    reason: str,
) -> None:
    connection.execute(
        insert(timeline).values(job_id=job_id, at=at, before=before, after=after, attempt=attempt, reason=reason)
    )
