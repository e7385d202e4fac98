"""What a message of ours looks like. Whatever else lies at the broker is refused: it may not stop a lane.

Celery and kombu trust a message's headers and body, and end the worker (with the message taken again, where the broker
gives it back) over a type that they did not expect. A message of ours is one id for one lane; all else in it is
Celery's ceremony, which is written anew here instead of being checked.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from worker.tasks.lanes import Lane

log = logging.getLogger(__name__)

TASKS = frozenset(lane.task for lane in Lane)
LONGEST_BODY_BYTES = 4096
_LONGEST_LABEL = 200
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_NOT_FOR_US = ("eta", "expires", "compression", "group", "chord", "stamps", "stamped_headers")
"""Headers that we never set: a message is for now, and for one id."""


class NotOursError(ValueError):
    """A message that we did not send; ``code`` says by what it was known."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def refused(code: str, error: Exception | None = None) -> None:
    """Say that a message was dropped, and nothing of what was in it."""
    log.warning("message-refused", extra={"code": code, **({"error": type(error).__name__} if error else {})})


def checked_headers(headers: object, *, content_type: object, content_encoding: object, body: object) -> dict[str, Any]:
    """The headers of a task message of ours, with nothing in them that we did not put there.

    Raises NotOursError: ``message-malformed``, ``message-of-another-type``, ``message-too-long``,
    ``message-for-another-task``, ``message-not-for-now``.
    """
    if not isinstance(headers, Mapping):
        raise NotOursError("message-malformed")
    if content_type != "application/json" or str(content_encoding).lower() != "utf-8":
        raise NotOursError("message-of-another-type")
    task, uuid, label = (headers.get(name) for name in ("task", "id", "shadow"))
    if not isinstance(task, str) or task not in TASKS:
        raise NotOursError("message-for-another-task")
    if any(headers.get(name) for name in _NOT_FOR_US) or headers.get("timelimit") not in (None, [None, None]):
        raise NotOursError("message-not-for-now")
    if not isinstance(uuid, str) or not _ID.fullmatch(uuid):
        raise NotOursError("message-malformed")
    argument = _argument(body)
    named = isinstance(label, str) and label.isprintable() and len(label) <= _LONGEST_LABEL
    return {
        "lang": "py",
        "task": task,
        "id": uuid,
        "root_id": uuid,
        "parent_id": None,
        "shadow": label if named else None,
        "argsrepr": f"['{argument}']",
        "kwargsrepr": "{}",
        "ignore_result": True,
    }


def _argument(body: object) -> str:
    """The one id that a body of ours has: ``[[id], {}, embed]`` with nothing in ``embed``."""
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if not isinstance(body, bytes | bytearray | memoryview):
        raise NotOursError("message-malformed")
    if len(body) > LONGEST_BODY_BYTES:
        raise NotOursError("message-too-long")
    try:
        match json.loads(bytes(body)):
            case [[str(argument)], {**keywords}, {**embed}]:
                pass
            case _:
                raise NotOursError("message-malformed")
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, NotOursError) else NotOursError("message-malformed") from None
    if keywords or any(value is not None for value in embed.values()) or not _ID.fullmatch(argument):
        raise NotOursError("message-malformed")
    return argument


def check_envelope(envelope: object) -> None:
    """Whether a message as kombu's virtual transports write it (Redis) can be opened. Raises NotOursError."""
    match envelope:
        case {
            "body": str(),
            "headers": {**_headers},
            "content-type": str() | None,
            "content-encoding": str() | None,
            "properties": {
                "delivery_tag": str(),
                "body_encoding": "base64",
                "delivery_info": {"exchange": str(), "routing_key": str()},
            },
        }:
            return
    raise NotOursError("message-malformed")
