"""The database: SQLite in WAL mode or PostgreSQL, one writer at a time on both, and errors in our own words.

Every change is one short transaction, and changes are taken one after the other: ``BEGIN IMMEDIATE`` on SQLite, a
transaction-scoped advisory lock on PostgreSQL. A hospital's worker makes tens of changes in a second, not thousands;
what is gained is that the same reasoning (and the same contract suite) holds for both databases, that no transaction
is lost to a deadlock, and that a decision made inside ``write`` is made on the latest state. States are changed by
compare-and-set all the same: what was read before the transaction began may be old.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool

from worker.domain.errors import ConfigurationError, OutOfSpaceError, TransientError

Clock = Callable[[Connection], datetime]
"""Tells the time of the database that a connection leads to, in UTC."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WRITE = "overread_write"
_POSTGRES_WRITER = 0x6F766572  # "over": the key of our advisory lock
_NEXT_STEP = "Check that the database is running and reachable (`overread doctor`); the work goes on by itself then."


class DatabaseDefectError(RuntimeError):
    """The database refused a statement of ours: a bug. Driver texts may quote rows, so none is repeated here."""


class Database:
    """A database by its URL.

    Connections are not kept (SQLite) or never carried over a fork (PostgreSQL): a forked child that only closed an
    inherited SQLite connection would already break the locks of its parent.

    Parameters
    ----------
    url:
        ``sqlite:////folder/file.db`` or ``postgresql+psycopg://user:password@host/name``.
    clock:
        The database's clock; tests pass their own.
    busy_timeout_s:
        How long to wait for another writer before ``TransientError``.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, busy_timeout_s: float = 30.0) -> None:
        self._url = _known_url(url)
        self._busy_timeout_s = busy_timeout_s
        self._clock = clock or (_sqlite_clock if self.is_sqlite else _postgres_clock)
        self._engine = self._new_engine()
        self._pid = os.getpid()

    @property
    def is_sqlite(self) -> bool:
        """True for SQLite, False for PostgreSQL."""
        return self._url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """The file of an SQLite database."""
        return Path(self._url.database) if self.is_sqlite and self._url.database else None

    @property
    def description(self) -> str:
        """The URL without its password, for people."""
        return self._url.render_as_string(hide_password=True)

    @property
    def engine(self) -> Engine:
        """The engine of this process (after a fork: the child's own)."""
        if self._pid != os.getpid():
            self._engine.dispose(close=False)
            self._pid = os.getpid()
        return self._engine

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may change things; committed at the end of the block, rolled back on an exception.

        Raises
        ------
        TransientError
            ``database-unavailable``: it cannot be reached, or another writer holds it for too long.
        OutOfSpaceError
            Its disk is full.
        ConfigurationError
            It has no (or not our) tables, or is damaged.
        """
        with translated(), self.engine.connect().execution_options(**{_WRITE: True}) as connection, connection.begin():
            self.lock_for_writing(connection)
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent look; raises as ``write`` does."""
        options: dict[str, Any] = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with translated(), self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    @contextmanager
    def held(self) -> Iterator[Connection]:
        """A connection to make several transactions on, by ``transaction``: for the one thread that writes much.

        While any connection stays open, SQLite also spares the checkpoint that closing the last one costs.
        """
        with translated(), self.engine.connect().execution_options(**{_WRITE: True}) as connection:
            yield connection

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        """One changing transaction on a connection from ``held``."""
        with translated(), connection.begin():
            self.lock_for_writing(connection)
            yield

    @contextmanager
    def look(self, connection: Connection) -> Iterator[None]:
        """One reading transaction on a connection from ``held``: it waits for no writer."""
        connection.execution_options(**{_WRITE: False})
        try:
            with translated(), connection.begin():
                yield
        finally:
            connection.execution_options(**{_WRITE: True})

    def lock_for_writing(self, connection: Connection) -> None:
        """Wait for the turn to write (SQLite did so in BEGIN IMMEDIATE)."""
        if not self.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_WRITER})

    def now(self, connection: Connection) -> datetime:
        """The database's own clock, UTC, in microseconds. Workers' clocks are never compared with each other."""
        return self._clock(connection)

    def close(self) -> None:
        """Close pooled connections; this process asks nothing any more."""
        self._engine.dispose(close=self._pid == os.getpid())

    def _new_engine(self) -> Engine:
        if self.is_sqlite:
            engine = create_engine(
                self._url,
                poolclass=NullPool,
                hide_parameters=True,
                connect_args={"timeout": self._busy_timeout_s},
            )
            event.listen(engine, "connect", self._prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        engine = create_engine(
            self._url,
            pool_size=4,
            max_overflow=16,
            pool_pre_ping=True,
            pool_timeout=self._busy_timeout_s,
            hide_parameters=True,
            connect_args={"connect_timeout": 10, "application_name": "overread"},
        )
        event.listen(engine, "connect", self._prepare_postgres)
        return engine

    def _prepare_sqlite(self, connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we send BEGIN ourselves: the driver would begin too late, and not for reads
        connection.execute(f"PRAGMA busy_timeout={int(self._busy_timeout_s * 1000)}")
        connection.execute("PRAGMA foreign_keys=ON")
        # FULL, not NORMAL: in WAL mode NORMAL may forget commits when power is lost, and a commit is a 0x0000.
        connection.execute("PRAGMA synchronous=FULL")
        ends = time.monotonic() + self._busy_timeout_s
        # Switching to WAL does not wait for others by itself (several processes may meet a new file at once).
        while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.02)

    def _prepare_postgres(self, connection: psycopg.Connection[Any], _record: object) -> None:
        timeout = int(self._busy_timeout_s * 1000)
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit = on")
            cursor.execute(f"SET lock_timeout = {timeout}")
            # A writer that is stopped in mid-transaction must not stop all the others.
            cursor.execute(f"SET idle_in_transaction_session_timeout = {2 * timeout}")
        connection.commit()


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return URL.create("sqlite", database=str(path.absolute())).render_as_string()


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970 (UTC), exactly."""
    return (moment - EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """The moment (aware, in UTC) that a column with microseconds since 1970 stands for."""
    return EPOCH + timedelta(microseconds=value)


@contextmanager
def translated() -> Iterator[None]:
    """Turn foreign errors into ours where they enter."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, psycopg.Error) as error:
        ours = _translate(error)
        if isinstance(ours, DatabaseDefectError):
            raise ours from None  # its cause may quote a patient's row
        raise ours from error


_KINDS = (
    ("lock", "is busy"),
    ("readonly", "cannot be written: its disk is read-only, or its file belongs to another user"),
    ("disk i/o", "cannot be read or written: its disk reports an error"),
)
"""Words of the drivers, and what they mean."""


def _translate(error: Exception) -> Exception:
    driver = error.orig if isinstance(error, DatabaseError | InterfaceError) and error.orig is not None else error
    words = str(driver).lower()
    if isinstance(driver, psycopg.errors.DiskFull) or "database or disk is full" in words:
        return OutOfSpaceError(
            "The disk of the database is full.",
            next_step="Free space there; nothing needs a restart.",
            code="out-of-space",
        )
    if isinstance(driver, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn) or (
        isinstance(driver, sqlite3.Error) and words.startswith(("no such table", "no such column"))
    ):
        return ConfigurationError(
            "The database does not have the tables of this version.",
            next_step="Start Overread normally (it migrates the database), or check the database URL.",
            code="database-not-migrated",
        )
    if "not a database" in words or "malformed" in words:
        return ConfigurationError(
            "The database file is damaged, or is not a database.",
            next_step="Stop Overread, keep the file, and restore the latest backup; the spool is re-indexed at start.",
            code="database-damaged",
        )
    if isinstance(driver, psycopg.OperationalError | psycopg.InterfaceError | sqlite3.OperationalError) or isinstance(
        error, OperationalError | InterfaceError | PoolTimeoutError
    ):
        what = next((said for word, said in _KINDS if word in words), "cannot be reached")
        return TransientError(f"The database {what}.", next_step=_NEXT_STEP, code="database-unavailable")
    return DatabaseDefectError(f"the database refused a statement: {type(driver).__name__}")


def _known_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is not None and parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed is None or parsed.drivername not in {"sqlite", "postgresql+psycopg"} or not parsed.database:
        raise ConfigurationError(
            "The database URL is not usable.",
            next_step="Write sqlite:////folder/file.db or postgresql+psycopg://user:password@host/name.",
            code="database-url",
        )
    return parsed


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _sqlite_clock(_connection: Connection) -> datetime:
    # SQLite runs inside of this process: its clock is this machine's, and its functions give milliseconds only.
    return from_microseconds(time.time_ns() // 1000)


def _postgres_clock(connection: Connection) -> datetime:
    value = connection.execute(text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")).scalar_one()
    return from_microseconds(int(value))
