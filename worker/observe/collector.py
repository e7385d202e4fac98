"""Python's collector of cyclic garbage, while a process starts and when it ends."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def starting() -> Iterator[None]:
    """Import and build without looking for garbage, and never look among the outcome again.

    What a process starts with lives as long as it does: to search it, while it comes and again at the end, takes a
    third of the time that a process needs to start and end. Children that are forked later share its memory, as nothing
    writes to it. Afterwards the collector is as it was before: on, in every process that serves.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


@contextmanager
def ending() -> Iterator[None]:
    """At the end of what is inside, leave to the system what is left: the interpreter would search all of it."""
    try:
        yield
    finally:
        gc.freeze()
