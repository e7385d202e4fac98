"""Whoever published must hear that the broker began anew: after a restart, and after it was emptied."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import redis
from redis.exceptions import RedisError

from tests.integration.broker.test_embedded_redis import client, until
from worker.broker.embedded import EmbeddedRedis
from worker.broker.incarnation import RedisIncarnation


def test_one_life_until_it_is_started_again_or_emptied(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "broker") as broker:
        life = RedisIncarnation(broker.url)
        first = life()
        assert first
        assert life() == RedisIncarnation(broker.url)() == first

        client(broker).flushdb()
        second = life()
        assert second not in ("", first)
        assert life() == second

        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        until(broker.restart_if_dead)
        third = life()
        assert third not in ("", first, second)
    assert life() == ""  # it is away


def test_a_life_without_a_name_is_no_error(tmp_path: Path) -> None:
    assert RedisIncarnation("amqp://user:password@127.0.0.1:1//")() == ""
    assert RedisIncarnation("rediss://:password@127.0.0.1:1/0?ssl_cert_reqs=CERT_REQUIRED")() == ""
    with EmbeddedRedis(tmp_path / "broker") as broker:
        life = RedisIncarnation(broker.url.replace("redis+socket://:", "redis+socket://:not-"))
        with pytest.raises(RedisError):
            redis.from_url(broker.url.replace("redis+socket://:", "unix://:not-")).ping()
        assert life() == ""
