"""Logs are events with ids: one line each, no patient, no text from the wire.

A record's message is a constant event name; what varies is in ``extra``, and only the fields of ``FIELDS`` are
written. Exception texts of other libraries may quote a data set, so only the type and the code positions are kept. What
a library logs itself becomes the event ``library-message``: where it was said, and its words before any value went in.
"""

from __future__ import annotations

import json
import logging
import select
import sys
import warnings
from datetime import UTC, datetime
from typing import IO, Literal

from worker.observe.log_queue import LineHandler

FIELDS = (
    "job_id", "delivery_id", "study_instance_uid", "series_instance_uid", "sop_instance_uid", "sop_class_uid",
    "transfer_syntax_uid", "association_id", "calling_ae_title", "called_ae_title", "peer", "destination", "model",
    "attempt", "state", "stage", "status", "code", "reason", "error", "where", "count", "planned", "new", "results",
    "instances", "size_bytes", "seconds", "port", "address", "pid", "child", "signal", "path", "worker",
    "transaction_uid", "committed", "failed", "before", "after", "outcome", "provider", "package", "net", "sha256",
    "object_key", "result", "source", "stored", "transient", "found", "wanted", "taken", "to", "ae_title",
    "new_association", "associations", "pending", "studies", "slices", "objects", "bytes", "checks", "size", "missing",
    "healed", "quarantined", "reindexed", "temporaries_removed", "exit_code", "next_step",
)  # fmt: skip
"""The allow-list of fields. AE titles come from the wire: control characters are escaped on the way out."""

SILENCED = ("pydicom", "pynetdicom", "highdicom", "PIL", "py.warnings", "multiprocessing", "tornado.access")
"""Libraries whose messages quote data sets. What matters of them is translated at our borders and logged by us."""

NOISY = ("sqlalchemy", "alembic", "amqp", "kombu", "asyncio", "tornado", "celery", "flower")
"""Nothing below a warning is ever wanted of these: SQL statements carry values."""

_LONGEST_VALUE = 2048
"""Of the values of a line that is too long."""

OURS = "worker"
"""Loggers below this name are ours: their messages are constants."""


class _Formatter(logging.Formatter):
    """``process`` is the part of the system that speaks; several may share one stream."""

    def __init__(self, *, process: str = "") -> None:
        super().__init__()
        self._process = process

    def event(self, record: logging.LogRecord) -> str:
        return record.getMessage() if _is_ours(record) else "library-message"

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        values: dict[str, object] = {"process": self._process} if self._process else {}
        if not _is_ours(record):
            values |= _of_a_library(record)
        values |= {name: record.__dict__[name] for name in FIELDS if name in record.__dict__}
        if record.exc_info and record.exc_info[0] is not None:
            values["error"] = record.exc_info[0].__name__
            values["where"] = _positions(record)
        return values


class JsonFormatter(_Formatter):
    """One JSON object a line; every control character is escaped by the encoder.

    A line with its end is no longer than ``PIPE_BUF``: a pipe takes that whole or not at all, so that the lines of the
    processes which share one never mix.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format one record as one line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said = {"at": at, "level": record.levelname, "logger": record.name, "event": self.event(record)}
        line = said | self.fields(record)
        text, longest = json.dumps(line, default=str), _LONGEST_VALUE
        while len(text) >= select.PIPE_BUF and longest:
            text = json.dumps({name: _cut(value, longest) for name, value in line.items()})
            longest //= 2
        return text


class TextFormatter(_Formatter):
    """The same for people; values are quoted as JSON, so that none can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record as one line."""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        event = json.dumps(self.event(record))[1:-1]
        fields = " ".join(f"{name}={_plain(value)}" for name, value in self.fields(record).items())
        return f"{at} {record.levelname:<7} {event} {fields}".rstrip()


OUR_FORMATTERS = (JsonFormatter, TextFormatter)


def configure(
    *,
    level: str = "INFO",
    style: Literal["auto", "json", "text"] = "auto",
    stream: IO[str] | None = None,
    process: str = "",
) -> None:
    """Set up logging for this process. ``auto`` writes text to a terminal and JSON lines elsewhere.

    ``process`` names the part of the system that this process is; each line says it.
    """
    stream = stream or sys.stderr
    text = style == "text" or (style == "auto" and stream.isatty())
    handler = _handler(stream)
    handler.setFormatter(TextFormatter(process=process) if text else JsonFormatter(process=process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Warnings of libraries quote values of data sets as well.
    warnings.simplefilter("ignore")
    for name in SILENCED:
        library = logging.getLogger(name)
        library.handlers[:] = [logging.NullHandler()]
        library.propagate = False
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == OURS


def _of_a_library(record: logging.LogRecord) -> dict[str, object]:
    """Where a library said something. A message that is not a template may have values in it: then that is all."""
    said: dict[str, object] = {"logger": record.name, "where": f"{record.module}:{record.lineno}"}
    if record.args and isinstance(record.msg, str):
        said["reason"] = record.msg
    return said


def is_json() -> bool:
    """Tell whether this process writes its log as JSON lines."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)


def _handler(stream: IO[str]) -> logging.Handler:
    try:
        stream.fileno()
    except (OSError, ValueError):  # in memory: it takes everything
        return logging.StreamHandler(stream)
    return LineHandler(stream)


def _cut(value: object, longest: int) -> object:
    """Numbers as they are, all else as text of so many characters at most."""
    if isinstance(value, int | float | None):
        return value
    text = str(value)
    return text if len(text) <= longest else f"{text[:longest]}..."


def _plain(value: object) -> str:
    encoded = json.dumps(value, default=str)
    return encoded[1:-1] if isinstance(value, str) and " " not in value else encoded


def _positions(record: logging.LogRecord) -> str:
    trace = record.exc_info[2] if record.exc_info else None
    places = []
    while trace is not None:
        places.append(f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " > ".join(places[-6:])
