"""The names of Celery, kombu and Flower that no document promises: why pyproject.toml caps them."""

from __future__ import annotations

import inspect

import pytest
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from flower.app import Flower
from flower.events import Events, EventsState
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (kombu_redis.Channel, {"_brpop_read"}),
        (kombu_redis.Transport, {"_deliver"}),
        (
            Consumer,
            {"create_task_handler", "on_decode_error", "on_unknown_message", "on_unknown_task", "on_invalid_task"},
        ),
        (Request, {"on_accepted", "on_success", "on_failure", "on_timeout", "send_event", "argsrepr", "worker_pid"}),
        (Flower, {"find_handler", "get_handler_delegate", "start_http_server", "update_workers", "start", "stop"}),
        (Events, {"on_event", "start"}),
        (EventsState, {"event"}),
    ],
)
def test_they_are_there(owner: type, names: set[str]) -> None:
    assert names <= {name for name, _ in inspect.getmembers(owner)}


def test_redis_is_known_by_the_names_that_we_replace() -> None:
    assert {"redis", "rediss"} <= set(TRANSPORT_ALIASES)
