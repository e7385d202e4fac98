"""A worker's consumer and kombu's Redis transport, behind a gate: what is not ours is dropped where it comes in."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from celery.utils.log import get_logger
from celery.worker.consumer import Consumer
from kombu import compression
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis

from worker.tasks.messages import NotOursError, check_envelope, checked_headers, refused

log = logging.getLogger(__name__)
logger = get_logger(__name__)

_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError)
"""What libraries raise over bytes that they did not expect. None of it is a connection that was lost."""


_PAUSE_S = 1.0
"""A queue that we may not use, or that somebody made otherwise, is asked for no more often than this."""


class LaneConsumer(Consumer):  # type: ignore[misc]  # celery has no types
    """Takes our messages, and drops whatever else is in its queues."""

    def create_task_handler(self, *arguments: Any, **keywords: Any) -> Callable[[Any], None]:
        """Make what is called for each message."""
        handle = super().create_task_handler(*arguments, **keywords)

        def on_message(message: Any) -> None:
            try:
                message.headers = checked_headers(
                    message.headers,
                    content_type=message.content_type,
                    content_encoding=message.content_encoding,
                    body=message.body,
                )
                handle(message)
            except NotOursError as error:
                self._drop(message, error.code)

        return on_message

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Called before all is opened anew; what runs goes on meanwhile."""
        if isinstance(exc, self.channel_errors):
            log.warning("broker-channel-closed", extra={"status": getattr(exc, "code", None)})
            time.sleep(_PAUSE_S)
        super().on_connection_error_after_connected(exc)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Called for what kombu cannot open."""
        del exc
        self._drop(message, "message-malformed")

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Called for what has no task."""
        del body
        self._drop(message, "message-malformed")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Called for a task that this worker does not have."""
        del body, exc
        self._drop(message, "message-for-another-task")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Called for what Celery cannot make a task of."""
        del body, exc
        self._drop(message, "message-malformed")

    def _drop(self, message: Any, code: str) -> None:
        refused(code)
        message.reject_log_error(logger, self.connection_errors)


class RedisChannel(kombu_redis.Channel):
    """A list entry that is no envelope has been taken out already when it turns out so: it is only said."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except _MALFORMED as error:
            refused("message-malformed", error)
            return True


class RedisTransport(kombu_redis.Transport):
    """kombu's, with the channel above."""

    Channel = RedisChannel

    def _deliver(self, message: Any, queue: str) -> None:
        check_envelope(message)
        super()._deliver(message, queue)


def stand_at_the_gate() -> None:
    """Have every connection of this process use the transport above, and open nothing that is compressed.

    We compress nothing; kombu would inflate what somebody else did, without a limit, before anybody can look at it.
    """
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{RedisTransport.__name__}"
    for method in compression.encoders():
        compression.register(_refuse, _refuse, method)


def _refuse(_body: object) -> bytes:
    raise NotOursError("message-of-another-type")
