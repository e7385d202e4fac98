"""A Redis without memory for one more message says so, and takes messages again when there is room."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.integration.broker.test_embedded_redis import client
from worker.broker.embedded import EmbeddedRedis
from worker.domain.errors import TransientError
from worker.domain.job import JobId, JobKind
from worker.domain.work import DueWork
from worker.tasks.app import BrokerOptions, make_app
from worker.tasks.lanes import Lane
from worker.tasks.publisher import CeleryPublisher


def push_for_ever(inside: redis.Redis, size: int) -> None:
    while True:
        inside.rpush("junk", b"x" * size)


def fill(inside: redis.Redis) -> None:
    for size in (100_000, 1000, 10):
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            push_for_ever(inside, size)


def test_a_full_broker_is_named_and_takes_messages_when_there_is_room(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "broker", maximum_memory_mb=4) as broker:
        options = BrokerOptions(url=broker.url)
        publisher = CeleryPublisher(make_app(options), options)
        due = DueWork(JobId("1"), None, JobKind.ROUTE, "route", 5)
        publisher.publish(due)
        inside = client(broker)
        fill(inside)
        with pytest.raises(TransientError) as refused:
            publisher.publish(due)
        assert refused.value.code == "broker-full"
        inside.delete("junk")
        publisher.publish(due)
        assert sum(inside.llen(key) for key in inside.scan_iter(f"{Lane.ROUTE.queue}*")) == 2
