"""What a revision replaces: which results of earlier ones exist out there, and where.

A destination *has* an object when it said so, and *may have* it while the object is being sent or when the answer to
it never came. What nobody ever got needs no successor's word: it was taken back before anybody saw it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select

from worker.domain.job import Job, JobState
from worker.domain.result import DeliveryState, Predecessor, ResultContext, ResultKind, Withdrawal
from worker.domain.study import SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from worker.store.database.tables import deliveries, delivery_items, jobs, results
from worker.store.database.transitions import find


@dataclass(frozen=True, slots=True)
class _Reached:
    """A result of an earlier job that ``destination`` has or may have."""

    job_id: str
    destination: str
    result: Predecessor


class Past:
    """The results that a job's chain of predecessors left at destinations, in one consistent look."""

    def __init__(self, connection: Connection, job: Job) -> None:
        self._job_id: str = job.job_id
        self._successors: dict[str, str] = {}
        self._reached: tuple[_Reached, ...] = ()
        self._noted: frozenset[tuple[str, str]] = frozenset()
        if job.model is None:
            return
        replaced = connection.execute(
            select(jobs.c.job_id, jobs.c.superseded_by).where(
                jobs.c.study_instance_uid == job.study_instance_uid, jobs.c.superseded_by.is_not(None)
            )
        )
        self._successors = {row.job_id: row.superseded_by for row in replaced}
        rows = [row for row in _rows(connection, job, job.model.name) if self._leads_here(row.job_id)]
        self._reached = tuple(
            _Reached(row.job_id, row.destination, _predecessor(row)) for row in rows if row.kind is not ResultKind.KOS
        )
        # Only a note that was surely taken has withdrawn anything.
        self._noted = frozenset(
            (row.job_id, row.destination) for row in rows if row.kind is ResultKind.KOS and row.stored
        )

    def predecessors(self) -> tuple[Predecessor, ...]:
        """The results that this job replaces and that somebody has.

        One whose report was itself replaced by a delivered one is not named again: the chain leads to it.
        """
        reported = {one.job_id for one in self._reached if one.result.kind is ResultKind.SR}
        having: dict[Predecessor, list[str]] = {}
        for one in self._reached:
            if not any(later in reported for later in self._chain(one.job_id)):
                having.setdefault(one.result, []).append(one.destination)
        return tuple(replace(result, destinations=tuple(sorted(names))) for result, names in having.items())

    def standing_at(self, destination: str) -> tuple[Predecessor, ...]:
        """The earlier results that ``destination`` has or may have, and that no note has withdrawn there yet."""
        return tuple(
            dict.fromkeys(
                one.result
                for one in self._reached
                if one.destination == destination
                and not any((later, destination) in self._noted for later in self._chain(one.job_id))
            )
        )

    def withdrawals(self, destinations: Iterable[str]) -> tuple[Withdrawal, ...]:
        """One note for each distinct set of results that stand at some of ``destinations``."""
        by_set: dict[tuple[Predecessor, ...], list[str]] = {}
        for destination in sorted(destinations):
            standing = self.standing_at(destination)
            if standing:
                by_set.setdefault(standing, []).append(destination)
        return tuple(Withdrawal(tuple(names), standing) for standing, names in by_set.items())

    def _chain(self, job_id: str) -> list[str]:
        """The jobs that replaced ``job_id``, one after the other."""
        chain: list[str] = []
        successor = self._successors.get(job_id)
        while successor is not None and successor not in chain:
            chain.append(successor)
            successor = self._successors.get(successor)
        return chain

    def _leads_here(self, job_id: str) -> bool:
        return self._job_id in self._chain(job_id)


def context_of(connection: Connection, job: Job, noting: frozenset[str]) -> ResultContext:
    """What the results of ``job`` say of their making; ``noting`` are the destinations that want rejection notes."""
    past = Past(connection, job)
    row = find(connection, job.job_id)
    destinations = [] if row is None else [name for name in row.destinations if name in noting]
    created_at, generation = (job.created_at, 0) if row is None else _same_work(connection, row)
    return ResultContext(
        created_at=created_at,
        config_digest=job.config_digest,
        revision=job.revision,
        predecessors=past.predecessors(),
        withdrawals=past.withdrawals(destinations),
        generation=generation,
        destinations=() if row is None else tuple(row.destinations),
    )


def note_for(past: Past, destination: str, withdrawals: Sequence[Withdrawal]) -> int | None:
    """Which of ``withdrawals`` is right for ``destination`` as things stand now; None when it needs none.

    Raises LookupError when it needs one and none of them names exactly what stands there.
    """
    standing = frozenset(past.standing_at(destination))
    if not standing:
        return None
    sets: Mapping[frozenset[Predecessor], int] = {
        frozenset(one.instances): number for number, one in enumerate(withdrawals)
    }
    if standing not in sets:
        raise LookupError(destination)
    return sets[standing]


def _rows(connection: Connection, job: Job, model_name: str) -> Sequence[Row[Any]]:
    return connection.execute(
        select(results, deliveries.c.destination, delivery_items.c.stored)
        .join(jobs, jobs.c.job_id == results.c.job_id)
        .join(delivery_items, delivery_items.c.result_id == results.c.id)
        .join(deliveries, deliveries.c.delivery_id == delivery_items.c.delivery_id)
        .where(
            jobs.c.study_instance_uid == job.study_instance_uid,
            jobs.c.rule == job.rule,
            jobs.c.model_name == model_name,
            jobs.c.revision < job.revision,
            jobs.c.job_id != job.job_id,
            jobs.c.superseded_by.is_not(None),
            _has_or_may_have(),
        )
        .order_by(jobs.c.revision, results.c.id, deliveries.c.destination)
    ).all()


def _has_or_may_have() -> ColumnElement[bool]:
    in_doubt = and_(delivery_items.c.status.is_(None), delivery_items.c.at.is_not(None))
    return or_(delivery_items.c.stored.is_(True), in_doubt, deliveries.c.state == DeliveryState.SENDING)


def _predecessor(row: Row[Any]) -> Predecessor:
    return Predecessor(
        kind=row.kind,
        series_instance_uid=SeriesInstanceUID(row.series_instance_uid),
        sop_class_uid=SOPClassUID(row.sop_class_uid),
        sop_instance_uid=SOPInstanceUID(row.sop_instance_uid),
    )


def _same_work(connection: Connection, row: Row[Any]) -> tuple[datetime, int]:
    """When this work was first begun in its generation, and which generation that is.

    Work that was cancelled may have left an object at a destination: asked for again it must give the same bytes
    under the same UIDs, so it keeps its date. Work that was replaced is another matter: its UIDs are used up.
    """
    earlier = connection.execute(
        select(jobs.c.created_at, jobs.c.state)
        .where(jobs.c.key == row.key, jobs.c.job_id != row.job_id, jobs.c.revision < row.revision)
        .order_by(jobs.c.revision)
    ).all()
    began, generation = None, 0
    for one in earlier:
        if one.state is JobState.SUPERSEDED:
            began, generation = None, generation + 1
        else:
            began = began or one.created_at
    return began or row.created_at, generation
