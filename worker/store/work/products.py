"""Where results go (the port ``Products``)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert

from worker.domain.errors import TransientError
from worker.domain.job import Claim, Job, JobState
from worker.domain.result import (
    DeliveryState,
    EncodedObject,
    GateReport,
    ResultContext,
    ResultKind,
    ResultObject,
    Withdrawal,
)
from worker.store.database.database import Database
from worker.store.database.tables import Kept, deliveries, delivery_items, products, results
from worker.store.database.transitions import follow_up, held, lease_lost, move
from worker.store.faults import reach
from worker.store.spool.spool import Spool
from worker.store.work.predecessors import Past, context_of, note_for
from worker.store.work.routings import replace_with_results


class LedgerProducts:
    """Results in spool and ledger.

    Parameters
    ----------
    noting:
        Names of the destinations that want a rejection note for what a revision replaces there.
    """

    def __init__(self, database: Database, spool: Spool, *, noting: frozenset[str] = frozenset()) -> None:
        self._database = database
        self._spool = spool
        self._noting = noting

    def keep(self, objects: Sequence[EncodedObject]) -> tuple[ResultObject, ...]:
        """Make the objects durable in the spool. Nothing refers to them until ``produce`` is committed."""
        kept = []
        for one in objects:
            digest, path = self._spool.keep_result(one.content)
            kept.append(
                ResultObject(
                    kind=one.kind,
                    sop_class_uid=one.sop_class_uid,
                    sop_instance_uid=one.sop_instance_uid,
                    series_instance_uid=one.series_instance_uid,
                    path=path,
                    sha256=digest,
                    size_bytes=len(one.content),
                    destinations=one.destinations,
                )
            )
            reach("produce.kept-one")
        return tuple(kept)

    def produce(
        self,
        claim: Claim,
        made: Sequence[ResultObject],
        report: GateReport,
        summary: str,
        *,
        withdrawals: Sequence[Withdrawal] = (),
        reason: str = "",
    ) -> None:
        """In one transaction, for the attempt that holds the lease: results, report, outbox rows, PRODUCED.

        Each destination gets its results and, last, the one rejection note that names what stands there; ``made``
        has the notes in the order of ``withdrawals``. When nobody gets anything there is nobody to wait for: the job
        goes on to COMMITTED.

        Raises
        ------
        LeaseLostError
            Another attempt holds the job.
        TransientError
            ``predecessor-moved``: since the notes were made, a destination got more, or less, of what they name.
        """
        with self._database.write() as connection:
            row = held(connection, claim)
            now = self._database.now(connection)
            ids = [_insert_result(connection, row, n, one, now) for n, one in enumerate(made)]
            connection.execute(
                insert(products).values(
                    job_id=row.job_id,
                    gate_report=[asdict(check) for check in report.checks],
                    summary=summary,
                    attempt=claim.attempt,
                    produced_at=now,
                )
            )
            past = Past(connection, claim.job)
            receivers = 0
            for destination in row.destinations:
                note = _note_number(past, destination, withdrawals) if destination in self._noting else None
                if theirs := _items(made, ids, destination, note):
                    _insert_delivery(connection, row, destination, theirs, now)
                    receivers += 1
            if not move(connection, row, JobState.PRODUCED, reason=reason or f"{len(made)} result object(s)", now=now):
                raise lease_lost()
            if not receivers:
                steps = [(JobState.DELIVERED, "no destination"), (JobState.COMMITTED, "no destination")]
                follow_up(connection, row.job_id, steps, now=now)
            replace_with_results(connection, row, now=now)
            reach("produce.before-commit")
        reach("produce.after-commit")

    def context(self, job: Job) -> ResultContext:
        """What the result says of its own making. The same for every attempt at the job that finds the same past."""
        with self._database.read() as connection:
            return context_of(connection, job, self._noting)


def _note_number(past: Past, destination: str, withdrawals: Sequence[Withdrawal]) -> int | None:
    try:
        return note_for(past, destination, withdrawals)
    except LookupError as error:
        raise TransientError(
            f"What destination {destination!r} has of the replaced results changed while this one was made.",
            next_step="Nothing to do: it is made again.",
            code="predecessor-moved",
        ) from error


def _items(made: Sequence[ResultObject], ids: Sequence[int], destination: str, note: int | None) -> list[int]:
    """What one destination gets: the results that are for it, and of the rejection notes only its own, at the end."""
    rows = list(zip(made, ids, strict=True))
    notes = [id_ for one, id_ in rows if one.kind is ResultKind.KOS]
    theirs = [
        id_
        for one, id_ in rows
        if one.kind is not ResultKind.KOS and (one.destinations is None or destination in one.destinations)
    ]
    return theirs + ([] if note is None else [notes[note]])


def _insert_result(connection: Connection, row: Row[Any], position: int, one: ResultObject, now: datetime) -> int:
    inserted = connection.execute(
        insert(results).values(
            job_id=row.job_id,
            position=position,
            kind=one.kind,
            sop_class_uid=one.sop_class_uid,
            sop_instance_uid=one.sop_instance_uid,
            series_instance_uid=one.series_instance_uid,
            sha256=one.sha256,
            size_bytes=one.size_bytes,
            kept=Kept.PRESENT,
            created_at=now,
        )
    )
    key = inserted.inserted_primary_key
    if key is None:
        raise AssertionError("the database told no key of a row that it inserted")
    return int(key[0])


def _insert_delivery(connection: Connection, row: Row[Any], destination: str, ids: list[int], now: datetime) -> None:
    delivery_id = str(uuid.uuid4())
    connection.execute(
        insert(deliveries).values(
            delivery_id=delivery_id,
            job_id=row.job_id,
            destination=destination,
            study_instance_uid=row.study_instance_uid,
            revision=row.revision,
            state=DeliveryState.PENDING,
            attempt=0,
            failures=0,
            died=0,
            priority=row.priority,
            reason="",
            created_at=now,
            updated_at=now,
            not_before=now,
            scheduled_at=now,
            heartbeat=0,
        )
    )
    if ids:
        connection.execute(
            insert(delivery_items),
            [
                {
                    "delivery_id": delivery_id,
                    "position": n,
                    "result_id": result_id,
                    "stored": False,
                    "committed": False,
                    "detail": "",
                }
                for n, result_id in enumerate(ids)
            ],
        )
