"""Models of several inputs: a series for each, never one twice, all or nothing, and the reasons."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.pipeline.fakes import MODEL, a_series
from worker.domain.routing import BoundRule, Decision, FurtherInput, Matches, OneOf, Preference, Rule, Timing
from worker.domain.study import Digest, SeriesInstanceUID, SeriesSummary
from worker.pipeline import selection
from worker.pipeline.route import analysis_key, plan
from worker.pipeline.sweep import Sweeper

CONFIG = Digest("cd" * 32)
MR = OneOf("Modality", ("MR",))
BRAIN = Rule(
    "brain",
    "tumour",
    (MR, Matches("SeriesDescription", "t1")),
    input="t1",
    further=(
        FurtherInput("t2", (MR, Matches("SeriesDescription", "t2"))),
        FurtherInput(
            "flair",
            (MR, Matches("SeriesDescription", "flair|dark fluid")),
            preferences=(Preference(Matches("SeriesDescription", "3d"), 5.0),),
        ),
    ),
)


def mr(uid: str, description: str, **changes: object) -> SeriesSummary:
    return a_series(uid, attributes={"Modality": "MR", "SeriesDescription": description}, **changes)  # type: ignore[arg-type]


T1, T2, FLAIR = mr("2.25.11", "t1 mprage"), mr("2.25.12", "t2 tse"), mr("2.25.13", "flair")


def of(decisions: tuple[Decision, ...], name: str, series: SeriesSummary) -> Decision:
    (found,) = [d for d in decisions if d.input == name and d.series_instance_uid == series.series_instance_uid]
    return found


def chosen(decisions: tuple[Decision, ...]) -> dict[str, str]:
    return {one.input: one.series_instance_uid for one in decisions if one.chosen}


def test_each_input_gets_its_series_and_one_run_is_planned() -> None:
    found = selection.select([BRAIN], [FLAIR, T2, T1])
    assert chosen(found.decisions) == {"t1": "2.25.11", "t2": "2.25.12", "flair": "2.25.13"}
    (choice,) = found.choices
    assert choice.series == (T1, T2, FLAIR), "in the order of the model's inputs, whatever the study's"
    assert len(found.decisions) == 9, "one for each pair of input and series"
    assert all("SeriesDescription" in one.reasons[0] for one in found.decisions if not one.chosen)


def test_the_best_series_of_each_input_is_chosen_and_the_others_are_told_why() -> None:
    better = mr("2.25.14", "3d flair")
    found = selection.decide([BRAIN], [T1, T2, FLAIR, better])
    assert chosen(found)["flair"] == better.series_instance_uid
    other = of(found, "flair", FLAIR)
    assert other.score == 0.0
    assert other.reasons == ("Another series fits better: series 2.25.14 scores 5, this one 0.",)


@pytest.mark.parametrize(("there", "missing"), [([T1, T2], '"flair"'), ([T2, FLAIR], '"t1"'), ([T1], '"t2", "flair"')])
def test_nothing_is_chosen_when_an_input_is_missing_and_the_reason_names_it(
    there: list[SeriesSummary], missing: str
) -> None:
    decisions, planned = plan([BoundRule(BRAIN, MODEL)], there, config_digest=CONFIG)
    assert planned == ()
    assert chosen(decisions) == {}
    candidates = [one for one in decisions if one.score is not None]
    assert len(candidates) == len(there)
    for one in candidates:
        assert one.reasons[-1].startswith("The model needs other series too, and none is fit for input")
        assert missing in one.reasons[-1]


def test_no_series_is_two_inputs() -> None:
    both = mr("2.25.20", "t1 and t2")
    assert chosen(selection.decide([BRAIN], [both, FLAIR])) == {}
    found = selection.decide([BRAIN], [both, T2, FLAIR])
    assert chosen(found) == {"t1": "2.25.20", "t2": "2.25.12", "flair": "2.25.13"}
    assert of(found, "t2", both).reasons == ('It is the series for input "t1".',)
    (lack,) = {one.reasons[-1] for one in selection.decide([BRAIN], [both, FLAIR]) if one.score is not None}
    assert lack == 'The inputs "t1", "t2", "flair" need a series each, and fewer are fit for them.'


def test_the_reference_leaves_a_series_to_the_input_that_has_no_other() -> None:
    both = mr("2.25.20", "t1 and t2", slice_spacing_mm=0.5)
    found = selection.decide([BRAIN], [both, T1, FLAIR])
    assert chosen(found) == {"t1": "2.25.11", "t2": "2.25.20", "flair": "2.25.13"}


def test_derived_series_are_excluded_for_each_input_by_its_own_word() -> None:
    derived = a_series(
        "2.25.12",
        attributes={"Modality": "MR", "SeriesDescription": "t2", "ImageType": "DERIVED\\SECONDARY"},
    )
    assert chosen(selection.decide([BRAIN], [T1, derived, FLAIR])) == {}
    allowed = replace(BRAIN, further=(replace(BRAIN.further[0], allow_derived=True), BRAIN.further[1]))
    assert chosen(selection.decide([allowed], [T1, derived, FLAIR]))["t2"] == "2.25.12"


uids = st.lists(st.sampled_from([SeriesInstanceUID(f"2.25.{n}") for n in range(6)]), unique=True, max_size=6)
ranked = st.lists(uids, min_size=1, max_size=4)


@given(ranked)
def test_the_assignment_is_the_first_of_all_in_the_order_of_preference(
    candidates: list[list[SeriesInstanceUID]],
) -> None:
    every = [one for one in itertools.product(*candidates) if len(set(one)) == len(one)]
    assert selection.assign(candidates) == (every[0] if every else ())


@given(ranked, st.integers(0, 5))
def test_a_series_that_is_not_chosen_changes_no_choice(candidates: list[list[SeriesInstanceUID]], gone: int) -> None:
    """So the same series never change places because another one came late."""
    given_ = selection.assign(candidates)
    left = SeriesInstanceUID(f"2.25.{gone}")
    if given_ and left not in given_:
        assert selection.assign([[uid for uid in one if uid != left] for one in candidates]) == given_


def test_many_inputs_that_cannot_all_be_filled_are_told_at_once() -> None:
    few = [SeriesInstanceUID(f"2.25.{n}") for n in range(15)]
    assert selection.assign([few] * 16) == ()


def test_the_evidence_is_that_of_every_input_in_their_order() -> None:
    _, (planned,) = plan([BoundRule(BRAIN, MODEL)], [FLAIR, T2, T1], config_digest=CONFIG)
    series = [one.header.series_instance_uid for one in planned.evidence]
    assert series == ["2.25.11"] * 3 + ["2.25.12"] * 3 + ["2.25.13"] * 3


def test_the_same_series_in_each_others_place_are_other_work() -> None:
    first, second = (tuple(h.instance for h in one.headers) for one in (T1, T2))
    assert analysis_key((*first, *second), MODEL, CONFIG) != analysis_key((*second, *first), MODEL, CONFIG)
    assert analysis_key(first, MODEL, CONFIG) == analysis_key(first[::-1], MODEL, CONFIG)


def test_the_key_of_one_input_is_what_it_always_was() -> None:
    """Ledgers have it stored: another one would have every study analysed again."""
    instances = tuple(header.instance for header in a_series().headers)
    assert analysis_key(instances, MODEL, CONFIG) == KEY_OF_ONE


KEY_OF_ONE = "f66c821b358ed59364e2060381e9ce01d63b3c7f44b8cb956b31e4e1eeae6911"


def test_the_patience_of_a_rule_holds_as_soon_as_one_of_its_inputs_arrives() -> None:
    slow = Timing(quiet_s=300.0)
    fusion = Rule(
        "fusion",
        "pet",
        (OneOf("Modality", ("CT",)),),
        input="ct",
        further=(FurtherInput("pet", (OneOf("Modality", ("PT",)),)),),
        timing=slow,
    )
    sweeper = Sweeper(None, None, Timing(), [fusion])  # type: ignore[arg-type]
    assert [sweeper.timing_for((m,)) == slow for m in ("CT", "PT", "MR")] == [True, True, False]
