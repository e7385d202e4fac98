"""The Redis of docker-compose.yml, started for real: closed without the password, and enough for Celery with it."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery.contrib.testing.worker import start_worker
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.tasks.app import BrokerOptions, make_app
from worker.tasks.lanes import Lane

pytestmark = pytest.mark.redis

START = Path(__file__).resolve().parents[3] / "deploy" / "redis" / "start.sh"
JOB = "5baa22ff-6adf-4c53-8228-053951647fba"
PASSWORD = "5f0c1e77a9d2"  # noqa: S105 - of a server that lives as long as the test


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("redis")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = int(probe.getsockname()[1])
    places = {"REDIS_RUN": str(folder), "REDIS_DATA": str(folder)}
    process = subprocess.Popen(
        ["sh", str(START), "--port", str(free), "--bind", "127.0.0.1"],
        env=os.environ | places | {"REDIS_PASSWORD": PASSWORD},
        stdout=subprocess.DEVNULL,
    )
    pause = threading.Event()
    while not _answers(free):
        assert process.poll() is None, "redis-server ended"
        pause.wait(0.05)
    yield free
    process.kill()
    process.wait()


def _answers(port: int) -> bool:
    try:
        return bool(redis.Redis(port=port, password=PASSWORD).ping())
    except redis.ConnectionError:
        return False


def test_it_asks_for_the_password(port: int) -> None:
    at_once = Retry(NoBackoff(), 0)
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=port, retry=at_once).ping()
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=port, password="guessed", retry=at_once).ping()  # noqa: S106


@pytest.mark.parametrize(
    "command", ["CONFIG GET dir", "FLUSHALL", "MODULE LIST", "REPLICAOF NO ONE", "SHUTDOWN", "ACL LIST"]
)
def test_its_user_can_neither_reconfigure_nor_empty_it(port: int, command: str) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        redis.Redis(port=port, password=PASSWORD).execute_command(*command.split())


def test_the_password_is_on_no_command_line(port: int) -> None:
    assert _answers(port)
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        assert PASSWORD.encode() not in line


def test_celery_works_with_these_rights(port: int) -> None:
    options = BrokerOptions(url=f"redis://default:{PASSWORD}@127.0.0.1:{port}/0")
    app = make_app(options)
    came = threading.Event()

    def note(id_: str) -> None:
        if id_ == JOB:
            came.set()

    app.task(note, name=Lane.ROUTE.task, shared=False)
    with start_worker(app, pool="solo", perform_ping_check=False, loglevel="ERROR", shutdown_timeout=30):
        # Who publishes has no tasks of its own: with one, Celery would put its time limit into the message.
        make_app(options).send_task(Lane.ROUTE.task, args=[JOB], queue=Lane.ROUTE.queue)
        assert came.wait(60)
