"""A real worker on real brokers: what is published is run, on Redis and on RabbitMQ alike."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.ports import free_port
from worker.domain.errors import TransientError
from worker.domain.job import JobId, JobKind
from worker.domain.result import DeliveryId
from worker.domain.work import DueWork
from worker.tasks.app import BrokerOptions, make_app
from worker.tasks.lanes import Lane
from worker.tasks.publisher import CeleryPublisher

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "secret"  # noqa: S105 - of a server that lives as long as the test


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
    with a_rabbitmq(tmp_path) as rabbitmq:
        yield rabbitmq.url


@dataclass(frozen=True)
class RabbitMQ:
    url: str
    environ: dict[str, str]

    def control(self, *arguments: str) -> None:
        command = ["/usr/lib/rabbitmq/bin/rabbitmqctl", *arguments]
        subprocess.run(command, env=self.environ, check=True, stdout=subprocess.DEVNULL, timeout=60)


@contextmanager
def a_rabbitmq(tmp_path: Path, *, settings: str = "[]") -> Iterator[RabbitMQ]:
    """A server with its ``advanced.config``."""
    port, distribution = free_port(), free_port()
    found = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    executable = str(found) if found.exists() else shutil.which("rabbitmq-server")
    assert executable is not None
    (tmp_path / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n")
    (tmp_path / "advanced.config").write_text(f"{settings}.\n")
    environ = {
        **os.environ,
        "HOME": str(tmp_path),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(tmp_path / "advanced.config"),
        "RABBITMQ_NODENAME": f"overread{port}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_CONFIG_FILE": str(tmp_path / "rabbitmq"),
        "RABBITMQ_MNESIA_BASE": str(tmp_path / "mnesia"),
        "RABBITMQ_LOG_BASE": str(tmp_path / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(tmp_path / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(tmp_path / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",  # who waits, sleeps
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    server = subprocess.Popen(
        [executable], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait(lambda: listening(port), what="RabbitMQ listens")
        yield RabbitMQ(f"amqp://guest:guest@127.0.0.1:{port}//", environ)
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # its folder is thrown away
        server.wait(60)
        subprocess.run(["epmd", "-kill"], env=environ, check=False, capture_output=True)


@pytest.fixture(
    params=[pytest.param("redis", marks=pytest.mark.redis), pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]
)
def options(request: pytest.FixtureRequest) -> BrokerOptions:
    return BrokerOptions(request.getfixturevalue(f"{request.param}_url"), deadline_s=60)


def due(number: int, *, kind: JobKind | None, priority: int = 5) -> DueWork:
    name = f"id-{number}"
    job_id, delivery_id = (JobId(name), None) if kind is not None else (None, DeliveryId(name))
    return DueWork(job_id, delivery_id, kind, "analyse lungs 1.0.0", priority)


@dataclass
class Worker:
    """One that runs, what it was called with, and its log."""

    process: subprocess.Popen[bytes]
    said: Path
    log: Path

    def lines(self) -> list[str]:
        return self.said.read_text().splitlines() if self.said.exists() else []

    def events(self) -> list[dict[str, Any]]:
        *whole, _ = self.log.read_text().split("\n")
        return [json.loads(line) for line in whole]

    def codes(self) -> list[str]:
        return [one["code"] for one in self.events() if one["event"] == "message-refused"]


@contextmanager
def a_worker(options: BrokerOptions, folder: Path) -> Iterator[Worker]:
    said, log = folder / "said.txt", folder / "worker.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.tasks.echo_worker", options.url, str(said)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
        )
    try:
        yield Worker(process, said, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


def test_what_is_rung_is_run_by_urgency_and_by_id_only(options: BrokerOptions, tmp_path: Path) -> None:
    publisher = CeleryPublisher(make_app(options), options)
    # Published before anybody works: the most urgent is taken first.
    for number, priority in ((1, 1), (2, 9), (3, 5)):
        publisher.publish(due(number, kind=JobKind.ANALYSE, priority=priority))
    publisher.publish(due(4, kind=JobKind.ROUTE))
    publisher.publish(due(5, kind=None))
    with a_worker(options, tmp_path) as worker:
        wait(lambda: len(worker.lines()) == 6, what="five tasks ran")
        lines = worker.lines()
        lines.remove("prepared True")  # in the child, and the tasks did not wait for its end
        assert sorted(lines) == ["analyse id-1", "analyse id-2", "analyse id-3", "deliver id-5", "route id-4"]
        assert [line for line in lines if line.startswith("analyse")] == [
            "analyse id-2",
            "analyse id-3",
            "analyse id-1",
        ]
        # Nobody commands it.
        control = make_app(options).control
        for command in ("pool_restart", "shutdown"):
            control.broadcast(command)
        control.cancel_consumer(Lane.ROUTE.queue)
        control.rate_limit(Lane.ROUTE.task, "1/h")
        # Nor does it say what its stacks hold.
        worker.process.send_signal(signal.SIGUSR1)
        # What is not ours is dropped, once, by the same process.
        count = publish_what_is_not_ours(options)
        wait(lambda: len(worker.codes()) == count, what="all of it was refused")
        for number in (6, 7, 8):
            publisher.publish(due(number, kind=JobKind.ROUTE))
        wait(lambda: worker.lines()[6:] == ["route id-6", "route id-7", "route id-8"], what="messages are taken")
        assert worker.process.poll() is None
        assert len(worker.codes()) == count
        assert set(worker.codes()) == {
            "message-malformed", "message-of-another-type", "message-too-long", "message-for-another-task",
            "message-not-for-now",
        }  # fmt: skip
        assert "Doe" not in worker.log.read_text()
        if options.is_redis:
            it_ends_over_a_key_of_another_type(options, worker)


def it_ends_over_a_key_of_another_type(options: BrokerOptions, worker: Worker) -> None:
    """The next worker removes it before it begins."""
    with Redis.from_url(options.url) as client:
        client.set(Lane.ROUTE.queue, "somebody else's")
    wait(lambda: worker.process.poll() is not None, what="the worker ends")
    assert worker.process.returncode != 0


@pytest.mark.rabbitmq
def test_work_that_takes_longer_than_rabbitmq_waits_stops_nothing(tmp_path: Path) -> None:
    """By default it closes the channel of a consumer that has not acknowledged after half an hour."""
    held = tmp_path / "id-1"
    os.mkfifo(held)
    short = "[{rabbit, [{consumer_timeout, 1500}, {channel_tick_interval, 500}]}]"
    with a_rabbitmq(tmp_path, settings=short) as rabbitmq:
        options = BrokerOptions(rabbitmq.url, deadline_s=60)
        publisher = CeleryPublisher(make_app(options), options)
        it_has_a_queue_of_another_kind(options, publisher)
        with a_worker(options, tmp_path) as worker:
            publisher.publish(due(1, kind=JobKind.ANALYSE))
            wait(lambda: "analyse id-1" in worker.lines(), what="it runs")
            publisher.publish(due(2, kind=JobKind.ANALYSE))

            def closed() -> list[dict[str, Any]]:
                return [one for one in worker.events() if one["event"] == "broker-channel-closed"]

            wait(lambda: len(closed()) > 0, what="the channel is closed")
            assert closed()[0]["status"] == 406
            assert "analyse id-2" not in worker.lines()
            held.write_text("go on")
            # The first message comes again, to a ledger that knows its job.
            wait(lambda: worker.lines().count("analyse id-1") == 2, what="the message comes again")
            wait(lambda: "analyse id-2" in worker.lines(), what="the lane goes on")
            publisher.publish(due(3, kind=JobKind.ROUTE))
            wait(lambda: "route id-3" in worker.lines(), what="and on")
            assert worker.lines().count("prepared True") == 1, "by the same child"
            assert worker.process.poll() is None
            it_takes_no_messages(rabbitmq, publisher, worker)


def it_has_a_queue_of_another_kind(options: BrokerOptions, publisher: CeleryPublisher) -> None:
    with make_app(options).connection_for_write() as connection:
        connection.channel().queue_declare(Lane.ANALYSE.queue, durable=True, auto_delete=False)
        with pytest.raises(TransientError) as caught:
            publisher.publish(due(1, kind=JobKind.ANALYSE))
        assert caught.value.code == "broker-refused"
        publisher.publish(due(0, kind=JobKind.ROUTE))
        connection.channel().queue_delete(Lane.ANALYSE.queue)


def it_takes_no_messages(rabbitmq: RabbitMQ, publisher: CeleryPublisher, worker: Worker) -> None:
    """A memory or disk alarm: who publishes is not answered any more, not even when it wants to close."""
    held = worker.said.with_name("id-4")
    os.mkfifo(held)
    for number in (4, 5):
        publisher.publish(due(number, kind=JobKind.ROUTE))
    wait(lambda: "route id-4" in worker.lines(), what="it runs")
    rabbitmq.control("set_vm_memory_high_watermark", "0")
    held.write_text("go on")
    wait(lambda: "route id-5" in worker.lines(), what="what is there is given out")
    worker.process.terminate()
    with pytest.raises(TransientError) as caught:
        publisher.publish(due(6, kind=JobKind.ROUTE))
    assert caught.value.code == "broker-away"
    assert worker.process.wait(60) == 0


def publish_what_is_not_ours(options: BrokerOptions) -> int:
    """Through Celery, through kombu, and past both. Returns how many messages that were."""
    app, queue = make_app(options), Lane.ROUTE.queue
    send = {"queue": queue, "retry": False}
    app.send_task("celery.chord_unlock", args=["Doe^Jane"], **send)
    for args, kwargs in (([], {}), (["a", "b"], {}), ([7], {}), (["a"], {"patient": "Doe^Jane"}), (["Doe^Jane"], {})):
        app.send_task(Lane.ROUTE.task, args=args, kwargs=kwargs, **send)
    app.send_task(Lane.ROUTE.task, args=["a"], countdown=3600, **send)
    app.send_task(Lane.ROUTE.task, args=["a"], expires=1e6, **send)
    app.send_task(Lane.ROUTE.task, args=["a"], time_limit="Doe", soft_time_limit="Jane", **send)
    app.send_task(Lane.ROUTE.task, args=["x" * 100_000], **send)
    sent = 10
    ours = {"task": Lane.ROUTE.task, "id": "a", "timelimit": [None, None]}
    with app.connection_for_write() as connection, connection.Producer(serializer="json") as producer:
        for body in (7, "Doe^Jane", None, {"task": Lane.ROUTE.task, "id": "a", "args": ["Doe^Jane"], "kwargs": {}}):
            for headers in ({}, ours):
                producer.publish(body, routing_key=queue, headers=headers)
                sent += 1
        for headers in ({**ours, "timelimit": ["Doe", "Jane"]}, {**ours, "eta": "never"}, {**ours, "id": 7}):
            producer.publish([["a"], {}, {}], routing_key=queue, headers=headers)
            sent += 1
        raw = pickle.dumps([["a"], {}, {}])
        kind = {"content_type": "application/x-python-serialize", "content_encoding": "binary"}
        producer.publish(raw, routing_key=queue, headers=ours, **kind)
        producer.publish(b"\xff\x00Doe", routing_key=queue, headers=ours, content_type="application/json")
        kind = {"content_type": "application/json", "content_encoding": "utf-8"}
        bomb = zlib.compress(bytes(64 << 20))
        producer.publish(bomb, routing_key=queue, headers={**ours, "compression": "application/x-gzip"}, **kind)
        producer.publish(b"[]", routing_key=queue, headers={**ours, "compression": ["zlib"]}, **kind)
    sent += 4
    if options.is_redis:
        with Redis.from_url(options.url) as client:
            for entry in ("7", "Doe^Jane", "[]", "{}", b"\xff", '{"properties": {}}', ENVELOPE_OF_ANOTHER_TYPE):
                client.lpush(queue, entry)
                sent += 1
    return sent


ENVELOPE_OF_ANOTHER_TYPE = json.dumps(
    {"body": "!", "headers": {"compression": []}, "properties": {"delivery_tag": {}, "body_encoding": "base64"}}
)


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_away_is_asked_once(scheme: str) -> None:
    came = 0
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            nonlocal came
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()
                    came += 1

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        options = BrokerOptions(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/0")
        with pytest.raises(TransientError) as caught:
            CeleryPublisher(make_app(options), options).publish(due(1, kind=JobKind.ROUTE))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert (caught.value.code, came) == ("broker-away", 1)


def test_a_broker_that_is_away_is_said_at_once() -> None:
    options = BrokerOptions(f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(TransientError, match="does not answer") as caught:
        CeleryPublisher(make_app(options), options).publish(due(1, kind=JobKind.ROUTE))
    assert caught.value.code == "broker-away"
