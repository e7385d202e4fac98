"""How the command line speaks: tables and progress for people, JSON for programs, errors with the next step."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from worker.domain.errors import ConfigurationError, OverreadError, PermanentError, TransientError
from worker.observe import stray_output
from worker.observe.log_queue import takes

log = logging.getLogger(__name__)

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

EXIT_FAILED = 1
EXIT_USAGE = 2
"""What the library of the command line has always used."""
EXIT_DATA = 65
EXIT_UNAVAILABLE = 69
EXIT_DEFECT = 70
EXIT_TEMPORARY = 75
EXIT_CONFIG = 78
"""sysexits.h, so that scripts and service managers can tell the kinds of failure apart."""


def exit_code(error: OverreadError) -> int:
    """The exit code for an error."""
    match error:
        case ConfigurationError():
            return EXIT_CONFIG
        case TransientError():
            return EXIT_TEMPORARY
        case PermanentError():
            return EXIT_DATA
        case _:
            return EXIT_FAILED


def print_error(error: OverreadError) -> None:
    """One line of what is wrong and one of what to do; nothing on a standard error that takes no more."""
    if stray_output.takes_events_only():
        said = {"code": error.code, "reason": error.message, "next_step": error.next_step}
        log.critical("process-failed", extra=said)
        return
    if not takes(sys.stderr, within_s=1.0):
        return
    err.print(f"[bold red]error[/] [dim]({error.code})[/] ", end="")
    err.print(error.message, markup=False)
    if error.next_step:
        err.print("[bold]next[/]  ", end="")
        err.print(error.next_step, markup=False)


def print_json(value: object) -> None:
    """Write a value as JSON to standard output, on one line for each item of a list of records."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def plain(value: object) -> Any:
    """Turn domain values into JSON's: no bytes, no patient."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # What a repr must not show, no output shows.
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.repr}
    return _plain_leaf(value)


def _plain_leaf(value: object) -> Any:
    match value:
        case bytes():
            return None
        case Enum():
            return value.value
        case datetime():
            return value.astimezone(UTC).isoformat()
        case Path():
            return str(value)
        case _:
            return value


_NUMBERS = frozenset({"value", "seconds", "score", "KiB", "attempt", "after"})


def table(title: str, *columns: str) -> Table:
    """A table in the house's style."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold cyan", show_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in _NUMBERS else "left"
        made.add_column(column, justify=justify, overflow="fold")
    return made


def age(then: datetime, now: datetime | None = None) -> str:
    """How long ago, short: 12 s, 3 min, 5 h, 2 d."""
    seconds = max(0.0, ((now or datetime.now(UTC)) - then).total_seconds())
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} d"


@contextmanager
def reporting() -> Iterator[None]:
    """Turn an expected failure into its message and exit code; in a process that has a log, a defect into its event."""
    try:
        yield
    except OverreadError as error:
        print_error(error)
        sys.exit(exit_code(error))
    except Exception:
        if not stray_output.takes_events_only():
            raise
        log.critical("process-defect", exc_info=True)
        sys.exit(EXIT_DEFECT)
