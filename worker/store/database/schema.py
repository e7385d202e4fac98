"""Tables come into being and grow (Alembic), and each database gets a name of its own."""

from __future__ import annotations

import logging
import os
import uuid
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, insert, select, text

from worker.domain.errors import ConfigurationError
from worker.store.database.database import Database
from worker.store.database.tables import installation
from worker.store.spool.durable import sync_folder

log = logging.getLogger(__name__)

_SCRIPTS = Path(__file__).parent.parent / "migrations"


def migrate(database: Database) -> None:
    """Bring the tables to this version, in one transaction; processes that start together wait for the first.

    A database that is of this version is only looked at: a listener that starts again must not wait for a writer.

    Raises
    ------
    ConfigurationError
        ``database-newer``: the tables were made by a later version, which this one could only damage.
    """
    if database.path is not None:
        database.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make_private(database.path)
    if not _is_current(database):
        from worker.store.database.upgrade import (
            upgrade,  # Alembic: a tenth of a second that most starts can do without
        )

        with database.write() as connection:
            before, after = upgrade(connection, _SCRIPTS)
            _name_installation(database, connection)
        if before != after:
            log.info("database-migrated", extra={"before": before or "", "after": after or ""})
    if database.path is not None:
        sync_folder(database.path.parent)


def installation_id(database: Database) -> str:
    """The name (a UUID) that this database was given when it was made, and keeps."""
    with database.read() as connection:
        return str(connection.execute(select(installation.c.installation_id)).scalar_one())


def latest_version() -> str:
    """The version that this Overread brings: the last of its migration scripts, which are numbered."""
    return max(path.name.partition("_")[0] for path in (_SCRIPTS / "versions").glob("[0-9]*.py"))


def _is_current(database: Database) -> bool:
    try:
        with database.read() as connection:
            versions = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
            named = connection.execute(select(installation.c.only)).first() is not None
    except ConfigurationError as error:
        if error.code != "database-not-migrated":
            raise
        return False
    return named and list(versions) == [latest_version()]


def _make_private(path: Path) -> None:
    # The index holds names of patients: a new file is readable by its owner only (-wal and -shm get the same mode).
    # One that is there must not be opened: to close it would drop the locks of every SQLite connection that this
    # process has to it (fcntl, F_SETLK), and another process would delete the write-ahead log under them.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _name_installation(database: Database, connection: Connection) -> None:
    if connection.execute(select(installation.c.only)).first() is None:
        connection.execute(
            insert(installation).values(only=1, installation_id=str(uuid.uuid4()), created_at=database.now(connection))
        )
