"""What is finished and old is deleted; what is not finished never is.

The unit is the study. Order of a deletion: in one transaction its rows are marked (so that a crash in the middle is not
taken for a loss), in the next the files go and then the rows, under the writer's lock, where no new instance can rely
on an object that is just going. What people need to answer for later (jobs, timelines, decisions, deliveries) stays
until the history's own age.

What we promised to keep by storage commitment binds everything here: a study with a promise that has not ended stays,
whatever its age and whatever the size of the spool.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, select, update

from worker.domain.job import UNFINISHED, JobId, JobState
from worker.domain.result import DeliveryState
from worker.domain.study import StudyInstanceUID
from worker.domain.work import Retired
from worker.store.commitment.scp import drop_old_promises, promised_studies
from worker.store.database.database import Database
from worker.store.database.tables import (
    Kept,
    associations,
    conflicts,
    deliveries,
    instances,
    jobs,
    listener_sessions,
    refusals,
    results,
    studies,
)
from worker.store.spool.spool import Spool

log = logging.getLogger(__name__)

DAY_S = 86400.0
_PROBLEMS = frozenset({JobState.QUARANTINED, JobState.FAILED})
_OPEN_DELIVERIES = (DeliveryState.PENDING, DeliveryState.SENDING)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Ages in seconds after the last thing that happened to a study; ``max_bytes`` None is no limit.

    ``problems_s`` is for studies with a quarantined or failed job: a person may still want to try them again, so size
    alone never deletes those.
    """

    finished_s: float = 30 * DAY_S
    problems_s: float = 90 * DAY_S
    history_s: float = 400 * DAY_S
    quarantine_s: float = 30 * DAY_S
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class _Candidate:
    uid: StudyInstanceUID
    last_at: datetime
    instances: int
    size_bytes: int
    has_problem: bool


class Retention:
    """Deletes by age and size; at most ``batch`` refusals and histories in one run."""

    def __init__(
        self, database: Database, spool: Spool, policy: RetentionPolicy | None = None, *, batch: int = 10_000
    ) -> None:
        self._database = database
        self._spool = spool
        self._policy = policy or RetentionPolicy()
        self._batch = batch

    @property
    def policy(self) -> RetentionPolicy:
        """The ages and the size that it goes by."""
        return self._policy

    def run(self, *, dry_run: bool = False) -> Retired:
        """Delete what may go now; with ``dry_run`` only say what that is."""
        with self._database.read() as connection:
            now = self._database.now(connection)
            chosen = self._chosen(connection, now)
            of_chosen = _jobs_of(connection, {one.uid for one in chosen})
            old_refusals = _old_refusals(connection, now - timedelta(seconds=self._policy.quarantine_s), self._batch)
            histories = _old_histories(connection, now - timedelta(seconds=self._policy.history_s), self._batch)
        orphans = 0
        gone = chosen
        if not dry_run:
            gone = [one for one in chosen if self._retire(one.uid)]
            for row in old_refusals:
                self._drop_refusal(row)
            of_chosen = {uid: found for uid, found in of_chosen.items() if uid in {one.uid for one in gone}}
            histories = [uid for uid in histories if self._drop_history(uid)]
            self._drop_sessions(now - timedelta(seconds=self._policy.history_s))
            orphans = self._drop_orphaned_results()
        found = Retired(
            studies=tuple(one.uid for one in gone),
            jobs=tuple(job_id for found in of_chosen.values() for job_id in found),
            instances=sum(one.instances for one in gone),
            size_bytes=sum(one.size_bytes for one in gone),
            histories=len(histories),
            refusals=len(old_refusals),
            orphans=orphans,
        )
        if not dry_run and (found.studies or found.histories or found.refusals):
            log.info("retired", extra={"studies": len(found.studies), "size_bytes": found.size_bytes})
        return found

    def without_images(self, job_ids: Sequence[str]) -> tuple[JobId, ...]:
        """Those among some ids that are of no job, or of one whose study was deleted: nothing made of it may stay."""
        gone = []
        with self._database.read() as connection:
            for job_id in job_ids:
                left = (
                    select(instances.c.id)
                    .join(jobs, jobs.c.study_instance_uid == instances.c.study_instance_uid)
                    .where(jobs.c.job_id == job_id)
                )
                if connection.execute(left.limit(1)).first() is None:
                    gone.append(JobId(job_id))
        return tuple(gone)

    def _chosen(self, connection: Connection, now: datetime) -> list[_Candidate]:
        candidates = _candidates(connection, now)
        policy = self._policy
        chosen = {
            one.uid: one
            for one in candidates
            if now - one.last_at >= timedelta(seconds=policy.problems_s if one.has_problem else policy.finished_s)
        }
        if policy.max_bytes is not None:
            left = _kept_bytes(connection) - sum(one.size_bytes for one in chosen.values())
            for one in candidates:
                if left <= policy.max_bytes:
                    break
                if one.uid not in chosen and not one.has_problem:
                    chosen[one.uid] = one
                    left -= one.size_bytes
        return list(chosen.values())

    def _may_go(self, connection: Connection, uid: StudyInstanceUID) -> bool:
        promised = promised_studies(self._database.now(connection)).where(instances.c.study_instance_uid == uid)
        return _is_finished(connection, uid) and connection.execute(promised.limit(1)).first() is None

    def _retire(self, uid: StudyInstanceUID) -> bool:
        with self._database.write() as connection:
            if not self._may_go(connection, uid):  # something happened since it was chosen
                return False
            _mark(connection, uid, before=Kept.PRESENT, after=Kept.EXPIRED)
        with self._database.write() as connection:
            if not self._may_go(connection, uid):
                _mark(connection, uid, before=Kept.EXPIRED, after=Kept.PRESENT)
                return False
            self._delete(connection, uid)
        return True

    def _delete(self, connection: Connection, uid: StudyInstanceUID) -> None:
        expired = connection.execute(
            select(instances).where(
                instances.c.study_instance_uid == uid, instances.c.kept.in_([Kept.EXPIRED, Kept.MISSING])
            )
        ).all()
        for row in expired:
            _unlink(self._spool.object_path(row.object_key))
        uids = [row.sop_instance_uid for row in expired]
        apart = connection.execute(
            select(conflicts).where(
                (conflicts.c.study_instance_uid == uid)
                | conflicts.c.sop_instance_uid.in_(
                    select(instances.c.sop_instance_uid).where(instances.c.study_instance_uid == uid)
                )
            )
        ).all()
        for row in apart:
            _unlink(self._spool.conflict_path(row.object_key))
            connection.execute(delete(conflicts).where(conflicts.c.id == row.id))
        if uids:
            connection.execute(
                delete(instances).where(
                    instances.c.study_instance_uid == uid, instances.c.kept.in_([Kept.EXPIRED, Kept.MISSING])
                )
            )
        for row in connection.execute(_results_of(uid, Kept.EXPIRED)).all():
            still_used = select(results.c.id).where(results.c.sha256 == row.sha256, results.c.kept == Kept.PRESENT)
            if connection.execute(still_used.limit(1)).first() is None:
                _unlink(self._spool.result_path(row.sha256))

    def _drop_refusal(self, row: Row[Any]) -> None:
        if row.file_name:
            _unlink(self._spool.quarantine_path(row.file_name))
        with self._database.write() as connection:
            connection.execute(delete(refusals).where(refusals.c.id == row.id))

    def _drop_history(self, uid: StudyInstanceUID) -> bool:
        with self._database.write() as connection:
            left = select(instances.c.id).where(instances.c.study_instance_uid == uid).limit(1)
            if not self._may_go(connection, uid) or connection.execute(left).first() is not None:
                return False
            connection.execute(delete(jobs).where(jobs.c.study_instance_uid == uid))
            connection.execute(delete(studies).where(studies.c.study_instance_uid == uid))
        return True

    def _drop_sessions(self, before: datetime) -> None:
        with self._database.write() as connection:
            ended = select(listener_sessions.c.session_id).where(listener_sessions.c.ended_at < before)
            connection.execute(delete(associations).where(associations.c.session_id.in_(ended)))
            connection.execute(delete(listener_sessions).where(listener_sessions.c.ended_at < before))
            drop_old_promises(connection, before)

    def _drop_orphaned_results(self) -> int:
        """Result files that no row names: an attempt died between keeping and producing. A day old, to be sure."""
        count = 0
        for prefix in (f"{n:02x}" for n in range(256)):
            old = [(key, path) for key, path in self._spool.keys("results", prefix) if _age_s(path) > DAY_S]
            if not old:
                continue
            with self._database.write() as connection:
                for key, path in old:
                    if connection.execute(select(results.c.id).where(results.c.sha256 == key)).first() is None:
                        _unlink(path)
                        count += 1
        return count


def _candidates(connection: Connection, now: datetime) -> list[_Candidate]:
    """Finished studies that still have something on disk, the longest untouched first."""
    worked = (
        select(jobs.c.study_instance_uid, func.max(jobs.c.updated_at).label("at"))
        .group_by(jobs.c.study_instance_uid)
        .subquery()
    )
    sizes = (
        select(
            instances.c.study_instance_uid,
            func.count().label("pieces"),
            func.sum(instances.c.size_bytes).label("bytes"),
        )
        .group_by(instances.c.study_instance_uid)
        .subquery()
    )
    rows = connection.execute(
        select(
            studies.c.study_instance_uid,
            studies.c.last_received_at,
            worked.c.at,
            sizes.c.pieces,
            sizes.c.bytes,
            studies.c.study_instance_uid.in_(_studies_with(_PROBLEMS)).label("problem"),
        )
        .join(sizes, sizes.c.study_instance_uid == studies.c.study_instance_uid)
        .outerjoin(worked, worked.c.study_instance_uid == studies.c.study_instance_uid)
        .where(
            *_nothing_to_do(studies.c.study_instance_uid),
            studies.c.study_instance_uid.not_in(promised_studies(now)),
        )
    ).all()
    found = [
        _Candidate(
            uid=StudyInstanceUID(row.study_instance_uid),
            last_at=max(row.last_received_at, row.at or row.last_received_at),
            instances=row.pieces,
            size_bytes=int(row.bytes),
            has_problem=bool(row.problem),
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (one.last_at, one.uid))


def _jobs_of(connection: Connection, uids: set[StudyInstanceUID]) -> dict[StudyInstanceUID, list[JobId]]:
    found: dict[StudyInstanceUID, list[JobId]] = {}
    for uid in sorted(uids):
        rows = connection.execute(select(jobs.c.job_id).where(jobs.c.study_instance_uid == uid))
        found[uid] = [JobId(row.job_id) for row in rows]
    return found


def _studies_with(states: Iterable[JobState]) -> Any:
    return select(jobs.c.study_instance_uid).where(jobs.c.state.in_(sorted(states)))


def _nothing_to_do(uid: ColumnElement[Any]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Conditions on ``studies``, as ``_is_finished`` for one of them."""
    on_the_way = select(deliveries.c.study_instance_uid).where(deliveries.c.state.in_(_OPEN_DELIVERIES))
    return uid.not_in(_studies_with(UNFINISHED)), uid.not_in(on_the_way)


def _is_finished(connection: Connection, uid: StudyInstanceUID) -> bool:
    unfinished = select(jobs.c.job_id).where(jobs.c.study_instance_uid == uid, jobs.c.state.in_(sorted(UNFINISHED)))
    on_the_way = select(deliveries.c.delivery_id).where(
        deliveries.c.study_instance_uid == uid, deliveries.c.state.in_(_OPEN_DELIVERIES)
    )
    return (
        connection.execute(unfinished.limit(1)).first() is None
        and connection.execute(on_the_way.limit(1)).first() is None
    )


def _results_of(uid: StudyInstanceUID, kept: Kept) -> Any:
    return (
        select(results)
        .join(jobs, jobs.c.job_id == results.c.job_id)
        .where(jobs.c.study_instance_uid == uid, results.c.kept == kept)
    )


def _mark(connection: Connection, uid: StudyInstanceUID, *, before: Kept, after: Kept) -> None:
    connection.execute(
        update(instances).where(instances.c.study_instance_uid == uid, instances.c.kept == before).values(kept=after)
    )
    of_study = select(jobs.c.job_id).where(jobs.c.study_instance_uid == uid)
    connection.execute(
        update(results).where(results.c.job_id.in_(of_study), results.c.kept == before).values(kept=after)
    )


def _kept_bytes(connection: Connection) -> int:
    total = 0
    for table in (instances, results, conflicts):
        total += int(connection.execute(select(func.coalesce(func.sum(table.c.size_bytes), 0))).scalar_one())
    return total


def _old_refusals(connection: Connection, before: datetime, limit: int) -> list[Row[Any]]:
    return list(connection.execute(select(refusals).where(refusals.c.at < before).order_by(refusals.c.id).limit(limit)))


def _old_histories(connection: Connection, before: datetime, limit: int) -> list[StudyInstanceUID]:
    """What may go: the limit counts nothing else, or what must stay would hide the rest for ever."""
    uid = studies.c.study_instance_uid
    rows = connection.execute(
        select(uid)
        .where(
            studies.c.last_received_at < before,
            uid.not_in(select(instances.c.study_instance_uid)),
            uid.not_in(select(jobs.c.study_instance_uid).where(jobs.c.updated_at >= before)),
            *_nothing_to_do(uid),
        )
        .order_by(studies.c.last_received_at, uid)
        .limit(limit)
    )
    return [StudyInstanceUID(row.study_instance_uid) for row in rows]


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
