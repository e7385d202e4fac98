"""Which listener is alive, and which of its associations brought instances and are still open."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update

from worker.domain.study import OfferedInstance
from worker.store.database.tables import associations, listener_sessions

STALE_AFTER = timedelta(seconds=60)
"""A listener that was silent for this long is taken for dead, and its associations for closed."""


class ListenerSession:
    """One run of one listener. Used by one thread; what it writes counts once ``committed`` is called.

    Parameters
    ----------
    listener_id:
        Stable name of the listener: a new session ends those of earlier runs.
    """

    def __init__(self, session_id: str, listener_id: str, *, heartbeat_s: float) -> None:
        self.session_id = session_id
        self._listener_id = listener_id
        self._heartbeat_s = heartbeat_s
        self._registered = False
        self._beat_at = 0.0
        self._open: set[str] = set()
        self._late: set[str] = set()
        self._brought: set[str] = set()
        self._gone: set[str] = set()

    @property
    def is_due(self) -> bool:
        """True when there is something to write even if nothing came."""
        return self._beat_is_due or bool(self._late)

    def write(
        self, connection: Connection, stored: Iterable[OfferedInstance], released: set[str], now: datetime
    ) -> None:
        """Write the heartbeat, the associations that brought ``stored``, and those that ended."""
        if not self._registered:
            self._register(connection, now)
        elif self._beat_is_due:
            mine = listener_sessions.c.session_id == self.session_id
            connection.execute(update(listener_sessions).where(mine).values(heartbeat_at=now))
        brought = {one.association_id: one for one in stored if one.association_id not in self._open}
        for one in brought.values():
            self._bring(connection, one, now)
        self._brought = set(brought)
        self._gone = released | self._late
        ended = self._gone & (self._open | self._brought)
        if ended:
            connection.execute(
                update(associations)
                .where(self._mine(associations.c.association_id.in_(sorted(ended))))
                .values(released_at=now)
            )

    def committed(self) -> None:
        """The transaction of the last ``write`` is on stable storage."""
        if self._beat_is_due:
            self._beat_at = time.monotonic()
        self._registered = True
        self._open = (self._open | self._brought) - self._gone
        self._late.clear()

    def released_later(self, association_id: str) -> None:
        """The end of an association could not be written: it is written with the next thing that can."""
        self._late.add(association_id)

    def end(self, connection: Connection, now: datetime) -> None:
        """Close the session of a listener that stops, and of all of its associations."""
        mine = listener_sessions.c.session_id == self.session_id
        connection.execute(update(listener_sessions).where(mine).values(ended_at=now))

    @property
    def _beat_is_due(self) -> bool:
        return not self._registered or time.monotonic() - self._beat_at >= self._heartbeat_s

    def _mine(self, condition: ColumnElement[bool]) -> ColumnElement[bool]:
        return and_(associations.c.session_id == self.session_id, condition)

    def _register(self, connection: Connection, now: datetime) -> None:
        connection.execute(
            update(listener_sessions)
            .where(listener_sessions.c.listener_id == self._listener_id, listener_sessions.c.ended_at.is_(None))
            .values(ended_at=now)
        )
        connection.execute(
            insert(listener_sessions).values(
                session_id=self.session_id, listener_id=self._listener_id, started_at=now, heartbeat_at=now
            )
        )

    def _bring(self, connection: Connection, one: OfferedInstance, now: datetime) -> None:
        again = connection.execute(
            update(associations)
            .where(self._mine(associations.c.association_id == one.association_id))
            .values(released_at=None)
        )
        if again.rowcount == 0:
            connection.execute(
                insert(associations).values(
                    session_id=self.session_id,
                    association_id=one.association_id,
                    calling_ae_title=one.calling_ae_title,
                    opened_at=now,
                )
            )


def open_associations(connection: Connection, pairs: Iterable[tuple[str, str]], *, now: datetime) -> int:
    """Count those (session, association) pairs that are open at a listener that is alive."""
    wanted = set(pairs)
    if not wanted:
        return 0
    rows: Iterable[Any] = connection.execute(
        select(associations.c.session_id, associations.c.association_id, listener_sessions.c.heartbeat_at)
        .join(listener_sessions, listener_sessions.c.session_id == associations.c.session_id)
        .where(
            associations.c.session_id.in_(sorted({session for session, _ in wanted})),
            associations.c.released_at.is_(None),
            listener_sessions.c.ended_at.is_(None),
        )
    )
    # The distance in both directions: a clock that was set back must not make a dead listener young for a day.
    return sum(
        1
        for row in rows
        if (row.session_id, row.association_id) in wanted and abs(now - row.heartbeat_at) < STALE_AFTER
    )
