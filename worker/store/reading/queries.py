"""The read side of the ledger, for the command line and for whoever asks later. Frozen; no PHI but UIDs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from worker.domain.analysis_record import KeptObject
from worker.domain.commitment import CommitmentRequest
from worker.domain.job import UNFINISHED, Job, JobId, JobState, StageTime, Transition
from worker.domain.result import Check, Delivery, DeliveryState, GateReport, ResultObject
from worker.domain.routing import Decision
from worker.domain.study import SeriesInstanceUID, SOPInstanceUID, StudyInstanceUID
from worker.store.database.database import Database
from worker.store.database.rows import job_of, result_of
from worker.store.database.tables import (
    Kept,
    commitments,
    conflicts,
    decisions,
    deliveries,
    instances,
    job_evidence,
    jobs,
    plans,
    products,
    refusals,
    results,
    stages,
    studies,
    timeline,
)
from worker.store.reading.kept_objects import kept_object
from worker.store.reading.views import (
    Conflict,
    Counts,
    JobDetails,
    PlannedJob,
    Refusal,
    SeriesCount,
    StudyDetails,
)
from worker.store.spool.spool import Spool
from worker.store.work.circuit_breakers import why_waiting
from worker.store.work.operations import resolve
from worker.store.work.outbox import delivery_of

_N = func.count().label("n")
_IS_CONFLICT = conflicts.c.other_encoding.is_(False)


class Queries:
    """Questions to the ledger; every one is a single consistent look."""

    def __init__(self, database: Database, spool: Spool) -> None:
        self._database = database
        self._spool = spool

    def now(self) -> datetime:
        """The database's clock, to tell ages by."""
        with self._database.read() as connection:
            return self._database.now(connection)

    def list_jobs(
        self,
        *,
        states: Sequence[JobState] | None = None,
        study: StudyInstanceUID | None = None,
        limit: int = 100,
    ) -> tuple[Job, ...]:
        """Jobs, the newest first."""
        query = select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.job_id).limit(limit)
        if states is not None:
            query = query.where(jobs.c.state.in_(list(states)))
        if study is not None:
            query = query.where(jobs.c.study_instance_uid == study)
        return tuple(job_of(row) for row in self._all(query))

    def job(self, prefix: str) -> Job:
        """A job by the beginning of its id; PermanentError ``unknown-job`` or ``ambiguous-job``."""
        return self.details(prefix).job

    def details(self, prefix: str) -> JobDetails:
        """A job by the beginning of its id, with what the ledger knows beside it; raises as ``job`` does."""
        with self._database.read() as connection:
            job_id = resolve(connection, prefix)
            row = connection.execute(select(jobs).where(jobs.c.job_id == job_id)).one()
            return JobDetails(
                job=job_of(row),
                worker=row.worker or "",
                lease_until=row.lease_until,
                not_before=row.not_before,
                destinations=tuple(row.destinations),
                superseded_by=JobId(row.superseded_by) if row.superseded_by else None,
                evidence_count=_evidence_count(connection, row),
            )

    def timeline(self, job_id: JobId) -> tuple[Transition, ...]:
        """Everything that happened to a job, in order."""
        rows = self._all(select(timeline).where(timeline.c.job_id == job_id).order_by(timeline.c.id))
        return tuple(Transition(row.at, row.before, row.after, row.attempt, row.reason) for row in rows)

    def stages(self, job_id: JobId) -> tuple[StageTime, ...]:
        """How long the stages of the last attempt took that has any, in order."""
        latest = select(func.max(stages.c.attempt)).where(stages.c.job_id == job_id).scalar_subquery()
        query = select(stages).where(stages.c.job_id == job_id, stages.c.attempt == latest).order_by(stages.c.id)
        return tuple(StageTime(row.stage, row.seconds) for row in self._all(query))

    def decisions(self, study: StudyInstanceUID, *, revision: int | None = None) -> tuple[Decision, ...]:
        """Why each series was, or was not, given to each model; of the latest routed revision when none is named."""
        latest = select(func.max(decisions.c.revision)).where(decisions.c.study_instance_uid == study)
        wanted: ColumnElement[bool] = decisions.c.revision == (
            latest.scalar_subquery() if revision is None else revision
        )
        rows = self._all(
            select(decisions).where(decisions.c.study_instance_uid == study, wanted).order_by(decisions.c.id)
        )
        return tuple(
            Decision(
                rule=row.rule,
                model=row.model,
                series_instance_uid=SeriesInstanceUID(row.series_instance_uid),
                chosen=row.chosen,
                score=row.score,
                reasons=tuple(row.reasons),
                input=row.input,
            )
            for row in rows
        )

    def plans(self, study: StudyInstanceUID) -> tuple[PlannedJob, ...]:
        """Which analyses each revision of a study asked for."""
        rows = self._all(
            select(plans, jobs.c.revision)
            .join(jobs, jobs.c.job_id == plans.c.route_job_id)
            .where(jobs.c.study_instance_uid == study)
            .order_by(jobs.c.revision, plans.c.position)
        )
        return tuple(PlannedJob(row.revision, JobId(row.job_id), row.is_new) for row in rows)

    def deliveries(self, job_id: JobId) -> tuple[Delivery, ...]:
        """Where the results of a job stand, by destination."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(deliveries).where(deliveries.c.job_id == job_id).order_by(deliveries.c.destination)
            ).all()
            now = self._database.now(connection)
            return tuple(_explained(connection, delivery_of(connection, row, self._spool), now) for row in rows)

    def commitments(self, job_id: JobId) -> tuple[CommitmentRequest, ...]:
        """How often the destinations of a job were asked whether they keep its results, in order."""
        rows = self._all(
            select(commitments, deliveries.c.destination)
            .join(deliveries, deliveries.c.delivery_id == commitments.c.delivery_id)
            .where(deliveries.c.job_id == job_id)
            .order_by(commitments.c.requested_at, commitments.c.transaction_uid)
        )
        return tuple(
            CommitmentRequest(
                destination=row.destination,
                transaction_uid=row.transaction_uid,
                requested_at=row.requested_at,
                answer_by=row.answer_by,
                answered_at=row.answered_at,
                outcome=row.outcome,
            )
            for row in rows
        )

    def results(self, job_id: JobId) -> tuple[ResultObject, ...]:
        """Result objects of a job, in the order in which they are sent."""
        rows = self._all(select(results).where(results.c.job_id == job_id).order_by(results.c.position))
        return tuple(result_of(row, self._spool) for row in rows)

    def kept_objects(self, job_id: JobId) -> tuple[KeptObject, ...]:
        """The same with their bytes, as far as they are there."""
        return tuple(kept_object(one) for one in self.results(job_id))

    def gate_report(self, job_id: JobId) -> GateReport | None:
        """What the gate checked on the results of a job; None before there are any."""
        rows = self._all(select(products.c.gate_report).where(products.c.job_id == job_id))
        return GateReport(tuple(Check(**check) for check in rows[0].gate_report)) if rows else None

    def summary(self, job_id: JobId) -> str | None:
        """What was found, in the JSON that ``Products.produce`` was given; None before there is anything."""
        rows = self._all(select(products.c.summary).where(products.c.job_id == job_id))
        return str(rows[0].summary) if rows else None

    def conflicts(self, *, study: StudyInstanceUID | None = None, limit: int = 100) -> tuple[Conflict, ...]:
        """Second contents under known UIDs, the newest first; other encodings of the same instance are none."""
        query = select(conflicts).where(_IS_CONFLICT).order_by(conflicts.c.id.desc()).limit(limit)
        if study is not None:
            query = query.where(conflicts.c.study_instance_uid == study)
        return tuple(
            Conflict(
                sop_instance_uid=SOPInstanceUID(row.sop_instance_uid),
                study_instance_uid=StudyInstanceUID(row.study_instance_uid),
                identity_differs=row.identity_differs,
                times=row.times,
                size_bytes=row.size_bytes,
                calling_ae_title=row.calling_ae_title,
                received_at=row.received_at,
                path=self._spool.conflict_path(row.object_key),
            )
            for row in self._all(query)
        )

    def refusals(self, *, limit: int = 100) -> tuple[Refusal, ...]:
        """What was refused on arrival, the newest first."""
        return tuple(
            Refusal(
                at=row.at,
                code=row.code,
                detail=row.detail,
                size_bytes=row.size_bytes,
                calling_ae_title=row.calling_ae_title,
                path=self._spool.quarantine_path(row.file_name) if row.file_name else None,
            )
            for row in self._all(select(refusals).order_by(refusals.c.id.desc()).limit(limit))
        )

    def study(self, uid: StudyInstanceUID) -> StudyDetails | None:
        """A study, or None when nothing of it is known."""
        with self._database.read() as connection:
            row = connection.execute(select(studies).where(studies.c.study_instance_uid == uid)).one_or_none()
            return None if row is None else _study(connection, row)

    def counts(self) -> Counts:
        """The whole store in numbers."""
        with self._database.read() as connection:
            of_instances = _count_and_bytes(connection, instances.c.size_bytes, instances.c.id.is_not(None))
            of_results = _count_and_bytes(connection, results.c.size_bytes, results.c.id.is_not(None))
            unfinished = select(func.min(jobs.c.created_at)).where(jobs.c.state.in_(_waiting()))
            return Counts(
                jobs={row.state: row.n for row in connection.execute(_by_state(jobs.c.state))},
                deliveries={row.state: row.n for row in connection.execute(_by_state(deliveries.c.state))},
                studies=_count(connection, select(func.count()).select_from(studies)),
                instances=of_instances[0],
                instance_bytes=of_instances[1],
                results=of_results[0],
                result_bytes=of_results[1],
                conflicts=_count(connection, select(func.count()).select_from(conflicts).where(_IS_CONFLICT)),
                refusals=_count(connection, select(func.count()).select_from(refusals)),
                missing=_count(
                    connection, select(func.count()).select_from(instances).where(instances.c.kept == Kept.MISSING)
                ),
                oldest_unfinished_at=connection.execute(unfinished).scalar_one(),
            )

    def _all(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with self._database.read() as connection:
            return connection.execute(query).all()


def _explained(connection: Connection, delivery: Delivery, now: datetime) -> Delivery:
    """Say so when a delivery waits for nothing but its destination."""
    if delivery.state is not DeliveryState.PENDING:
        return delivery
    return replace(delivery, reason=why_waiting(connection, delivery.destination, now) or delivery.reason)


def _waiting() -> list[JobState]:
    """States that wait for us; DELIVERED waits for the other side."""
    return sorted(UNFINISHED - {JobState.DELIVERED})


def _evidence_count(connection: Connection, row: Row[Any]) -> int:
    return _count(connection, select(func.count()).select_from(job_evidence).where(job_evidence.c.job_id == row.job_id))


def _study(connection: Connection, row: Row[Any]) -> StudyDetails:
    uid = StudyInstanceUID(row.study_instance_uid)
    of_study = instances.c.study_instance_uid == uid
    own = of_study & instances.c.own_result.is_(True)
    evidence = of_study & instances.c.own_result.is_(False)
    count, size = _count_and_bytes(connection, instances.c.size_bytes, evidence)
    series = connection.execute(
        select(instances.c.series_instance_uid, func.min(instances.c.modality).label("modality"), _N)
        .where(evidence)
        .group_by(instances.c.series_instance_uid)
        .order_by(instances.c.series_instance_uid)
    )
    found = connection.execute(
        select(jobs).where(jobs.c.study_instance_uid == uid).order_by(jobs.c.revision, jobs.c.created_at, jobs.c.job_id)
    ).all()
    return StudyDetails(
        study_instance_uid=uid,
        created_at=row.created_at,
        last_received_at=row.last_received_at,
        revision=max((one.revision for one in found), default=0),
        instance_count=count,
        receiving_s=_span_s(connection, evidence),
        size_bytes=size,
        own_results=_count_and_bytes(connection, instances.c.size_bytes, own)[0],
        missing=_count_and_bytes(connection, instances.c.size_bytes, of_study & (instances.c.kept == Kept.MISSING))[0],
        conflicts=_count(
            connection,
            select(func.count()).select_from(conflicts).where(_IS_CONFLICT, conflicts.c.study_instance_uid == uid),
        ),
        series=tuple(SeriesCount(SeriesInstanceUID(one.series_instance_uid), one.modality, one.n) for one in series),
        jobs=tuple(job_of(one) for one in found),
    )


def _by_state(column: ColumnElement[Any]) -> Select[Any]:
    return select(column.label("state"), _N).group_by(column)


def _count(connection: Connection, query: Select[Any]) -> int:
    return int(connection.execute(query).scalar_one())


def _count_and_bytes(
    connection: Connection, size: ColumnElement[Any], condition: ColumnElement[bool]
) -> tuple[int, int]:
    row = connection.execute(select(func.count(), func.coalesce(func.sum(size), 0)).where(condition)).one()
    return int(row[0]), int(row[1])


def _span_s(connection: Connection, condition: ColumnElement[bool]) -> float:
    received = instances.c.received_at
    row = connection.execute(
        select(func.min(received).label("first"), func.max(received).label("last")).where(condition)
    )
    first, last = row.one()
    return 0.0 if first is None else float((last - first).total_seconds())
