"""Storage commitment (PS3.4 Annex J): which deliveries wait for a promise of safe-keeping, and what was promised.

A C-STORE success is no promise. A request gets a Transaction UID and a time by which the answer is expected; a refusal
or silence makes the delivery pending again, and the next request has a new Transaction UID. A read-back by C-FIND is
written down in the same way, as a request that was answered at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, insert, or_, select, update

from worker.domain.commitment import UnconfirmedDelivery
from worker.domain.job import JobState
from worker.domain.result import DeliveryId, DeliveryState
from worker.domain.study import SOPInstanceUID
from worker.store.database.database import Database
from worker.store.database.tables import commitments, deliveries, delivery_items, jobs, results
from worker.store.database.transitions import find, move
from worker.store.spool.spool import Spool
from worker.store.work.jobs import due_in
from worker.store.work.outbox import LOOKED, find_delivery, follow, items_of, step

_FAILED = "commitment-failed"
_NOT_ASKED = "commitment-not-asked"
_AWAITING = (JobState.DELIVERED, JobState.DELIVERING)
"""Jobs whose deliveries still matter: a replaced or stopped job needs no promise, a finished one is never asked again
(a site that switches storage commitment on does not want it for years of history)."""


class LedgerCommitments:
    """Commitment requests and their answers.

    Parameters
    ----------
    committing:
        Names of the destinations that offer storage commitment (or are read back).
    first_pause_s, longest_pause_s:
        Objects of a failed request are sent again at once, after the second failure in ``first_pause_s``; from then
        on the pause doubles, so that a destination that never confirms does not get the same objects for ever.
    """

    def __init__(
        self,
        database: Database,
        spool: Spool,
        *,
        committing: frozenset[str],
        first_pause_s: float = 30.0,
        longest_pause_s: float = 86400.0,
    ) -> None:
        self._database = database
        self._spool = spool
        self._committing = committing
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s

    def wanted(
        self, *, limit: int, destination: str | None = None, min_age_s: float = 0.0
    ) -> tuple[UnconfirmedDelivery, ...]:
        """Stored deliveries that are due to be asked about, without a request under way, the oldest first.

        Only those sent ``min_age_s`` ago; only those to ``destination`` when one is named.
        """
        names = self._committing if destination is None else self._committing & {destination}
        with self._database.read() as connection:
            now = self._database.now(connection)
            under_way = select(commitments.c.delivery_id).where(commitments.c.answered_at.is_(None))
            sent_at = deliveries.c.updated_at
            rows = connection.execute(
                select(deliveries)
                .where(
                    _waits(names),
                    _is_due(now),
                    # Sent in the future: the clock was set back since, and nobody knows how long ago.
                    or_(sent_at <= now - timedelta(seconds=min_age_s), sent_at > now),
                    deliveries.c.delivery_id.not_in(under_way),
                )
                .order_by(deliveries.c.updated_at, deliveries.c.delivery_id)
                .limit(limit)
            ).all()
            return tuple(
                UnconfirmedDelivery(
                    delivery_id=DeliveryId(row.delivery_id),
                    destination=row.destination,
                    attempt=row.attempt,
                    objects=tuple(item.result for item in items_of(connection, row.delivery_id, self._spool)),
                    fruitless=_fruitless(connection, row.delivery_id),
                )
                for row in rows
            )

    def request(self, delivery_id: DeliveryId, *, transaction_uid: str, answer_within_s: float) -> bool:
        """Write down a request before it is sent; False when another process has one under way for this delivery."""
        with self._database.write() as connection:
            row = find_delivery(connection, delivery_id)
            now = self._database.now(connection)
            if row is None or row.state is not DeliveryState.SENT or _under_way(connection, delivery_id):
                return False
            _write_down(connection, delivery_id, transaction_uid, now=now, answer_within_s=answer_within_s)
        return True

    def give_up(self, transaction_uid: str, *, reason: str, again_in_s: float) -> None:
        """The request never got through. Nothing is sent again; the delivery says why, and is asked about later."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            request = _open_request(connection, transaction_uid)
            if request is None:
                return  # the report came after all, or it has expired
            _close(connection, transaction_uid, f"{_NOT_ASKED}: {reason}", now=now)
            mine = and_(deliveries.c.delivery_id == request.delivery_id, deliveries.c.state == DeliveryState.SENT)
            _put_off(connection, mine, reason, again_in_s=again_in_s, now=now)

    def postpone(self, destination: str, *, reason: str, again_in_s: float) -> None:
        """Nobody at this destination can be asked now: all that is due waits at least so long, and says why."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            under_way = select(commitments.c.delivery_id).where(commitments.c.answered_at.is_(None))
            mine = and_(
                _waits(self._committing & {destination}), _is_due(now), deliveries.c.delivery_id.not_in(under_way)
            )
            _put_off(connection, mine, reason, again_in_s=again_in_s, now=now)

    def answered(
        self,
        transaction_uid: str,
        *,
        committed: Collection[SOPInstanceUID],
        failed: Collection[SOPInstanceUID] | Mapping[SOPInstanceUID, int],
    ) -> bool:
        """Take in an N-EVENT-REPORT; False for a transaction that is unknown or already answered (it is dead then).

        Every object must be in ``committed`` for the delivery to be COMMITTED; what is in neither list counts as
        failed (PS3.4 J.3.3), and is sent again. A mapping tells the Failure Reasons (0008,1197) as well.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            request = _open_request(connection, transaction_uid)
            if request is None:
                return False
            reasons = failed if isinstance(failed, Mapping) else {}
            kept = set(committed) - set(failed)
            self._answer(connection, request.delivery_id, transaction_uid, kept, _reported(reasons), now=now)
        return True

    def looked(
        self, delivery_id: DeliveryId, *, attempt: int, transaction_uid: str, found: Collection[SOPInstanceUID]
    ) -> bool:
        """Take in what a query found: what was found counts as promised, what was not is sent again.

        False when that attempt's objects are not waiting any more: another process looked, or they were sent again.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            row = find_delivery(connection, delivery_id)
            if (
                row is None
                or row.state is not DeliveryState.SENT
                or row.attempt != attempt
                or _under_way(connection, delivery_id)
            ):
                return False
            _write_down(connection, delivery_id, transaction_uid, now=now, answer_within_s=0.0)
            self._answer(connection, delivery_id, transaction_uid, set(found), LOOKED, now=now)
        return True

    def expire_unanswered(self) -> int:
        """Requests that nobody answered in time: their objects are sent again. Returns how many."""
        with self._database.read() as connection:
            if not _overdue(connection, self._database.now(connection)):
                return 0
        with self._database.write() as connection:
            now = self._database.now(connection)
            rows = _overdue(connection, now)
            for row in rows:
                self._answer(connection, row.delivery_id, row.transaction_uid, set(), "no answer in time", now=now)
            return len(rows)

    def let_go(self) -> int:
        """Let jobs go on whose destinations are asked for nothing (any more): the site may have changed its mind.

        Returns how many DELIVERED jobs ended.
        """
        still_waits = select(deliveries.c.job_id).where(
            deliveries.c.state == DeliveryState.SENT, deliveries.c.destination.in_(sorted(self._committing))
        )
        waiting = select(jobs.c.job_id).where(jobs.c.state == JobState.DELIVERED, jobs.c.job_id.not_in(still_waits))
        with self._database.read() as connection:
            if connection.execute(waiting.limit(1)).first() is None:
                return 0
        with self._database.write() as connection:
            now = self._database.now(connection)
            rows = connection.execute(waiting).all()
            for row in rows:
                follow(connection, row.job_id, self._committing, now=now)
            return len(rows)

    def _answer(
        self,
        connection: Connection,
        delivery_id: str,
        transaction_uid: str,
        promised: set[SOPInstanceUID],
        words: str,
        *,
        now: datetime,
    ) -> None:
        delivery = find_delivery(connection, delivery_id)
        wanted = _uids(connection, delivery_id)
        broken = sorted(wanted - promised)
        said = f"{words}: {len(wanted) - len(broken)} of {len(wanted)} object(s) confirmed"
        failures = _failures(connection, delivery_id)
        _close(connection, transaction_uid, f"{_FAILED}: {said}" if broken else said, now=now)
        if delivery is None or delivery.state is not DeliveryState.SENT:
            return
        _mark(connection, delivery.delivery_id, wanted & promised, broken)
        if not broken:
            step(connection, delivery, DeliveryState.COMMITTED, reason=said, now=now)
            follow(connection, delivery.job_id, self._committing, now=now)
            return
        job = find(connection, delivery.job_id)
        if job is None or job.state not in _AWAITING:
            return  # replaced or stopped in the meantime: nobody needs that promise any more
        reason = f"{_FAILED}: {said}; sent again"
        pause = due_in(self._pause_s(failures), now)
        step(connection, delivery, DeliveryState.PENDING, reason=reason, now=now, changes=pause)
        if job.state is JobState.DELIVERED:
            move(connection, job, JobState.DELIVERING, reason=f"{delivery.destination}: {reason}", now=now)

    def _pause_s(self, failures: int) -> float:
        """How long to wait before objects are sent again, after so many earlier failures of the same delivery."""
        if failures == 0:
            return 0.0
        return min(self._longest_pause_s, self._first_pause_s * 2.0 ** min(failures - 1, 60))


def _waits(names: Collection[str]) -> ColumnElement[bool]:
    """Condition on ``deliveries``: sent to one of these, and the job still wants to know."""
    wanting = select(jobs.c.job_id).where(jobs.c.state.in_(_AWAITING))
    return and_(
        deliveries.c.state == DeliveryState.SENT,
        deliveries.c.destination.in_(sorted(names)),
        deliveries.c.job_id.in_(wanting),
    )


def _is_due(now: datetime) -> ColumnElement[bool]:
    """As ``leases.is_due``: of a SENT delivery, ``not_before`` says when to ask (again)."""
    return or_(deliveries.c.not_before <= now, deliveries.c.scheduled_at > now)


def _put_off(
    connection: Connection, which: ColumnElement[bool], reason: str, *, again_in_s: float, now: datetime
) -> None:
    """Schedule the next question, and say in delivery and job why; the time of the sending stays what it is."""
    found = select(deliveries.c.job_id, deliveries.c.destination).where(which)
    for row in connection.execute(found.distinct()).all():
        connection.execute(
            update(jobs)
            .where(jobs.c.job_id == row.job_id, jobs.c.state == JobState.DELIVERED)
            .values(reason=f"not confirmed by {row.destination}: {reason}")
        )
    connection.execute(update(deliveries).where(which).values(reason=reason, **due_in(again_in_s, now)))


def _open_request(connection: Connection, transaction_uid: str) -> Row[Any] | None:
    return connection.execute(
        select(commitments).where(commitments.c.transaction_uid == transaction_uid, commitments.c.answered_at.is_(None))
    ).one_or_none()


def _under_way(connection: Connection, delivery_id: str) -> bool:
    query = select(commitments.c.transaction_uid).where(
        commitments.c.delivery_id == delivery_id, commitments.c.answered_at.is_(None)
    )
    return connection.execute(query.limit(1)).first() is not None


def _overdue(connection: Connection, now: datetime) -> Sequence[Row[Any]]:
    return connection.execute(
        select(commitments).where(
            commitments.c.answered_at.is_(None),
            (commitments.c.answer_by <= now) | (commitments.c.requested_at > now),
        )
    ).all()


def _write_down(
    connection: Connection, delivery_id: str, transaction_uid: str, *, now: datetime, answer_within_s: float
) -> None:
    connection.execute(
        insert(commitments).values(
            transaction_uid=transaction_uid,
            delivery_id=delivery_id,
            requested_at=now,
            answer_by=now + timedelta(seconds=answer_within_s),
            outcome="",
        )
    )


def _close(connection: Connection, transaction_uid: str, outcome: str, *, now: datetime) -> None:
    connection.execute(
        update(commitments)
        .where(commitments.c.transaction_uid == transaction_uid)
        .values(answered_at=now, outcome=outcome)
    )


def _failures(connection: Connection, delivery_id: str) -> int:
    """Requests of this delivery that were refused or never answered."""
    query = select(func.count()).where(
        commitments.c.delivery_id == delivery_id, commitments.c.outcome.startswith(_FAILED)
    )
    return int(connection.execute(query).scalar_one())


def _fruitless(connection: Connection, delivery_id: str) -> int:
    """The latest requests in a row that did not get through."""
    rows = connection.execute(
        select(commitments.c.outcome)
        .where(commitments.c.delivery_id == delivery_id)
        .order_by(commitments.c.requested_at.desc())
        .limit(64)
    )
    count = 0
    for row in rows:
        if not row.outcome.startswith(_NOT_ASKED):
            break
        count += 1
    return count


def _reported(reasons: Mapping[SOPInstanceUID, int]) -> str:
    said = sorted({f"0x{reason:04X}" for reason in reasons.values()})
    return f"reported (failure reason {', '.join(said)})" if said else "reported"


def _uids(connection: Connection, delivery_id: str) -> set[SOPInstanceUID]:
    rows = connection.execute(
        select(results.c.sop_instance_uid)
        .join(delivery_items, delivery_items.c.result_id == results.c.id)
        .where(delivery_items.c.delivery_id == delivery_id)
    )
    return {SOPInstanceUID(row.sop_instance_uid) for row in rows}


def _mark(connection: Connection, delivery_id: str, promised: set[SOPInstanceUID], broken: Sequence[str]) -> None:
    items, mine = delivery_items, delivery_items.c.delivery_id == delivery_id
    for uids, values in (
        (sorted(promised), {"committed": True}),
        # Status None: to be sent again.
        (broken, {"committed": False, "stored": False, "status": None, "detail": "no promise of safe-keeping"}),
    ):
        of_these = select(results.c.id).where(results.c.sop_instance_uid.in_(uids))
        connection.execute(update(items).where(mine, items.c.result_id.in_(of_these)).values(**values))
