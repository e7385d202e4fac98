"""The table of C-STORE statuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.store_status import STATUS_TABLE, Verdict, described, meaning_of


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, Verdict.STORED),
        (0x0111, Verdict.STORED),
        (0xB000, Verdict.STORED),
        (0xB006, Verdict.STORED),
        (0xB007, Verdict.STORED),
        (0xBFFF, Verdict.STORED),
        (0xA700, Verdict.TRANSIENT),
        (0xA7FF, Verdict.TRANSIENT),
        (0x0110, Verdict.TRANSIENT),
        (0x0213, Verdict.TRANSIENT),
        (0xA900, Verdict.PERMANENT),
        (0xA9FF, Verdict.PERMANENT),
        (0xC000, Verdict.PERMANENT),
        (0xCFFF, Verdict.PERMANENT),
        (0x0122, Verdict.PERMANENT),
        (0x0124, Verdict.PERMANENT),
        (0xA800, Verdict.PERMANENT),
        (0x1234, Verdict.PERMANENT),
    ],
)
def test_verdict(status: int, verdict: Verdict) -> None:
    assert meaning_of(status).verdict is verdict


@given(st.integers(min_value=0, max_value=0xFFFF))
def test_every_status_has_a_verdict_and_only_success_and_warnings_count_as_stored(status: int) -> None:
    meaning = meaning_of(status)
    assert meaning.first <= status <= meaning.last
    if meaning.verdict is Verdict.STORED:
        assert status in {0x0000, 0x0001, 0x0107, 0x0111, 0x0116} or 0xB000 <= status <= 0xBFFF


def test_no_line_of_the_table_is_dead() -> None:
    for index, line in enumerate(STATUS_TABLE):
        assert any(meaning_of(status) is line for status in range(line.first, line.last + 1)), index


def test_description_has_the_number_and_the_words() -> None:
    assert described(0xA700) == "0xA700 refused: out of resources"
