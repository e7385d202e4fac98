from __future__ import annotations

from worker.domain.job import TRANSITIONS, UNFINISHED, JobState


def test_every_state_has_its_line() -> None:
    assert set(TRANSITIONS) == set(JobState)


def test_every_unfinished_state_can_reach_an_end() -> None:
    ends = {state for state in JobState if state not in UNFINISHED}
    for start in UNFINISHED:
        seen, todo = {start}, [start]
        while todo:
            for after in TRANSITIONS[todo.pop()] - seen:
                seen.add(after)
                todo.append(after)
        assert seen & ends, start


def test_nothing_comes_back_from_a_final_end() -> None:
    for state in (JobState.SUPERSEDED, JobState.CANCELLED, JobState.ROUTED, JobState.NO_MODEL_APPLIES):
        assert TRANSITIONS[state] == frozenset()
