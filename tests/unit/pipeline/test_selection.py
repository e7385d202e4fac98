from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.pipeline.fakes import MODEL, a_series
from worker.domain.routing import (
    Between,
    BoundRule,
    Condition,
    Matches,
    MatchesNot,
    NoneOf,
    OneOf,
    Preference,
    Present,
    Rule,
)
from worker.domain.study import Digest, SetAside
from worker.pipeline import selection
from worker.pipeline.route import analysis_key, plan

CHEST = Rule("chest", "lungs", (OneOf("Modality", ("CT",)), Between("slice_count", 20)))


@pytest.mark.parametrize(
    ("condition", "attributes", "passes"),
    [
        (OneOf("Modality", ("ct",)), {}, True),
        (OneOf("BodyPartExamined", ("CHEST", "THORAX")), {"BodyPartExamined": "chest"}, True),
        (OneOf("BodyPartExamined", ("CHEST",)), {}, False),
        (NoneOf("BodyPartExamined", ("HEAD",)), {}, True),
        (NoneOf("BodyPartExamined", ("HEAD",)), {"BodyPartExamined": "Head"}, False),
        (Matches("SeriesDescription", r"\blung\b"), {"SeriesDescription": "1.0 Lung B70f"}, True),
        (Matches("SeriesDescription", r"\blung\b"), {"SeriesDescription": "abdomen"}, False),
        (MatchesNot("SeriesDescription", "mip"), {"SeriesDescription": "MIP cor"}, False),
        (MatchesNot("SeriesDescription", "mip"), {}, True),
        (Between("KVP", 70, 140), {"KVP": "120"}, True),
        (Between("KVP", 70, 140), {"KVP": "abc"}, False),
        (Between("KVP", 70, 140), {}, False),
        (Between("KVP", None, 140), {"KVP": "80\\150"}, False),
        (Between("KVP", 70), {"KVP": "nan"}, False),
        (Present("ContrastBolusAgent"), {"ContrastBolusAgent": "APPLIED"}, True),
        (Present("ContrastBolusAgent"), {"ContrastBolusAgent": ""}, False),
        (Between("slice_spacing_mm", 1, 3), {}, True),
        (OneOf("orientation", ("sagittal",)), {}, False),
    ],
)
def test_conditions(condition: Condition, attributes: dict[str, str], passes: bool) -> None:
    passed, reason = selection.test(condition, a_series(attributes=attributes))
    assert passed is passes
    assert condition.attribute in reason


@pytest.mark.parametrize(
    ("attributes", "word"),
    [
        ({"ImageType": "ORIGINAL\\PRIMARY\\LOCALIZER"}, "localizer"),
        ({"SeriesDescription": "Topogram 0.6 T20f"}, "localizer"),
        ({"ImageType": "DERIVED\\SECONDARY\\MPR"}, "derived"),
        ({"PatientName": "QA^PHANTOM"}, "phantom"),
        ({"QualityControlSubject": "YES"}, "phantom"),
        ({"BurnedInAnnotation": "YES"}, "burned"),
        ({"ConversionType": "WSD"}, "secondary capture"),
    ],
)
def test_excluded_by_default_and_allowed_on_request(attributes: dict[str, str], word: str) -> None:
    series = a_series(attributes=attributes)
    (reason,) = selection.refusals(CHEST, series)
    assert word in reason
    every = Rule(
        "all", "lungs", CHEST.conditions,
        allow_localizer=True, allow_derived=True, allow_phantom=True, allow_burned_in=True,
    )  # fmt: skip
    assert selection.refusals(every, series) == ()


@pytest.mark.parametrize("modality", ["CR", "DX", "MG", "XA", "US"])
def test_what_a_detector_derives_for_presentation_is_what_there_is_to_read(modality: str) -> None:
    rule = Rule("r", "lungs", (OneOf("Modality", (modality,)),))
    shown = a_series(attributes={"Modality": modality, "ImageType": "DERIVED\\PRIMARY"})
    assert selection.refusals(rule, shown) == ()
    screen = a_series(attributes={"Modality": modality, "ImageType": "DERIVED\\SECONDARY"})
    (reason,) = selection.refusals(rule, screen)
    assert "derived" in reason


def test_a_name_that_only_contains_the_letters_is_no_phantom() -> None:
    assert selection.refusals(CHEST, a_series(attributes={"PatientName": "Qadir^Aqaba"})) == ()


def test_no_reason_repeats_who_the_patient_is() -> None:
    rule = Rule("r", "lungs", (Matches("PatientName", "^Smith"), OneOf("PatientID", ("4711",))))
    series = a_series(attributes={"PatientName": "Doe^Jane", "PatientID": "0815"})
    text = " ".join(selection.refusals(rule, series))
    assert "Doe" not in text
    assert "0815" not in text
    assert text.count("present (not shown)") == 2


def test_the_best_series_is_chosen_and_the_others_are_told_why() -> None:
    soft = Preference(Matches("SeriesDescription", "soft"), 2.0)
    rule = Rule("chest", "lungs", CHEST.conditions, preferences=(soft,))
    thin = a_series("2.25.10", attributes={"SeriesDescription": "bone"}, slice_spacing_mm=1.0)
    fits = a_series("2.25.11", attributes={"SeriesDescription": "soft"}, slice_spacing_mm=5.0)
    few = a_series("2.25.12", slice_count=3)
    decisions = {d.series_instance_uid: d for d in selection.decide([rule], [thin, fits, few])}
    assert decisions[fits.series_instance_uid].chosen
    assert decisions[fits.series_instance_uid].score == 2.0
    assert not decisions[thin.series_instance_uid].chosen
    assert "series 2.25.11 scores 2, this one 0" in " ".join(decisions[thin.series_instance_uid].reasons)
    assert 'slice_count is "3", not within at least 20.' in decisions[few.series_instance_uid].reasons


def test_what_was_set_aside_decides_nothing_and_is_named_in_every_decision() -> None:
    whole = a_series(count=3)
    scout = replace(
        whole.headers[2],
        attributes={"ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER"), "BurnedInAnnotation": ("YES",)},
    )
    uid = scout.instance.sop_instance_uid
    series = replace(whole, headers=(*whole.headers[:2], scout), aside=(SetAside(uid, "a localizer (ImageType)"),))
    (decision,) = selection.decide([CHEST], [series])
    assert decision.chosen
    assert decision.reasons[-1] == f"1 object of the series was set aside: a localizer (ImageType) ({uid})."
    _, (planned,) = plan([BoundRule(CHEST, MODEL)], [series], config_digest=Digest("c" * 64))
    assert len(planned.evidence) == 3  # who the patient is, it has to agree on


@given(order=st.permutations(range(5)))
def test_the_choice_does_not_depend_on_arrival_order(order: list[int]) -> None:
    series = [a_series(f"2.25.{20 + n}", slice_spacing_mm=2.0 if n else 3.0) for n in range(5)]
    decisions = selection.decide([CHEST], [series[n] for n in order])
    (chosen,) = [d.series_instance_uid for d in decisions if d.chosen]
    assert chosen == "2.25.21"


def test_a_plan_has_exactly_the_instances_of_the_chosen_series() -> None:
    chosen, other = a_series("2.25.10"), a_series("2.25.11", slice_count=3)
    _, (planned,) = plan([BoundRule(CHEST, MODEL)], [chosen, other], config_digest=Digest("c" * 64))
    assert {one.header.series_instance_uid for one in planned.evidence} == {"2.25.10"}
    assert len(planned.evidence) == 3


def test_the_key_of_work_depends_on_evidence_model_and_configuration_only() -> None:
    one = tuple(h.instance for h in a_series("2.25.10", count=2).headers)
    key = analysis_key(one, MODEL, Digest("c" * 64))
    assert key == analysis_key(tuple(reversed(one)), MODEL, Digest("c" * 64))
    assert key != analysis_key(one[:1], MODEL, Digest("c" * 64))
    assert key != analysis_key(one, MODEL, Digest("d" * 64))


def test_two_rules_with_the_same_choice_make_one_analysis() -> None:
    twin = Rule("twin", "lungs", CHEST.conditions)
    decisions, planned = plan(
        [BoundRule(CHEST, MODEL), BoundRule(twin, MODEL)], [a_series()], config_digest=Digest("c" * 64)
    )
    assert len(decisions) == 2
    assert len(planned) == 1
