"""What a person may do to a job or a study: try again, stop it, or have it done anew."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, select, update

from worker.domain.errors import PermanentError
from worker.domain.job import HANDED_BACK, UNFINISHED, JobId, JobState, may_follow
from worker.domain.result import DeliveryState
from worker.domain.study import StudyInstanceUID
from worker.store.database.database import Database
from worker.store.database.tables import Kept, deliveries, instances, jobs
from worker.store.database.transitions import find, move
from worker.store.work.arrivals import latest_route, next_revision
from worker.store.work.circuit_breakers import closed
from worker.store.work.jobs import Limits, due_in, end_attempt, hand_back
from worker.store.work.outbox import end_dead_delivery, find_delivery, step
from worker.store.work.routings import withdraw


class Operations:
    """Steps from outside of an attempt: a person's (``overread retry``, ``cancel``, ``rerun``), or a supervisor's.

    Parameters
    ----------
    limits, committing:
        As of ``LedgerJobs`` and ``LedgerOutbox``.
    """

    def __init__(
        self, database: Database, *, limits: Limits | None = None, committing: frozenset[str] = frozenset()
    ) -> None:
        self._database = database
        self._limits = limits or Limits()
        self._committing = committing

    def retry(self, job_id: JobId, *, reason: str = "a person asked for another try") -> JobState:
        """QUARANTINED or FAILED work starts afresh: its attempts are forgiven, parked deliveries are due again.

        Returns the job's new state: DELIVERING when results exist that were refused, else READY.

        Raises
        ------
        PermanentError
            ``unknown-job``; ``cannot-retry`` when the job is in no state to be tried again.
        """
        with self._database.write() as connection:
            row = find(connection, job_id)
            if row is None:
                raise _unknown(job_id)
            now = self._database.now(connection)
            if row.state not in {JobState.QUARANTINED, JobState.FAILED, JobState.WAITING}:
                raise PermanentError(
                    f"Job {job_id} is {row.state.value}; only quarantined, failed and waiting jobs can be tried again.",
                    next_step="`overread show` tells what it waits for.",
                    code="cannot-retry",
                )
            parked = connection.execute(
                select(deliveries).where(deliveries.c.job_id == job_id, deliveries.c.state == DeliveryState.PARKED)
            ).all()
            if row.state is JobState.FAILED and parked:
                closed(connection, (one.destination for one in parked))
                for one in parked:
                    changes = {"died": 0, **due_in(0.0, now)}
                    step(connection, one, DeliveryState.PENDING, reason=reason, now=now, changes=changes)
                after = JobState.DELIVERING
            else:
                after = JobState.READY
            changes = {"forgiven": row.attempt, **due_in(0.0, now)}
            move(connection, row, after, reason=reason, now=now, changes=changes)
        return after

    def cancel(self, job_id: JobId, *, reason: str = "a person stopped it") -> JobState:
        """Stop a job: a running attempt loses its lease, deliveries that nobody is sending are withdrawn.

        Raises
        ------
        PermanentError
            ``unknown-job``; ``cannot-cancel`` when it has ended, or its results are delivered already.
        """
        with self._database.write() as connection:
            row = find(connection, job_id)
            if row is None:
                raise _unknown(job_id)
            if not may_follow(row.state, JobState.CANCELLED):
                raise PermanentError(
                    f"Job {job_id} is {row.state.value} and cannot be stopped any more.",
                    next_step="Results that are delivered are withdrawn at the PACS.",
                    code="cannot-cancel",
                )
            now = self._database.now(connection)
            move(connection, row, JobState.CANCELLED, reason=reason, now=now)
            withdraw(connection, job_id, reason=reason, now=now)
        return JobState.CANCELLED

    def rerun(self, study: StudyInstanceUID, *, reason: str = "a person asked for the study again") -> JobId:
        """Open a new revision of a study that has been routed: it meets the models that are installed now.

        Work whose evidence, model and configuration are the same is known and is not done again. What is new
        supersedes what the same rule and model made before. Returns the new route job, READY.

        Raises
        ------
        PermanentError
            ``unknown-study``; ``evidence-expired`` when its images are gone; ``cannot-rerun`` when it has not been
            routed yet, and so will meet those models anyway.
        """
        with self._database.write() as connection:
            current = latest_route(connection, study)
            if current is None:
                raise PermanentError(
                    f"Nothing was ever received of study {study!r}.",
                    next_step="`overread jobs` lists what was; the Study Instance UID must be whole.",
                    code="unknown-study",
                )
            if current.state in UNFINISHED:
                raise PermanentError(
                    f"The latest revision of this study is {current.state.value}: it is not routed yet.",
                    next_step="Wait for it. It will be routed to the models that are installed now.",
                    code="cannot-rerun",
                )
            evidence = select(instances.c.id).where(
                instances.c.study_instance_uid == study,
                instances.c.own_result.is_(False),
                instances.c.kept == Kept.PRESENT,
            )
            if connection.execute(evidence.limit(1)).first() is None:
                raise PermanentError(
                    "The images of this study are gone from the spool.",
                    next_step="Retention removed them. Send the study again.",
                    code="evidence-expired",
                )
            revision = next_revision(connection, current, reason=reason, now=self._database.now(connection))
        return JobId(revision.job_id)

    def lost(self, is_delivery: bool, id_: str, *, worker: str, reason: str) -> bool:  # noqa: FBT001 - the supervisor's word
        """A supervisor saw ``worker`` die: its work is taken back at once, with the evidence, not when the lease ends.

        The attempt counts, and the last one quarantines (or parks). Returns False when ``worker`` held nothing.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            row = find_delivery(connection, id_) if is_delivery else find(connection, id_)
            if row is None or row.worker != worker:
                return False
            if not is_delivery and row.state is JobState.RUNNING:
                return end_attempt(connection, row, self._limits, reason=reason, retry_in_s=1.0, now=now)
            if is_delivery and row.state is DeliveryState.SENDING:
                return end_dead_delivery(connection, row, self._committing, reason=reason, now=now)
        return False

    def stop_asked(self, workers: Sequence[str]) -> int:
        """These workers were asked to stop: what they hold now does not count, however it ends. Returns how much it is.

        Said when the stop begins, because whoever asked may lose patience and kill: then nobody can say it any more.
        """
        marked = 0
        held = ((jobs, JobState.RUNNING), (deliveries, DeliveryState.SENDING))
        with self._database.write() as connection:
            for table, state in held:
                which = and_(table.c.state == state, table.c.worker.in_(workers))
                marked += connection.execute(update(table).where(which).values(stop_asked=table.c.attempt)).rowcount
        return marked

    def stopped(self, workers: Sequence[str]) -> int:
        """These workers are gone after they were asked to stop: what they still hold is due again at once."""
        taken = 0
        with self._database.write() as connection:
            now = self._database.now(connection)
            running = select(jobs).where(jobs.c.state == JobState.RUNNING, jobs.c.worker.in_(workers))
            for row in connection.execute(running).all():
                taken += hand_back(connection, row, reason=HANDED_BACK, now=now)
            sending = select(deliveries).where(
                deliveries.c.state == DeliveryState.SENDING, deliveries.c.worker.in_(workers)
            )
            for row in connection.execute(sending).all():
                taken += end_dead_delivery(connection, row, self._committing, reason="", now=now)
        return taken

    def resolve(self, prefix: str) -> JobId:
        """Find a job by the beginning of its id; PermanentError when there is none (``unknown-job``) or several."""
        with self._database.read() as connection:
            return resolve(connection, prefix)


def resolve(connection: Connection, prefix: str) -> JobId:
    """Find a job by the beginning of its id."""
    found = connection.execute(
        select(jobs.c.job_id).where(jobs.c.job_id.startswith(prefix, autoescape=True)).limit(2)
    ).all()
    if not found:
        raise _unknown(prefix)
    if len(found) > 1:
        raise PermanentError(
            f"Several jobs begin with {prefix!r}.", next_step="Write more of the id.", code="ambiguous-job"
        )
    return JobId(found[0].job_id)


def _unknown(job_id: str) -> PermanentError:
    return PermanentError(f"There is no job {job_id!r}.", next_step="`overread jobs` lists them.", code="unknown-job")
