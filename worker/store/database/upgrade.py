"""Alembic, for a database that is new or of an earlier version. Imported only then: most starts need none of it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from worker.domain.errors import ConfigurationError


def upgrade(connection: Connection, scripts: Path) -> tuple[str | None, str | None]:
    """Bring the tables to the latest version of ``scripts``, inside ``connection``'s transaction.

    Returns
    -------
        The version before and after; None for no version at all.

    Raises
    ------
    ConfigurationError
        ``database-newer``.
    """
    before = _version(connection)
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if before is not None and before not in known:
        raise ConfigurationError(
            f"The database is of version {before}, which is newer than this Overread.",
            next_step="Install the newer Overread again, or restore the backup that was made before the upgrade.",
            code="database-newer",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return before, _version(connection)


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
