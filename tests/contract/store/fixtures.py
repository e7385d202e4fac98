"""Fixtures for every test that needs a store; imported by the conftest of each folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.store.kit import DatabaseClock, Kit
from tests.contract.store.postgres import cluster, migrated_template
from tests.contract.store.sqlite import new_sqlite
from worker.store.database.database import Database, sqlite_url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database of each kind."""
    if request.param == "postgres":
        return cluster().url(cluster().new_database(template=migrated_template()))
    return new_sqlite(tmp_path / "overread.db")


@pytest.fixture
def empty_url(request: pytest.FixtureRequest, tmp_path: Path, database_kind: str) -> str:
    """A database without tables."""
    if database_kind == "postgres":
        return cluster().url(cluster().new_database())
    return sqlite_url(tmp_path / "overread.db")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock() -> DatabaseClock:
    return DatabaseClock()


@pytest.fixture
def kit(database_url: str, clock: DatabaseClock, tmp_path: Path) -> Iterator[Kit]:
    made = Kit(Database(database_url, clock=clock), tmp_path, clock)
    yield made
    made.close()


@pytest.fixture
def sqlite_kit(clock: DatabaseClock, tmp_path: Path) -> Iterator[Kit]:
    """On SQLite only: for what has nothing to do with the kind of database."""
    database = Database(new_sqlite(tmp_path / "overread.db"), clock=clock)
    made = Kit(database, tmp_path, clock)
    yield made
    made.close()
