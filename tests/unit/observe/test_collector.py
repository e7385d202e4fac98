"""The collector of garbage is off while a process starts, and on in every process that serves."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from worker.observe import collector


@pytest.fixture(autouse=True)
def _nothing_stays_frozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_it_is_off_while_a_process_starts_and_never_looks_at_the_outcome() -> None:
    before = gc.get_freeze_count()
    with collector.starting():
        assert not gc.isenabled()
        loaded: list[list[int]] = [[] for _ in range(10)]
    assert gc.isenabled()
    assert gc.get_freeze_count() > before
    assert not any(one is loaded for one in gc.get_objects())


def test_it_is_on_again_when_a_start_fails() -> None:
    with pytest.raises(OSError, match="no"), collector.starting():
        raise OSError("no")
    assert gc.isenabled()


def test_a_start_inside_of_a_start_leaves_it_off() -> None:
    with collector.starting():
        with collector.starting():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_a_process_leaves_at_its_end_is_said_and_written_all_the_same() -> None:
    program = """
import atexit, sys
from worker.observe import collector

atexit.register(print, "last words")
with collector.ending():
    sys.exit(3)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "last words\n")
