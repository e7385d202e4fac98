"""Statements that a series was not analysed: a valid draft for those who want it, on the right patient, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from pydicom.dataset import Dataset

from tests import builders
from tests.unit.results import given, reading
from worker.domain.errors import IdentityError, PermanentError
from worker.domain.findings import Refusal
from worker.domain.profile import OHIF, PLAIN, Profile
from worker.domain.result import Predecessor, ResultKind, Withdrawal
from worker.domain.study import SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from worker.gate.result_gate import ResultGate
from worker.results.encoder import DicomEncoder

TOLD = replace(OHIF, name="told", refusals=True)
PROFILES = {"pacs": TOLD, "viewer": OHIF, "other": replace(PLAIN, refusals=True)}
REASON = "The series has 3 slices; at least 20 are needed."


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> given.Study:
    return given.a_study(tmp_path_factory.mktemp("study"))


def a_refusal(study: given.Study, **changes: str) -> Refusal:
    refusal = Refusal(given.ALGORITHM, study.volume.series_instance_uid, "CT", "too-few-slices", REASON)
    return replace(refusal, **changes)  # type: ignore[arg-type]


def refused(study: given.Study, context=given.CONTEXT, standard: Profile = TOLD, refusal: Refusal | None = None):
    refusal = refusal or a_refusal(study)
    objects = DicomEncoder(standard=standard, profiles=PROFILES).refuse(refusal, study.evidence, context)
    return objects, gate(objects, study, refusal, context, standard)


def gate(objects, study, refusal=None, context=given.CONTEXT, standard: Profile = TOLD):
    gate_ = ResultGate(standard=standard, profiles=PROFILES)
    return gate_.check_refusal(objects, refusal or a_refusal(study), study.evidence, context)


def test_the_reason_is_said(study) -> None:
    (item,), report = refused(study)
    assert report.passed, report.failures
    ds = reading.dataset(item)
    said = [str(i.TextValue) for i in reading.items(ds) if i.ValueType == "TEXT"]
    assert f"Not analysed, because: {REASON}" in said
    assert "Code: too-few-slices" in said
    assert any(words.startswith("AI DRAFT, not verified") for words in said)
    assert not [i for i in reading.items(ds) if i.ValueType == "IMAGE"]
    assert ds.SeriesDescription == "AI DRAFT not analysed: Lungs and airways, chest CT"
    assert (ds.PatientName, ds.PatientID) == ("Example^Ada", "OR-0001")
    assert (ds.VerificationFlag, ds.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    (series,) = ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert len(series.ReferencedSOPSequence) == len(study.evidence)


def test_a_repeat_gives_the_same_bytes_whatever_the_order(study) -> None:
    (first,), _ = refused(study)
    (again,), _ = refused(replace(study, evidence=study.evidence[::-1]))
    assert again.content == first.content


def test_only_those_who_want_it_are_told(study) -> None:
    assert refused(study, standard=OHIF)[0] == ()
    context = replace(given.CONTEXT, destinations=("viewer", "pacs", "other"))
    objects, report = refused(study, context)
    assert report.passed, report.failures
    assert [item.destinations for item in objects] == [("pacs",), ("other",)]
    assert len({item.sop_instance_uid for item in objects}) == 2


def test_it_is_no_result_of_the_same_evidence(study) -> None:
    (item,), _ = refused(study, standard=replace(OHIF, refusals=True))
    results = DicomEncoder().encode(given.a_conclusion(study.volume, absent=("X",)), study.evidence, given.CONTEXT)
    assert not {item.sop_instance_uid, item.series_instance_uid} & {
        uid for one in results for uid in (one.sop_instance_uid, one.series_instance_uid)
    }


def test_what_it_replaces_is_named_and_withdrawn(study) -> None:
    old = Predecessor(
        ResultKind.SR, SeriesInstanceUID("1.2.3"), SOPClassUID("1.2.840.10008.5.1.4.1.1.88.34"),
        SOPInstanceUID("1.2.3.4"),
    )  # fmt: skip
    context = replace(given.CONTEXT, revision=2, predecessors=(old,), withdrawals=(Withdrawal((), (old,)),))
    objects, report = refused(study, context)
    assert report.passed, report.failures
    assert [item.kind for item in objects] == [ResultKind.SR, ResultKind.KOS]
    assert "PredecessorDocumentsSequence" in reading.dataset(objects[0])


def test_only_the_refused_series_is_evidence(tmp_path) -> None:
    one = given.a_study(tmp_path / "a", series="one")
    other = given.a_study(tmp_path / "b", series="two")
    both = replace(one, evidence=(*one.evidence, *other.evidence))
    (item,), report = refused(both, refusal=a_refusal(other))
    assert report.passed, report.failures
    (series,) = reading.dataset(item).CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert series.SeriesInstanceUID == other.volume.series_instance_uid


def test_no_statement_without_a_patient_or_a_reason(tmp_path, study) -> None:
    two = given.a_study(tmp_path / "b", patient=builders.BEN)
    mixed = replace(study, evidence=(study.evidence[0], two.evidence[1]))
    same = replace(two.evidence[1].header, series_instance_uid=study.volume.series_instance_uid)
    mixed = replace(mixed, evidence=(study.evidence[0], replace(two.evidence[1], header=same)))
    with pytest.raises(IdentityError):
        refused(mixed)
    nameless = given.a_study(tmp_path / "c", attributes={"PatientID": ""})
    with pytest.raises(IdentityError):
        refused(nameless)
    for broken in (a_refusal(study, reason=" "), a_refusal(study, series_instance_uid=SeriesInstanceUID("1.2"))):
        with pytest.raises(PermanentError) as caught:
            refused(study, refusal=broken)
        assert caught.value.next_step


SEEDED: dict[str, tuple[Callable[[Dataset], object], str]] = {
    "another reason": (
        lambda d: setattr(reading.named(d, "121071")[0], "TextValue", "Normal."), "refusal-statements",
    ),
    "no reason": (lambda d: reading.drop(d, "121071"), "refusal-statements"),
    "not a draft": (lambda d: setattr(reading.named(d, "121077")[0], "TextValue", "Done."), "refusal-statements"),
    "another title": (lambda d: setattr(d.ConceptNameCodeSequence[0], "CodeValue", "1"), "refusal-form"),
    "no observer": (lambda d: reading.drop(d, "121012"), "refusal-form"),
    "another patient": (lambda d: setattr(d, "PatientID", "OR-0002"), "text-identity"),
    "an image missing": (
        lambda d: d.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
        .ReferencedSOPSequence.pop(),
        "refusal-references",
    ),
    "final": (lambda d: setattr(d, "PreliminaryFlag", "FINAL"), "text-draft"),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEDED)
def test_seeded_errors_are_noticed(study, name) -> None:
    change, expected = SEEDED[name]
    (item,), _ = refused(study)
    report = gate([reading.changed(item, change)], study)
    assert expected in {check.name for check in report.failures}, report.failures
    assert "OR-0002" not in " ".join(check.detail for check in report.failures)


def test_too_many_or_too_few_are_noticed(study) -> None:
    (item,), _ = refused(study)
    for objects in ((), (item, item)):
        assert "objects" in {check.name for check in gate(objects, study).failures}
    assert "objects" in {check.name for check in gate((item,), study, standard=OHIF).failures}
    broken = replace(item, content=item.content[:200])
    assert not gate((broken,), study).passed
    assert [check.name for check in gate((replace(item, content=b"no"),), study).failures] == ["readable"]
