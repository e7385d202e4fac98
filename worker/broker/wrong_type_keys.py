"""Values of a wrong type under the names that kombu uses in Redis: each would stop every worker of its queue for ever.

Names as kombu's Redis transport forms them: a list for each queue and priority step, ``unacked`` and ``unacked_index``
for what is delivered and not yet acknowledged, a set of bindings for each exchange.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import redis

from worker.broker.incarnation import MARK, client_of

log = logging.getLogger(__name__)

_STEP = "\x06\x16"
_NONE = "none"


def remove_wrong_type_keys(url: str, *, exchange: str, queues: Iterable[str], priorities: int) -> tuple[str, ...]:
    """Delete what stands under a name of ours and cannot be ours, since it has another type. Returns the names.

    No message is lost: none can be in a value of another type, and the sweeper publishes again for what is due. Never
    raises: a broker that does not answer, or is no Redis, is left to whoever needs it next.
    """
    client = client_of(url)
    if client is None:
        return ()
    expected = _expected(exchange, queues, priorities)
    try:
        pipeline = client.pipeline(transaction=False)
        for name in expected:
            pipeline.type(name)
        found = [one.decode() if isinstance(one, bytes) else str(one) for one in pipeline.execute()]
        foreign = tuple(name for name, kind in zip(expected, found, strict=True) if kind not in {_NONE, expected[name]})
        if foreign:
            client.delete(*foreign)
    except (redis.RedisError, OSError) as error:
        log.debug("broker-keys-unknown", extra={"error": type(error).__name__})
        return ()
    finally:
        client.close()
    if foreign:
        log.warning("broker-keys-removed", extra={"count": len(foreign)})
    return foreign


def _expected(exchange: str, queues: Iterable[str], priorities: int) -> dict[str, str]:
    steps = [f"{_STEP}{step}" if step else "" for step in range(priorities)]
    return {
        **{f"{queue}{step}": "list" for queue in queues for step in steps},
        "unacked": "hash",
        "unacked_index": "zset",
        "unacked_mutex": "string",
        f"_kombu.binding.{exchange}": "set",
        MARK: "string",
    }
