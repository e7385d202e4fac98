"""A real worker on real brokers: what is rung is run, on Redis and on RabbitMQ alike."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker.domain.errors import TransientError
from worker.domain.job import JobId, JobKind
from worker.domain.result import DeliveryId
from worker.pipeline.ports import Due
from worker.tasks.app import BrokerOptions, make_app
from worker.tasks.doorbell import CeleryDoorbell

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "secret"  # noqa: S105 - of a server that lives as long as the test


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(question: Callable[[], bool], *, what: str, wait_s: float = 90) -> None:
    ends = time.monotonic() + wait_s
    while not question():
        assert time.monotonic() < ends, what
        time.sleep(0.1)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", ""]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        wait(lambda: listening(port), what="Redis listens")
        yield f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def rabbitmq_url(tmp_path: Path) -> Iterator[str]:
    port, distribution = free_port(), free_port()
    found = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    executable = str(found) if found.exists() else shutil.which("rabbitmq-server")
    assert executable is not None
    (tmp_path / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
    environ = {
        **os.environ,
        "HOME": str(tmp_path),
        "RABBITMQ_NODENAME": f"overread{port}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_CONFIG_FILE": str(tmp_path / "rabbitmq"),
        "RABBITMQ_MNESIA_BASE": str(tmp_path / "mnesia"),
        "RABBITMQ_LOG_BASE": str(tmp_path / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(tmp_path / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(tmp_path / "pid"),
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    server = subprocess.Popen(
        [executable], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait(lambda: listening(port), what="RabbitMQ listens")
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
        subprocess.run(["epmd", "-kill"], env=environ, check=False, capture_output=True)


@pytest.fixture(
    params=[pytest.param("redis", marks=pytest.mark.redis), pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]
)
def options(request: pytest.FixtureRequest) -> BrokerOptions:
    return BrokerOptions(request.getfixturevalue(f"{request.param}_url"), deadline_s=60)


def due(number: int, *, kind: JobKind | None, priority: int = 5) -> Due:
    name = f"id-{number}"
    job_id, delivery_id = (JobId(name), None) if kind is not None else (None, DeliveryId(name))
    return Due(job_id, delivery_id, kind, "analyse lungs 1.0.0", priority)


def test_what_is_rung_is_run_by_urgency_and_by_id_only(options: BrokerOptions, tmp_path: Path) -> None:
    bell = CeleryDoorbell(make_app(options), options)
    # Rung before anybody works: the most urgent is taken first.
    for number, priority in ((1, 1), (2, 9), (3, 5)):
        bell.ring(due(number, kind=JobKind.ANALYSE, priority=priority))
    bell.ring(due(4, kind=JobKind.ROUTE))
    bell.ring(due(5, kind=None))
    said = tmp_path / "said.txt"
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.tasks.echo_worker", options.url, str(said)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait(lambda: said.exists() and len(said.read_text().splitlines()) == 6, what="five tasks ran")
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(20)
    lines = said.read_text().splitlines()
    lines.remove("prepared True")  # in the child, and the tasks did not wait for its end
    assert sorted(lines) == ["analyse id-1", "analyse id-2", "analyse id-3", "deliver id-5", "route id-4"]
    assert [line for line in lines if line.startswith("analyse")] == ["analyse id-2", "analyse id-3", "analyse id-1"]


def test_a_broker_that_is_away_is_said_at_once() -> None:
    options = BrokerOptions(f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(TransientError, match="does not answer") as caught:
        CeleryDoorbell(make_app(options), options).ring(due(1, kind=JobKind.ROUTE))
    assert caught.value.code == "broker-away"
