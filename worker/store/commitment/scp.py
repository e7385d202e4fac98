"""Storage commitment as SCP (PS3.4 Annex J): what others asked us to promise, and what we did promise.

A request is durable before it is answered. It is judged when its report is about to leave, and the promises in that
report are durable, and bind retention, before the requester hears of them: for ``retention_s`` from then on. A report
that was surely not heard binds nobody, so the next one is judged afresh; one that may have been heard binds.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, insert, or_, select, update

from worker.domain.commitment import CommitmentReport, ReportedInstance
from worker.domain.study import SOPClassUID, SOPInstanceUID
from worker.store.database.database import Database
from worker.store.database.tables import Kept, conflicts, instances, promised_instances, promises
from worker.store.faults import reach
from worker.store.spool.spool import Spool

PROCESSING_FAILURE = 0x0110
NO_SUCH_OBJECT_INSTANCE = 0x0112
CLASS_INSTANCE_CONFLICT = 0x0119
"""Failure Reason (0008,1197), PS3.3 C.14.1.1."""


class LedgerCommitmentRequests:
    """Requests for storage commitment in the ledger.

    Parameters
    ----------
    retention_s:
        For how long a promise holds after its report.
    report_lease_s:
        How long one report may take; then another process may take it over.
    """

    def __init__(self, database: Database, spool: Spool, *, retention_s: float, report_lease_s: float = 300.0) -> None:
        self._database = database
        self._spool = spool
        self._retention = timedelta(seconds=retention_s)
        self._report_lease = timedelta(seconds=report_lease_s)

    def accept(self, ae_title: str, transaction_uid: str, wanted: Sequence[tuple[SOPClassUID, SOPInstanceUID]]) -> bool:
        """Make a request durable. The same one again (its answer got lost) changes nothing.

        False when the Transaction UID is known with other instances, or was reported on already: it is used up.
        """
        asked = list(dict.fromkeys(wanted))
        with self._database.write() as connection:
            now = self._database.now(connection)
            known = connection.execute(
                select(promises).where(promises.c.ae_title == ae_title, promises.c.transaction_uid == transaction_uid)
            ).one_or_none()
            if known is not None:
                same = [(row.sop_class_uid, row.sop_instance_uid) for row in _items(connection, known.promise_id)]
                return known.told_at is None and same == asked
            request_id = str(uuid.uuid4())
            connection.execute(
                insert(promises).values(
                    promise_id=request_id,
                    ae_title=ae_title,
                    transaction_uid=transaction_uid,
                    requested_at=now,
                    attempt=0,
                    not_before=now,
                    scheduled_at=now,
                    outcome="",
                )
            )
            connection.execute(
                insert(promised_instances),
                [
                    {"promise_id": request_id, "position": n, "sop_class_uid": one[0], "sop_instance_uid": one[1]}
                    for n, one in enumerate(asked)
                ],
            )
            reach("promise.before-commit")
        return True

    def take(self, ae_title: str) -> CommitmentReport | None:
        """Judge the oldest request of ``ae_title`` whose report is due, and hold it while the report is sent.

        When this returns, what it commits is durable.
        """
        with self._database.read() as connection:
            if connection.execute(_due(ae_title, self._database.now(connection))).first() is None:
                return None
        with self._database.write() as connection:
            now = self._database.now(connection)
            row = connection.execute(_due(ae_title, now)).first()
            if row is None:
                return None
            judged = tuple(self._judge(connection, row.promise_id))
            for position, one in enumerate(judged):
                promised = None if one.failure_reason is not None else now + self._retention
                connection.execute(
                    update(promised_instances)
                    .where(promised_instances.c.promise_id == row.promise_id, promised_instances.c.position == position)
                    .values(failure_reason=one.failure_reason, promised_until=promised)
                )
            connection.execute(
                update(promises)
                .where(promises.c.promise_id == row.promise_id)
                .values(attempt=row.attempt + 1, not_before=now + self._report_lease, scheduled_at=now)
            )
            reach("promise.judged")
        return CommitmentReport(row.promise_id, row.transaction_uid, row.attempt + 1, judged)

    def told(self, request_id: str, *, attempt: int) -> None:
        """The requester has taken the report of this attempt: the transaction is over, what it commits holds."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            connection.execute(update(promises).where(_held(request_id, attempt)).values(told_at=now, outcome="told"))

    def not_told(self, request_id: str, *, attempt: int, reason: str, again_in_s: float, in_doubt: bool) -> None:
        """Report again later. Commitments that nobody heard end here, unless that is ``in_doubt``."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            changed = connection.execute(
                update(promises)
                .where(_held(request_id, attempt))
                .values(not_before=now + timedelta(seconds=again_in_s), scheduled_at=now, outcome=reason)
            )
            if changed.rowcount == 1 and not in_doubt:
                connection.execute(
                    update(promised_instances)
                    .where(promised_instances.c.promise_id == request_id)
                    .values(promised_until=None)
                )

    def _judge(self, connection: Connection, request_id: str) -> list[ReportedInstance]:
        """Committed is only what is there now: index row, same SOP class, and the file with all of its bytes.

        An instance that also came with another content fails: nobody can tell which of the two is meant.
        """
        doubtful = {
            row.sop_instance_uid
            for row in connection.execute(
                select(conflicts.c.sop_instance_uid)
                .join(promised_instances, promised_instances.c.sop_instance_uid == conflicts.c.sop_instance_uid)
                .where(promised_instances.c.promise_id == request_id)
            )
        }
        judged = []
        for row in _items(connection, request_id):
            if not self._is_kept(row):
                reason: int | None = NO_SUCH_OBJECT_INSTANCE
            elif row.kept_class != row.sop_class_uid:
                reason = CLASS_INSTANCE_CONFLICT
            else:
                reason = PROCESSING_FAILURE if row.sop_instance_uid in doubtful else None
            judged.append(ReportedInstance(row.sop_class_uid, row.sop_instance_uid, reason))
        return judged

    def _is_kept(self, row: Row[Any]) -> bool:
        if row.kept is not Kept.PRESENT:
            return False
        try:
            # The Part 10 file has more than the data set: its meta information stands before.
            return bool(self._spool.object_path(row.object_key).stat().st_size > row.size_bytes)
        except OSError:
            return False


def promised_studies(now: datetime) -> Select[Any]:
    """Studies with an instance that we have promised to keep beyond ``now``."""
    return (
        select(instances.c.study_instance_uid)
        .join(promised_instances, promised_instances.c.sop_instance_uid == instances.c.sop_instance_uid)
        .where(promised_instances.c.promised_until > now)
    )


def drop_old_promises(connection: Connection, before: datetime) -> None:
    """Forget requests that were answered before, and whose promises have ended before."""
    still_bind = select(promised_instances.c.promise_id).where(promised_instances.c.promised_until >= before)
    connection.execute(delete(promises).where(promises.c.told_at < before, promises.c.promise_id.not_in(still_bind)))


def _due(ae_title: str, now: datetime) -> Select[Any]:
    return (
        select(promises)
        .where(
            promises.c.ae_title == ae_title,
            promises.c.told_at.is_(None),
            # As ``leases.is_due``: a clock that was set back delays nothing.
            or_(promises.c.not_before <= now, promises.c.scheduled_at > now),
        )
        .order_by(promises.c.requested_at, promises.c.promise_id)
        .limit(1)
    )


def _held(request_id: str, attempt: int) -> ColumnElement[bool]:
    return (promises.c.promise_id == request_id) & (promises.c.attempt == attempt) & promises.c.told_at.is_(None)


def _items(connection: Connection, request_id: str) -> Sequence[Row[Any]]:
    query: Select[Any] = (
        select(
            promised_instances.c.sop_class_uid,
            promised_instances.c.sop_instance_uid,
            instances.c.sop_class_uid.label("kept_class"),
            instances.c.object_key,
            instances.c.size_bytes,
            instances.c.kept,
        )
        .outerjoin(instances, instances.c.sop_instance_uid == promised_instances.c.sop_instance_uid)
        .where(promised_instances.c.promise_id == request_id)
        .order_by(promised_instances.c.position)
    )
    return connection.execute(query).all()
