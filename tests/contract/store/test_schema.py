"""The database itself: migrations, their races, versions, errors in our words."""

from __future__ import annotations

import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select

from tests.contract.store.kit import STUDY
from worker.domain.errors import ConfigurationError, TransientError
from worker.domain.job import JobKind, JobState
from worker.store.database.database import EPOCH, Database, DatabaseDefectError, sqlite_url
from worker.store.database.schema import installation_id, latest_version, migrate
from worker.store.database.tables import METADATA, Instant, WireText, Word, decisions, instances, studies
from worker.store.database.transitions import NewJob, create


def add_study(connection: Connection, uid: str, at: datetime) -> None:
    connection.execute(insert(studies).values(study_instance_uid=uid, created_at=at, last_received_at=at))


def test_migrations_make_exactly_the_tables(empty_url: str) -> None:
    database = Database(empty_url)
    migrate(database)

    def compare_type(*found: object) -> bool | None:
        return False if isinstance(found[-1], Instant | WireText | Word) else None

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": compare_type})
        differences = compare_metadata(context, METADATA)
    assert differences == []
    database.close()


def test_migrating_again_changes_nothing_and_keeps_the_name(empty_url: str) -> None:
    database = Database(empty_url)
    migrate(database)
    name = installation_id(database)
    assert str(uuid.UUID(name)) == name
    migrate(database)
    assert installation_id(database) == name
    database.close()


def test_migrating_leaves_the_locks_of_other_connections_alone(tmp_path: Path) -> None:
    """POSIX locks belong to the process: closing any descriptor of the file would drop those of SQLite (F_SETLK).

    Another process that closes its connection then takes itself for the last one, and deletes the write-ahead log
    under us: commits are lost, and the file is damaged.
    """
    path = tmp_path / "overread.db"
    database = Database(sqlite_url(path))
    migrate(database)
    with database.held() as connection:
        with database.transaction(connection):
            add_study(connection, STUDY, EPOCH)
        migrate(Database(sqlite_url(path)))
        looks = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM studies'); c.close()"
        subprocess.run([sys.executable, "-c", looks, str(path)], check=True)
        assert Path(f"{path}-wal").exists()


def test_a_start_does_not_wait_for_a_writer(database_url: str) -> None:
    database, writer = Database(database_url, busy_timeout_s=0.1), Database(database_url)
    with writer.write():
        migrate(database)
    database.close()
    writer.close()


def test_the_version_is_the_last_of_the_scripts(empty_url: str) -> None:
    database = Database(empty_url)
    migrate(database)
    with database.read() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == latest_version()
    scripts = ScriptDirectory(str(files("worker.store") / "migrations"))
    assert scripts.get_current_head() == latest_version()
    database.close()


def test_decisions_of_before_there_were_several_inputs_are_about_none(empty_url: str) -> None:
    database = Database(empty_url)
    config = Config()
    config.set_main_option("script_location", str(files("worker.store") / "migrations"))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        add_study(connection, STUDY, EPOCH)
        new = NewJob(kind=JobKind.ROUTE, state=JobState.RECEIVED, study_instance_uid=STUDY, revision=1, priority=5)
        job_id = create(connection, new, reason="", now=EPOCH)
        row = {"job_id": job_id, "study_instance_uid": STUDY, "revision": 1, "rule": "chest", "model": "lungs"}
        connection.execute(
            insert(decisions).values(**row, series_instance_uid="1.2", chosen=True, score=1.0, reasons=["It is one."])
        )
    migrate(database)
    with database.read() as connection:
        assert connection.execute(select(decisions.c.input, decisions.c.rule)).all() == [("", "chest")]
    database.close()


def test_processes_that_start_together_make_one_database(empty_url: str) -> None:
    databases = [Database(empty_url) for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(migrate, databases))
        names = set(threads.map(installation_id, databases))
    assert len(names) == 1
    for one in databases:
        one.close()


def test_a_database_of_a_later_version_is_refused(database_url: str) -> None:
    database = Database(database_url)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError) as caught:
        migrate(database)
    assert caught.value.code == "database-newer"
    assert "9999" in str(caught.value)
    database.close()


def test_a_database_without_tables_is_a_matter_of_configuration(empty_url: str) -> None:
    database = Database(empty_url)
    with pytest.raises(ConfigurationError) as caught:
        installation_id(database)
    assert caught.value.code == "database-not-migrated"
    database.close()


def test_a_transaction_is_whole_or_not_at_all(database_url: str) -> None:
    database = Database(database_url)

    def fail_in_the_middle() -> None:
        with database.write() as connection:
            add_study(connection, STUDY, database.now(connection))
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail_in_the_middle()
    with database.read() as connection:
        assert connection.execute(studies.select()).all() == []
    database.close()


def test_writers_take_turns_and_lose_no_update(database_url: str) -> None:
    """Read, add one, write: with two writers at once some of these would be lost."""
    database = Database(database_url)
    with database.write() as connection:
        add_study(connection, STUDY, EPOCH)

    def add(_: int) -> None:
        with database.write() as connection:
            seen = connection.execute(select(studies.c.created_at)).scalar_one()
            connection.execute(studies.update().values(created_at=seen + timedelta(seconds=1)))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(add, range(30)))
    with database.read() as connection:
        assert connection.execute(select(studies.c.created_at)).scalar_one() == EPOCH + timedelta(seconds=30)
    database.close()


def test_a_locked_database_is_a_passing_failure(database_url: str) -> None:
    database, hasty = Database(database_url), Database(database_url, busy_timeout_s=0.1)
    with database.write():
        with pytest.raises(TransientError) as caught, hasty.write():
            pass
        assert caught.value.code == "database-unavailable"
        with hasty.read() as connection:  # who only reads waits for nobody
            connection.exec_driver_sql("SELECT 1")
    database.close()
    hasty.close()


def test_times_keep_their_microseconds_and_their_zone(database_url: str) -> None:
    database = Database(database_url)
    with database.write() as connection:
        now = database.now(connection)
        add_study(connection, STUDY, now)
    with database.read() as connection:
        (row,) = connection.execute(studies.select())
        assert row.created_at == now
        assert row.created_at.utcoffset() is not None
        assert database.now(connection) >= now
    database.close()


def test_a_bug_of_ours_quotes_no_row(database_url: str) -> None:
    """A NOT NULL violation: PostgreSQL's own message would quote the whole row, with the patient's name."""
    database = Database(database_url)
    with pytest.raises(DatabaseDefectError) as caught, database.write() as connection:
        connection.execute(insert(instances).values(patient_name="Doe^Jane", sop_instance_uid="1.2"))
    shown = f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert "Jane" not in shown
    assert caught.value.__suppress_context__
    database.close()


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://host/db", "sqlite://", "sqlite+aiosqlite:////tmp/x.db"])
def test_an_unusable_url_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Database(url)
    assert caught.value.code == "database-url"
    assert "sqlite:////" in caught.value.next_step


def test_a_password_is_never_shown() -> None:
    database = Database("postgresql://overread:geheim@db.example/overread")
    assert "geheim" not in database.description
    assert database.description.startswith("postgresql+psycopg://overread:")


@pytest.mark.parametrize("host", ["/nonexistent", "127.0.0.1&port=1"])
def test_an_unreachable_server_is_a_passing_failure(host: str) -> None:
    database = Database(f"postgresql+psycopg://postgres@/overread?host={host}")
    with pytest.raises(TransientError) as caught, database.read():
        pass
    assert caught.value.code == "database-unavailable"
    assert caught.value.next_step


def test_a_file_that_is_no_database_is_a_matter_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"This is not a database at all. " * 100)
    with pytest.raises(ConfigurationError) as caught:
        migrate(Database(sqlite_url(tmp_path / "x.db")))
    assert caught.value.code == "database-damaged"


def test_sqlite_is_made_for_power_cuts_and_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder with % and space" / "overread.db"
    database = Database(sqlite_url(path))
    migrate(database)
    with database.write() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}
    assert path.stat().st_mode & 0o077 == 0
