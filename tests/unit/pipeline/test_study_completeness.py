from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.pipeline.fakes import NOW, FakePublisher, FakeSweepable
from worker.domain.job import JobId, JobKind
from worker.domain.routing import OneOf, Rule, Timing
from worker.domain.study import StudyInstanceUID
from worker.domain.work import DueWork, StudyActivity
from worker.pipeline.study_completeness import judge, most_patient
from worker.pipeline.sweep import Sweeper

TIMING = Timing(quiet_after_release_s=3, quiet_s=15, gap_factor=5, longest_quiet_s=120, maximum_wait_s=1800)


def activity(*, quiet_s: float, gap_s: float = 0.1, open_associations: int = 0, waited_s: float = 60) -> StudyActivity:
    return StudyActivity(
        job_id=JobId("job-1"),
        study_instance_uid=StudyInstanceUID("2.25.1"),
        modalities=("CT",),
        instance_count=10,
        first_received_at=NOW - timedelta(seconds=max(waited_s, quiet_s)),
        last_received_at=NOW - timedelta(seconds=quiet_s),
        largest_gap_s=gap_s,
        open_associations=open_associations,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("quiet_s", "gap_s", "open_associations", "ready"),
    [
        (2.9, 0.1, 0, False),
        (3.0, 0.1, 0, True),
        (14.9, 0.1, 1, False),
        (15.0, 0.1, 1, True),
        (9.0, 2.0, 0, False),  # a slow sender: five times its longest pause of two seconds
        (10.0, 2.0, 0, True),
        (119.0, 60.0, 0, False),  # but never more than the longest quiet
        (120.0, 60.0, 0, True),
    ],
)
def test_quiet_needed_follows_release_and_pace(
    quiet_s: float, gap_s: float, open_associations: int, ready: bool
) -> None:
    verdict = judge(activity(quiet_s=quiet_s, gap_s=gap_s, open_associations=open_associations), TIMING)
    assert verdict.ready is ready


def test_maximum_wait_ends_a_sender_that_never_pauses() -> None:
    verdict = judge(activity(quiet_s=0.1, open_associations=1, waited_s=1800), TIMING)
    assert verdict.ready
    assert "maximum wait" in verdict.reason


def test_a_clock_that_went_backwards_only_waits() -> None:
    future = replace(activity(quiet_s=0), last_received_at=NOW + timedelta(days=1))
    assert not judge(future, TIMING).ready


@given(gap_s=st.floats(0, 1e4), open_associations=st.integers(0, 3))
def test_every_study_becomes_ready_within_the_longest_quiet(gap_s: float, open_associations: int) -> None:
    quiet_s = max(TIMING.longest_quiet_s, TIMING.quiet_s)
    assert judge(activity(quiet_s=quiet_s, gap_s=gap_s, open_associations=open_associations), TIMING).ready


def test_the_most_patient_rule_wins() -> None:
    both = most_patient([Timing(quiet_s=5, maximum_wait_s=10), Timing(quiet_s=1, maximum_wait_s=100)])
    assert (both.quiet_s, both.maximum_wait_s) == (5, 100)


def test_a_rule_of_another_modality_does_not_delay_a_study() -> None:
    slow = Rule("mr", "brain", (OneOf("Modality", ("MR",)),), timing=Timing(quiet_after_release_s=600))
    sweeper = Sweeper(FakeSweepable((activity(quiet_s=4),)), FakePublisher(), TIMING, [slow])
    assert sweeper.sweep().completed == 1
    slow_ct = replace(slow, conditions=(OneOf("Modality", ("CT",)),))
    assert Sweeper(FakeSweepable((activity(quiet_s=4),)), FakePublisher(), TIMING, [slow_ct]).sweep().completed == 0


def test_a_broker_that_is_away_stops_only_the_ringing() -> None:
    due = DueWork(JobId("job-1"), None, JobKind.ROUTE, "route", 5)
    ledger = FakeSweepable((activity(quiet_s=4),), (due,))
    swept = Sweeper(ledger, FakePublisher(away=True), TIMING, []).sweep()
    assert (swept.completed, swept.published, swept.broker_away) == (1, 0, True)
    assert ledger.unrung == [due]
    publisher = FakePublisher()
    assert Sweeper(ledger, publisher, TIMING, []).sweep().published == 1
    assert publisher.published == [due]


@pytest.mark.parametrize(
    ("lives", "forgotten"),
    [
        (("a", "a", "a"), 1),  # our own start
        (("a", "a", "b", "b"), 2),  # the broker's
        (("a", "", "a"), 1),  # it was away, and remembers
        (("", "", "a", "a"), 2),  # nobody knows what it remembers
        (("", "", ""), 1),  # a broker that does not tell
    ],
)
def test_a_broker_that_began_anew_is_rung_at_once_for_all_that_waits(lives: Sequence[str], forgotten: int) -> None:
    told = iter(lives)
    ledger = FakeSweepable()
    sweeper = Sweeper(ledger, FakePublisher(), TIMING, [], broker_incarnation=lambda: next(told))
    for _ in lives:
        sweeper.sweep()
    assert ledger.rings_forgotten == forgotten


def test_what_a_dead_worker_held_is_taken_back_once_its_parent_could_say_why() -> None:
    now = [0.0]
    ledger = FakeSweepable(held=("here:1", "here:2"))
    sweeper = Sweeper(
        ledger, FakePublisher(), TIMING, [], is_dead=lambda worker: worker == "here:1", clock=lambda: now[0]
    )
    assert sweeper.sweep().taken_back == 0
    now[0] = 8.0
    assert sweeper.sweep().taken_back == 1
    assert ledger.held == ("here:2",)


@pytest.mark.parametrize(
    ("sound", "mended"),
    [
        (("ab", "ab", "ab"), [True, False, False]),  # our own start
        (("ab", "a", "a"), [True, False, False]),  # one broke
        (("a", "a", "ab"), [True, False, True]),  # it was mended
        (("ab", "a", "ac"), [True, False, True]),  # another version is in its place
        (("", "", ""), [True, False, False]),
    ],
)
def test_what_waits_for_a_model_is_let_go_when_one_is_mended(sound: Sequence[str], mended: list[bool]) -> None:
    told = iter(sound)
    ledger = FakeSweepable()
    sweeper = Sweeper(ledger, FakePublisher(), TIMING, [], models=lambda: frozenset(next(told)), clock=lambda: 0.0)
    for _ in sound:
        sweeper.sweep()
    assert ledger.released == mended


def test_it_is_let_go_once_more_for_what_had_looked_before_it_was_mended() -> None:
    now = [0.0]
    ledger = FakeSweepable()
    sweeper = Sweeper(ledger, FakePublisher(), TIMING, [], models=lambda: frozenset("a"), clock=lambda: now[0])
    for second in (0.0, 1.0, 8.0, 9.0, 20.0):
        now[0] = second
        sweeper.sweep()
    assert ledger.released == [True, False, True, False, False]
