"""Where routing decisions become analyse jobs (the port ``Routings``), and how newer work replaces older."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from worker.domain.errors import PermanentError
from worker.domain.job import Claim, JobId, JobKind, JobState
from worker.domain.result import DeliveryState
from worker.domain.routing import Decision
from worker.domain.study import Digest
from worker.domain.work import PlannedAnalysis
from worker.store.database.database import Database
from worker.store.database.tables import decisions, deliveries, instances, job_evidence, jobs, plans
from worker.store.database.transitions import NewJob, create, held, lease_lost, move
from worker.store.faults import reach
from worker.store.work.jobs import due_in

_GONE = frozenset({JobState.CANCELLED, JobState.SUPERSEDED})
_REPLACED_AT_ONCE = frozenset(
    {
        JobState.RECEIVED,
        JobState.READY,
        JobState.QUEUED,
        JobState.RUNNING,
        JobState.WAITING,
        JobState.PRODUCED,
        JobState.DELIVERING,
    }
)
_REPLACED_BY_RESULTS = frozenset({JobState.DELIVERED, JobState.COMMITTED, JobState.QUARANTINED, JobState.FAILED})
_STALE_ROUTES = frozenset(
    {
        JobState.RECEIVED,
        JobState.READY,
        JobState.QUEUED,
        JobState.RUNNING,
        JobState.WAITING,
        JobState.QUARANTINED,
        JobState.FAILED,
    }
)


class LedgerRoutings:
    """Routing decisions in the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self,
        claim: Claim,
        chosen: Sequence[Decision],
        planned: Sequence[PlannedAnalysis],
        *,
        waits_for: str = "",
        again_in_s: float = 0.0,
    ) -> int:
        """Store decisions, create what is new, supersede what it replaces, and end the route job; one transaction.

        Work whose key the ledger knows (in a job that is neither cancelled nor superseded) is left as it is. Route
        jobs of earlier revisions that have not ended are superseded: their view of the study is older. With
        ``waits_for`` (the models that cannot be used now) the job ends in WAITING, and is recorded anew when it ran
        again.

        Returns
        -------
        int
            How many analyse jobs are new.
        """
        with self._database.write() as connection:
            row = held(connection, claim)
            now = self._database.now(connection)
            for table, which in ((decisions, decisions.c.job_id), (plans, plans.c.route_job_id)):
                connection.execute(delete(table).where(which == row.job_id))  # of before it waited
            _write_decisions(connection, row, chosen)
            new = self._plan(connection, row, planned, now)
            reach("route.before-commit")
            _supersede_routes(connection, row, now)
            counted = f"{len(new)} new analysis job(s), {len(planned) - len(new)} unchanged"
            changes: Mapping[str, Any] = {}
            if waits_for:
                after, reason = JobState.WAITING, f"{waits_for}; {counted}"
                changes = {"forgiven": row.forgiven + 1, **due_in(again_in_s, now)}
            elif planned:
                after, reason = JobState.ROUTED, counted
            else:
                after, reason = JobState.NO_MODEL_APPLIES, "no rule chose a series; see the decisions"
            if not move(connection, row, after, reason=reason, now=now, changes=changes):
                raise lease_lost()
        reach("route.after-commit")
        return len(new)

    def _plan(
        self, connection: Connection, route: Row[Any], planned: Sequence[PlannedAnalysis], now: datetime
    ) -> Mapping[Digest, JobId]:
        wanted = {one.key for one in planned}
        known = _jobs_by_key(connection, wanted)
        new: dict[Digest, JobId] = {}
        for position, one in enumerate(planned):
            job_id = known.get(one.key)
            is_new = job_id is None
            if job_id is None:
                job_id = new[one.key] = known[one.key] = _create(connection, route, one, now)
            connection.execute(
                insert(plans).values(route_job_id=route.job_id, position=position, job_id=job_id, is_new=is_new)
            )
        for one in planned:
            if one.key in new:
                _supersede_analyses(connection, route, one, wanted, new[one.key], now)
        return new


def replace_with_results(connection: Connection, row: Row[Any], *, now: datetime) -> None:
    """The job of ``row`` has produced: what it replaces, and stayed until now, is superseded."""
    waiting = select(jobs).where(jobs.c.superseded_by == row.job_id, jobs.c.state.in_(sorted(_REPLACED_BY_RESULTS)))
    # Again and again, because superseding one hands over what that one was to replace.
    while replaced := connection.execute(waiting).all():
        for old in replaced:
            _supersede(connection, old, row.job_id, row.revision, now)


def _write_decisions(connection: Connection, route: Row[Any], chosen: Sequence[Decision]) -> None:
    if chosen:
        connection.execute(
            insert(decisions),
            [
                {
                    "job_id": route.job_id,
                    "study_instance_uid": route.study_instance_uid,
                    "revision": route.revision,
                    "rule": one.rule,
                    "model": one.model,
                    "series_instance_uid": one.series_instance_uid,
                    "chosen": one.chosen,
                    "score": one.score,
                    "reasons": list(one.reasons),
                    "input": one.input,
                }
                for one in chosen
            ],
        )


def _jobs_by_key(connection: Connection, keys: set[Digest]) -> dict[Digest, JobId]:
    rows = connection.execute(
        select(jobs.c.key, jobs.c.job_id).where(jobs.c.key.in_(sorted(keys)), jobs.c.state.not_in(sorted(_GONE)))
    )
    return {Digest(row.key): JobId(row.job_id) for row in rows}


def _create(connection: Connection, route: Row[Any], one: PlannedAnalysis, now: datetime) -> JobId:
    new = NewJob(
        kind=JobKind.ANALYSE,
        state=JobState.READY,
        study_instance_uid=route.study_instance_uid,
        revision=route.revision,
        priority=one.priority,
        rule=one.rule,
        model=one.model,
        # Of several inputs the reference comes first: its series is what the results lie on.
        series_instance_uid=one.evidence[0].header.series_instance_uid if one.evidence else None,
        config_digest=one.config_digest,
        key=one.key,
        destinations=one.destinations,
    )
    job_id = create(connection, new, reason=f"planned by rule {one.rule}", now=now)
    uids = [instance.sop_instance_uid for instance in one.evidence]
    ids = _instance_ids(connection, uids)
    if len(ids) != len(set(uids)):
        raise PermanentError(
            "A planned analysis names instances that are not in the index.",
            next_step="Send the study again.",
            code="evidence-expired",
        )
    if uids:
        connection.execute(
            insert(job_evidence),
            [{"job_id": job_id, "position": n, "instance_id": ids[uid]} for n, uid in enumerate(uids)],
        )
    return job_id


def _instance_ids(connection: Connection, uids: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for start in range(0, len(uids), 500):  # databases limit the number of parameters
        part = uids[start : start + 500]
        rows = connection.execute(
            select(instances.c.sop_instance_uid, instances.c.id).where(instances.c.sop_instance_uid.in_(part))
        )
        found |= {row.sop_instance_uid: row.id for row in rows}
    return found


def _supersede_analyses(
    connection: Connection, route: Row[Any], one: PlannedAnalysis, wanted: set[Digest], successor: JobId, now: datetime
) -> None:
    """Supersede earlier analyses by the same rule and model that this revision does not plan any more.

    Of several successors (a rule may choose several series) the one on the same series is preferred. What has reached
    a destination stays valid until its successor has produced something to put in its place.
    """
    series = {instance.header.series_instance_uid for instance in one.evidence}
    earlier = connection.execute(
        select(jobs).where(
            jobs.c.study_instance_uid == route.study_instance_uid,
            jobs.c.kind == JobKind.ANALYSE,
            jobs.c.rule == one.rule,
            jobs.c.model_name == one.model.name,
            jobs.c.revision < route.revision,
            jobs.c.key.not_in(sorted(wanted)),
            jobs.c.state.not_in(sorted(_GONE)),
        )
    ).all()
    for old in earlier:
        if old.superseded_by is None or old.series_instance_uid in series:
            connection.execute(update(jobs).where(jobs.c.job_id == old.job_id).values(superseded_by=successor))
        if old.state in _REPLACED_AT_ONCE:
            _supersede(connection, old, successor, route.revision, now)


def _supersede(connection: Connection, old: Row[Any], successor: str, revision: int, now: datetime) -> None:
    reason = f"revision {revision} of the study replaced it"
    if move(connection, old, JobState.SUPERSEDED, reason=reason, now=now):
        connection.execute(update(jobs).where(jobs.c.job_id == old.job_id).values(superseded_by=successor))
        heirs = jobs.c.superseded_by == old.job_id
        connection.execute(
            update(jobs).where(heirs, jobs.c.state != JobState.SUPERSEDED).values(superseded_by=successor)
        )
        withdraw(connection, old.job_id, reason=reason, now=now)


def withdraw(connection: Connection, job_id: str, *, reason: str, now: datetime) -> None:
    """Take back the deliveries of a job that nobody is sending. What is being sent is let finish, and is recorded."""
    connection.execute(
        update(deliveries)
        .where(deliveries.c.job_id == job_id, deliveries.c.state.in_([DeliveryState.PENDING, DeliveryState.PARKED]))
        .values(state=DeliveryState.WITHDRAWN, reason=reason, updated_at=now)
    )


def _supersede_routes(connection: Connection, route: Row[Any], now: datetime) -> None:
    for old in connection.execute(
        select(jobs).where(
            jobs.c.study_instance_uid == route.study_instance_uid,
            jobs.c.kind == JobKind.ROUTE,
            jobs.c.revision < route.revision,
            jobs.c.state.in_(sorted(_STALE_ROUTES)),
        )
    ).all():
        _supersede(connection, old, route.job_id, route.revision, now)
