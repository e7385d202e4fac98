"""What the documents say of the source is what the source says."""

from __future__ import annotations

import pytest

from tests.unit.docs.generated import GENERATORS, MEANINGS, entry_names, parts_in, regenerated, state_machine
from tests.unit.docs.markdown import DOCUMENTS
from worker.domain.job import TRANSITIONS, JobState

AGAIN = "run: python -m tests.unit.docs.generated"


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_generated_parts_are_up_to_date(name: str) -> None:
    assert DOCUMENTS[name] == regenerated(DOCUMENTS[name]), AGAIN


def test_every_generated_part_stands_somewhere() -> None:
    assert sorted(part for text in DOCUMENTS.values() for part in parts_in(text)) == sorted(GENERATORS)


def test_architecture_shows_the_state_machine() -> None:
    assert parts_in(DOCUMENTS["docs/architecture.md"])[:1] == ["state-machine"]
    assert state_machine() in DOCUMENTS["docs/architecture.md"]


def test_the_state_machine_says_every_transition() -> None:
    drawn = state_machine()
    for before, followers in TRANSITIONS.items():
        for after in followers:
            if after in {JobState.SUPERSEDED, JobState.CANCELLED}:
                (sentence,) = (
                    line for line in drawn.splitlines() if line.startswith(f"Not drawn: to **{after.value}**")
                )
                assert before.value in sentence.rpartition("from ")[2].rstrip(".").split(", ")
            else:
                assert f"    {before.value.replace('-', '_')} --> {after.value.replace('-', '_')}\n" in drawn


def test_every_entry_of_the_configuration_is_explained() -> None:
    unexplained = [name for name, field in entry_names() if not field.description and name not in MEANINGS]
    assert unexplained == []


def test_no_explanation_is_left_over() -> None:
    described = {name for name, field in entry_names() if not field.description}
    assert set(MEANINGS) <= described
