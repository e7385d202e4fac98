"""A private PostgreSQL cluster on a unix socket, started once for the whole run and gone at its end."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

_NAMES = itertools.count(1)


class Cluster:
    """``initdb`` in a temporary folder, owned by the user postgres (who refuses to be root)."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="orpg", dir="/tmp"))
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        self._bin = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self._run("initdb", "-D", str(self.folder / "data"), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8")
        self.start()

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off -c max_connections=60"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-o", options, "-l", log, "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"

    def new_database(self, *, template: str = "template1") -> str:
        name = f"overread{next(_NAMES)}"
        with psycopg.connect(f"host={self.folder} user=postgres dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")  # names are ours
        return name

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._bin / program, *arguments], check=True, user=self._user, cwd=self.folder, stdout=subprocess.DEVNULL
        )


@functools.cache
def cluster() -> Cluster:
    made = Cluster()
    atexit.register(made.remove)
    return made


@functools.cache
def migrated_template() -> str:
    """A database with our tables, to copy new ones from."""
    from worker.store.database.database import Database
    from worker.store.database.schema import migrate

    name = cluster().new_database()
    database = Database(cluster().url(name))
    migrate(database)
    database.close()
    return name
