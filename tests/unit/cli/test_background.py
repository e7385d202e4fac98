"""Background tasks: each in its own thread, none able to stop another."""

from __future__ import annotations

import threading

import pytest

from worker.cli.background_threads import Background
from worker.domain.errors import TransientError
from worker.wiring.background_work import BackgroundTask


@pytest.mark.timeout(30)
def test_a_chore_that_hangs_holds_up_no_other_and_no_stop() -> None:
    over, ran = threading.Event(), threading.Event()
    with Background([BackgroundTask("dead", lambda: over.wait(60), 0.0), BackgroundTask("alive", ran.set, 0.01)]):
        assert ran.wait(10)
    over.set()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("error", [TransientError("away", code="away"), RuntimeError("a defect")])
def test_a_chore_that_fails_is_tried_again(error: Exception) -> None:
    tries: list[int] = []
    third = threading.Event()

    def step() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise error
        third.set()

    with Background([BackgroundTask("clumsy", step, 0.01)]):
        assert third.wait(10)


@pytest.mark.timeout(30)
def test_the_end_of_the_block_ends_the_tasks() -> None:
    ran = threading.Event()
    threads = set(threading.enumerate())
    with Background([BackgroundTask("one", ran.set, 0.001)]):
        assert ran.wait(10)
    assert set(threading.enumerate()) <= threads  # one that another test left may end meanwhile
