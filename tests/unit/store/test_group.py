"""Group commit: everybody is told, in the order of coming, and groups grow with the load."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.domain.errors import StoreUnavailableError
from worker.store.custody.group_commit import GroupThread, Ticket


def test_what_waits_is_committed_together_and_everybody_gets_his_own_answer() -> None:
    groups: list[list[int]] = []
    gate = threading.Event()
    entered = threading.Event()

    def handle(group: Sequence[Ticket[int, int]]) -> None:
        if group:
            groups.append([ticket.item for ticket in group])
            entered.set()
            gate.wait(10)
        for ticket in group:
            ticket.succeed(ticket.item * 2)

    thread: GroupThread[int, int] = GroupThread(handle, name="test", idle_s=60, limit=100)
    first = thread.offer(0)
    assert entered.wait(10)
    tickets = [thread.offer(n) for n in range(1, 20)]
    gate.set()
    assert first.wait() == 0
    assert [ticket.wait() for ticket in tickets] == [n * 2 for n in range(1, 20)]
    assert groups == [[0], list(range(1, 20))]
    thread.close()


def test_a_limit_splits_a_group() -> None:
    sizes: list[int] = []
    gate = threading.Event()

    def handle(group: Sequence[Ticket[int, int]]) -> None:
        gate.wait(10)
        sizes.append(len(group))
        for ticket in group:
            ticket.succeed(0)

    thread: GroupThread[int, int] = GroupThread(handle, name="test", idle_s=60, limit=4)
    tickets = [thread.offer(n) for n in range(10)]
    gate.set()
    for ticket in tickets:
        ticket.wait()
    thread.close()
    assert sum(sizes) == 10
    assert max(sizes) == 4


def test_an_error_reaches_exactly_those_it_concerns() -> None:
    def handle(group: Sequence[Ticket[int, int]]) -> None:
        for ticket in group:
            if ticket.item % 2:
                ticket.fail(ValueError(ticket.item))
            else:
                ticket.succeed(ticket.item)

    thread: GroupThread[int, int] = GroupThread(handle, name="test", idle_s=60, limit=4)
    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(lambda n=n: thread.offer(n).wait()) for n in range(16)]
    for n, future in enumerate(futures):
        if n % 2:
            with pytest.raises(ValueError, match=str(n)):
                future.result()
        else:
            assert future.result() == n
    thread.close()


def a_gated_thread(gate: threading.Event, done: list[int]) -> GroupThread[int, int]:
    """One that handles a ticket at a time, each behind the gate."""

    def handle(group: Sequence[Ticket[int, int]]) -> None:
        gate.wait(10)
        for ticket in group:
            done.append(ticket.item)
            ticket.succeed(0)

    return GroupThread(handle, name="test", idle_s=60, limit=1)


def test_closing_commits_what_waits() -> None:
    done: list[int] = []
    gate = threading.Event()

    thread = a_gated_thread(gate, done)
    for n in range(5):
        thread.offer(n)
    closer = threading.Thread(target=thread.close)
    closer.start()
    gate.set()
    closer.join(10)
    assert done == [0, 1, 2, 3, 4]
    with pytest.raises(StoreUnavailableError):
        thread.offer(6)


@pytest.mark.parametrize("error", [ValueError, MemoryError])
def test_what_a_group_meets_costs_that_group_alone(error: type[Exception]) -> None:
    def handle(group: Sequence[Ticket[int, int]]) -> None:
        for ticket in group:
            if ticket.item == 0:
                raise error
            ticket.succeed(ticket.item)

    thread: GroupThread[int, int] = GroupThread(handle, name="test", idle_s=60, limit=1)
    with pytest.raises(StoreUnavailableError):
        thread.offer(0).wait()
    assert thread.offer(1).wait() == 1
    thread.close()


def test_what_is_left_unsettled_is_told_so() -> None:
    thread: GroupThread[int, int] = GroupThread(lambda _: None, name="test", idle_s=60, limit=9)
    with pytest.raises(StoreUnavailableError):
        thread.offer(1).wait()
    thread.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whoever_waits_for_a_thread_that_dies_is_told_so() -> None:
    entered, gate = threading.Event(), threading.Event()

    def handle(group: Sequence[Ticket[int, int]]) -> None:
        if group:
            entered.set()
            gate.wait(10)
            raise SystemExit

    thread: GroupThread[int, int] = GroupThread(handle, name="test", idle_s=60, limit=1)
    first = thread.offer(1)
    assert entered.wait(10)
    second = thread.offer(2)
    gate.set()
    for ticket in (first, second):
        with pytest.raises(StoreUnavailableError):
            ticket.wait()
    with pytest.raises(StoreUnavailableError):
        thread.offer(3)


def test_a_wait_has_an_end_and_what_nobody_waits_for_is_not_committed() -> None:
    done: list[int] = []
    gate = threading.Event()

    thread = a_gated_thread(gate, done)
    thread.offer(1)
    with pytest.raises(StoreUnavailableError):
        thread.offer(2).wait(0.01)
    gate.set()
    thread.offer(3).wait()
    assert done == [1, 3]
    thread.close()


def test_idle_is_noticed() -> None:
    idle = threading.Event()

    def handle(group: Sequence[Ticket[int, int]]) -> None:
        if not group:
            idle.set()

    thread: GroupThread[int, int] = GroupThread(handle, name="test", idle_s=0.01, limit=1)
    assert idle.wait(10)
    thread.close()
