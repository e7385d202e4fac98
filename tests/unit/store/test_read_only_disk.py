"""A disk that turned read-only is named, and waited for."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from worker.domain.errors import TransientError
from worker.store.database.database import Database, sqlite_url
from worker.store.database.schema import migrate


def write_on_a_read_only_disk(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("PRAGMA query_only=ON"))  # SQLite's own refusal, in the words of a read-only disk
        connection.execute(text("DELETE FROM jobs"))


def test_a_database_that_cannot_be_written_says_so_and_is_tried_again(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "overread.sqlite"))
    migrate(database)
    with pytest.raises(TransientError, match="read-only") as refused:
        write_on_a_read_only_disk(database)
    assert refused.value.code == "database-unavailable"
