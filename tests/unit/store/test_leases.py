"""The watch over leases, without any database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from worker.store.database.leases import Held, LeaseWatch, is_due

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = st.floats(-1e6, 1e6)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def held(heartbeat: int = 1, attempt: int = 1, until_s: float = 60) -> Held:
    return Held("job", attempt, heartbeat, NOW + timedelta(seconds=until_s))


@given(jumps=st.lists(SECONDS, max_size=8))
def test_no_wall_clock_takes_a_lease_before_its_duration_was_seen(jumps: list[float]) -> None:
    clock = Clock()
    watch = LeaseWatch(lease_s=60, monotonic=clock)
    for jump in [0.0, *jumps]:
        clock.now += 59.0 / (len(jumps) + 1)
        assert watch.overdue([held()], now=NOW + timedelta(seconds=jump)) == []


@given(jump=SECONDS)
def test_no_wall_clock_keeps_a_dead_lease_beyond_twice_its_duration(jump: float) -> None:
    clock = Clock()
    watch = LeaseWatch(lease_s=60, monotonic=clock)
    watch.overdue([held()], now=NOW)
    clock.now += 120
    assert watch.overdue([held()], now=NOW + timedelta(seconds=jump)) == [held()]


def test_a_heartbeat_or_a_new_attempt_starts_the_watch_again() -> None:
    clock = Clock()
    watch = LeaseWatch(lease_s=60, monotonic=clock)
    late = NOW + timedelta(days=1)
    watch.overdue([held(heartbeat=1)], now=late)
    clock.now += 61
    assert watch.overdue([held(heartbeat=2)], now=late) == []
    clock.now += 61
    assert watch.overdue([held(heartbeat=2, attempt=2)], now=late) == []
    clock.now += 61
    assert watch.overdue([held(heartbeat=2, attempt=2)], now=late) == [held(heartbeat=2, attempt=2)]


def test_what_is_not_held_any_more_is_forgotten() -> None:
    clock = Clock()
    watch = LeaseWatch(lease_s=60, monotonic=clock)
    late = NOW + timedelta(days=1)
    watch.overdue([held()], now=late)
    clock.now += 61
    watch.overdue([], now=late)
    assert watch.overdue([held()], now=late) == []


@given(wait_s=st.floats(0, 1e6), jump_back_s=st.floats(1, 1e6))
def test_due_at_its_time_and_whenever_the_clock_was_set_back(wait_s: float, jump_back_s: float) -> None:
    not_before = NOW + timedelta(seconds=wait_s)
    assert is_due(not_before=not_before, scheduled_at=NOW, now=not_before)
    assert is_due(not_before=not_before, scheduled_at=NOW, now=NOW - timedelta(seconds=jump_back_s))


def test_not_due_before_its_time() -> None:
    assert not is_due(not_before=NOW + timedelta(seconds=5), scheduled_at=NOW, now=NOW + timedelta(seconds=4))
