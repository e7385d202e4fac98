"""Claims on jobs, and how they end (the port ``Jobs``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, update

from worker.domain.job import HANDED_BACK, Claim, JobId, JobState, StageTime
from worker.store.database.database import Database
from worker.store.database.rows import job_of
from worker.store.database.tables import jobs, stages
from worker.store.database.transitions import find, held, lease_lost, move


@dataclass(frozen=True, slots=True)
class Limits:
    """How long leases last without a sign of life, how many attempts a job has, and how many deliveries are sent at
    the same time to one destination.
    """  # noqa: D205

    lease_s: float = 60.0
    max_attempts: int = 3
    delivery_lease_s: float = 60.0
    delivery_slots: int = 2


class LedgerJobs:
    """Claims on jobs, and how they end, in the ledger (the pipeline's port Jobs)."""

    def __init__(self, database: Database, *, limits: Limits | None = None) -> None:
        self._database = database
        self._limits = limits or Limits()

    def claim(self, job_id: JobId, *, worker: str) -> Claim | None:
        """Take a queued job, counting the attempt first; None when there is nothing to take.

        A job whose attempts are used up is quarantined instead: it may be what killed its workers.
        """
        with self._database.write() as connection:
            row = find(connection, job_id)
            if row is None or row.state is not JobState.QUEUED:
                return None
            now = self._database.now(connection)
            if used_up(row, self._limits):
                move(connection, row, JobState.QUARANTINED, reason=used_up_reason(row, row.reason), now=now)
                return None
            changes = {
                "attempt": row.attempt + 1,
                "worker": worker,
                "lease_until": now + timedelta(seconds=self._limits.lease_s),
                "heartbeat": row.heartbeat + 1,
            }
            if not move(connection, row, JobState.RUNNING, reason=f"claimed by {worker}", now=now, changes=changes):
                return None
            job = replace(job_of(row), state=JobState.RUNNING, attempt=row.attempt + 1, updated_at=now)
        return Claim(job=job, attempt=job.attempt, worker=worker, failures=failures(row))

    def extend(self, claim: Claim) -> None:
        """Heartbeat. Raises LeaseLostError when another attempt holds the job, or it was ended."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            changed = connection.execute(
                update(jobs)
                .where(
                    jobs.c.job_id == claim.job.job_id,
                    jobs.c.state == JobState.RUNNING,
                    jobs.c.attempt == claim.attempt,
                    jobs.c.worker == claim.worker,
                )
                .values(lease_until=now + timedelta(seconds=self._limits.lease_s), heartbeat=jobs.c.heartbeat + 1)
            )
            if changed.rowcount != 1:
                raise lease_lost()

    def settle(self, claim: Claim, state: JobState, *, reason: str, retry_in_s: float | None = None) -> None:
        """End the attempt in ``state``; raises LeaseLostError when it is not this attempt's to end.

        READY with a delay is a failure that may pass: it counts, and the last one quarantines. READY without one is a
        worker that hands its work back in good order: that attempt is not held against the job. Neither is one that
        ends in WAITING, until ``release`` of the sweeper.
        """
        with self._database.write() as connection:
            row = held(connection, claim)
            now = self._database.now(connection)
            if state is JobState.WAITING:
                # Nothing is wrong with the job: it is not what was tried in vain.
                changes = {"forgiven": row.forgiven + 1, **due_in(retry_in_s or 0.0, now)}
                ended = move(connection, row, state, reason=reason, now=now, changes=changes)
            elif state is not JobState.READY:
                ended = move(connection, row, state, reason=reason, now=now)
            elif retry_in_s:
                ended = end_attempt(connection, row, self._limits, reason=reason, retry_in_s=retry_in_s, now=now)
            else:
                ended = hand_back(connection, row, reason=reason, now=now)
            if not ended:
                raise lease_lost()

    def record_stages(self, claim: Claim, stages_: Sequence[StageTime]) -> None:
        """Keep how long the stages of this attempt took."""
        if not stages_:
            return
        with self._database.write() as connection:
            held(connection, claim)
            connection.execute(
                insert(stages),
                [
                    {"job_id": claim.job.job_id, "attempt": claim.attempt, "stage": one.stage, "seconds": one.seconds}
                    for one in stages_
                ],
            )


def used_up(row: Row[Any], limits: Limits) -> bool:
    """Tell whether a job has had all of its attempts."""
    return failures(row) >= limits.max_attempts


def failures(row: Row[Any]) -> int:
    """Attempts that count against a job. The attempt itself only grows: it is what fences."""
    return int(row.attempt - row.forgiven)


def used_up_reason(row: Row[Any], last: str) -> str:
    """The reason of a job that is quarantined because its attempts are used up."""
    return f"too-many-attempts: {failures(row)} attempts were used up; the last one: {last}"


def hand_back(connection: Connection, row: Row[Any], *, reason: str, now: datetime) -> bool:
    """End an attempt that is not held against its job: READY, and due at once. Tells whether it did."""
    changes = {"forgiven": row.forgiven + 1, **due_in(0.0, now)}
    return move(connection, row, JobState.READY, reason=reason, now=now, changes=changes)


def end_attempt(
    connection: Connection, row: Row[Any], limits: Limits, *, reason: str, retry_in_s: float, now: datetime
) -> bool:
    """End a failed attempt: READY again after a delay, or QUARANTINED when it was the last. Tells whether it did.

    An attempt whose worker was asked to stop has not failed, even when it was killed then: it is handed back.
    """
    if row.stop_asked == row.attempt:
        return hand_back(connection, row, reason=f"{HANDED_BACK} {reason}", now=now)
    if used_up(row, limits):
        return move(connection, row, JobState.QUARANTINED, reason=used_up_reason(row, reason), now=now)
    return move(connection, row, JobState.READY, reason=reason, now=now, changes=due_in(retry_in_s, now))


def due_in(seconds: float, now: datetime) -> Mapping[str, Any]:
    """Values of the columns that schedule a job or a delivery: due in so many seconds, and published again then."""
    due_at = now + timedelta(seconds=seconds)
    return {"not_before": due_at, "scheduled_at": now, "rung_at": None, "ring_at": due_at}
