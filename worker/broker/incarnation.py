"""Which incarnation of a Redis this is: another one after it was started again, emptied, or replaced."""

from __future__ import annotations

import logging
import secrets
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

MARK = "overread.life"
"""Key of the mark that names an incarnation."""


class RedisIncarnation:
    """Names the present incarnation of the Redis behind a broker URL. Made of two parts: what the server calls this run
    of its own, and a mark that we leave in it, which is gone when it was emptied.

    Other brokers, and a Redis whose user may not ask, have no name: then only the lapse of time tells that something
    was forgotten.
    """  # noqa: D205

    def __init__(self, url: str) -> None:
        self._client = client_of(url)

    def __call__(self) -> str:
        """The name; empty when it cannot be told now. Never raises, and waits two seconds at most."""
        if self._client is None:
            return ""
        try:
            run = str(self._client.info("server")["run_id"])
            # Of several that come here at once, one leaves the mark, and all read the same.
            self._client.set(MARK, secrets.token_hex(8), nx=True)
            mark = self._client.get(MARK)
        except (redis.RedisError, OSError, KeyError, ValueError) as error:
            log.debug("broker-life-unknown", extra={"error": type(error).__name__})
            return ""
        return f"{run}/{mark.decode()}" if isinstance(mark, bytes) else ""


def client_of(url: str) -> redis.Redis | None:
    """A client for the Redis behind a broker URL, waiting two seconds at most; None when it is none that we know."""
    scheme, _, rest = url.partition("://")
    known = {"redis": "redis", "rediss": "rediss", "redis+socket": "unix"}
    if scheme not in known or (scheme != "redis+socket" and not urlsplit(url).hostname):
        return None
    try:
        return redis.from_url(f"{known[scheme]}://{rest}", socket_timeout=2.0, retry=Retry(NoBackoff(), 0))
    except (ValueError, TypeError):  # options in the URL that only Celery knows
        return None
