"""Tables come into being and grow (Alembic), and each database gets a name of its own."""

from __future__ import annotations

import logging
import os
import uuid
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select

from worker.domain.errors import ConfigurationError
from worker.store.database import Database
from worker.store.durable import sync_folder
from worker.store.tables import installation

log = logging.getLogger(__name__)

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> None:
    """Bring the tables to this version, in one transaction; processes that start together wait for the first.

    Raises
    ------
    ConfigurationError
        ``database-newer``: the tables were made by a later version, which this one could only damage.
    """
    if database.path is not None:
        database.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make_private(database.path)
    with database.write() as connection:
        before = _version(connection)
        config = _config()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if before is not None and before not in known:
            raise ConfigurationError(
                f"The database is of version {before}, which is newer than this Overread.",
                next_step="Install the newer Overread again, or restore the backup that was made before the upgrade.",
                code="database-newer",
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        after = _version(connection)
        _name_installation(database, connection)
    if database.path is not None:
        sync_folder(database.path.parent)
    if before != after:
        log.info("database-migrated", extra={"before": before or "", "after": after or ""})


def installation_id(database: Database) -> str:
    """The name (a UUID) that this database was given when it was made, and keeps."""
    with database.read() as connection:
        return str(connection.execute(select(installation.c.installation_id)).scalar_one())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _make_private(path: Path) -> None:
    # The index holds names of patients: a new file is readable by its owner only (-wal and -shm get the same mode).
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _name_installation(database: Database, connection: Connection) -> None:
    if connection.execute(select(installation.c.only)).first() is None:
        connection.execute(
            insert(installation).values(only=1, installation_id=str(uuid.uuid4()), created_at=database.now(connection))
        )
