"""Which process the kernel ends when memory runs out (Linux, ``proc_pid_oom_score_adj(5)``)."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)

_FIRST = 1000
"""The highest value: this process is chosen before all others that are not marked so."""


def offer_to_be_killed_first(path: Path = Path("/proc/self/oom_score_adj")) -> None:
    """Have the kernel end this process before any other when memory runs out.

    For children that run models: one that asks for too much must not cost the listener, the broker or the PACS beside
    us their lives. What is killed is taken back by the ledger; a listener is only needed. Where there is no such file
    (not Linux) nothing happens.
    """
    try:
        path.write_text(f"{_FIRST}\n", encoding="ascii")
    except OSError as error:
        log.debug("memory-pressure-unmarked", extra={"error": type(error).__name__})
