"""SQLite databases with our tables: copies of one that was migrated once, as those of PostgreSQL are."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from worker.store.database.database import Database, sqlite_url
from worker.store.database.schema import migrate


def new_sqlite(path: Path) -> str:
    """The URL of a new database there."""
    shutil.copyfile(_migrated(), path)
    path.chmod(0o600)
    return sqlite_url(path)


@functools.cache
def _migrated() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="overread-template"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    database = Database(sqlite_url(folder / "overread.db"))
    migrate(database)
    database.close()
    return folder / "overread.db"
