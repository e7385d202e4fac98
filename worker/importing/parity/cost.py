"""What a run costs: seconds, and the highest memory of this process above what it held before."""

from __future__ import annotations

import ctypes
import gc
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_PEAK_OF_MEMORY = "5"
"""What Linux wants to hear in clear_refs so that VmHWM begins anew (proc_pid_clear_refs(5))."""


@dataclass(frozen=True, slots=True)
class Cost:
    """``peak_mb`` is None where the system does not tell (it is Linux that does)."""

    seconds: float
    peak_mb: int | None


def measured(function: Callable[[], T]) -> tuple[T, Cost]:
    """What a function returns, and what it cost. Memory that it shares with what ran before is not counted."""
    gc.collect()
    _give_back()
    before = _begin()
    began = time.perf_counter()
    found = function()
    seconds = time.perf_counter() - began
    peak = None if before is None else max(0, _kilobytes("VmHWM") - before)
    return found, Cost(round(seconds, 2), None if peak is None else peak // 1024)


def _give_back() -> None:
    """Let the C library return what it holds unused (malloc_trim(3)): else a second run seems to need nothing."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _begin() -> int | None:
    """Let the peak begin at what is held now, and return that in kB."""
    try:
        _RESET.write_text(_PEAK_OF_MEMORY, encoding="ascii")
        return _kilobytes("VmRSS")
    except OSError:
        return None


def _kilobytes(key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB$", _STATUS.read_text(encoding="ascii"), flags=re.MULTILINE)
    if found is None:
        raise OSError(f"{_STATUS} has no {key}")
    return int(found[1])
