"""Values of a wrong type under the names of our queues: removed, and only they."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery import Celery

from tests.integration.broker.test_embedded_redis import client
from worker.broker.embedded import EmbeddedRedis
from worker.broker.wrong_type_keys import remove_wrong_type_keys
from worker.tasks.app import EXCHANGE, PRIORITIES, BrokerOptions, make_app
from worker.tasks.lanes import Lane

QUEUES = [lane.queue for lane in Lane]


def removed(url: str) -> tuple[str, ...]:
    return remove_wrong_type_keys(url, exchange=EXCHANGE, queues=QUEUES, priorities=PRIORITIES)


def publish(app: Celery, lane: Lane, priority: int) -> None:
    app.send_task(lane.task, args=["0"], queue=lane.queue, priority=priority, retry=False)


def test_what_no_message_can_be_in_goes_and_messages_stay(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "broker") as broker:
        app = make_app(BrokerOptions(url=broker.url))
        inside = client(broker)
        for priority in range(PRIORITIES):
            publish(app, Lane.ROUTE, priority)
        assert removed(broker.url) == ()
        waiting = {key: inside.llen(key) for key in inside.scan_iter() if inside.type(key) == b"list"}
        assert sum(waiting.values()) == PRIORITIES

        inside.set("somebody else's", "x")
        for key in (Lane.ANALYSE.queue, f"{Lane.DELIVER.queue}\x06\x163", f"_kombu.binding.{EXCHANGE}", "unacked"):
            inside.delete(key)
            inside.set(key, "junk")
        with pytest.raises(Exception, match="WRONGTYPE"):
            publish(app, Lane.ANALYSE, 0)
        assert len(removed(broker.url)) == 4
        assert removed(broker.url) == ()
        assert inside.get("somebody else's") == b"x"
        assert {key: inside.llen(key) for key in waiting} == waiting
        publish(make_app(BrokerOptions(url=broker.url)), Lane.ANALYSE, 0)
        assert inside.llen(Lane.ANALYSE.queue) == 1


def test_a_broker_that_is_away_or_no_redis_is_left_alone() -> None:
    assert removed("redis://:password@127.0.0.1:1/0") == ()
    assert removed("amqp://user:password@127.0.0.1:1//") == ()
