"""The rejection note: what it says, that it is the same each time, and that no wrong one passes the gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from tests.unit.results import given, reading
from tests.unit.results.revised import Revised, a_revision
from worker.domain.implementation import MANUFACTURER, MODEL_NAME
from worker.domain.result import EncodedObject, GateReport, ResultContext, ResultKind, Withdrawal
from worker.gate.result_gate import ResultGate

SEG, SR, TEXT, NOTE = range(4)


@pytest.fixture(scope="module")
def revised(tmp_path_factory: pytest.TempPathFactory) -> Revised:
    return a_revision(tmp_path_factory.mktemp("study"))


def gated(
    revised: Revised, objects: Sequence[EncodedObject] | None = None, context: ResultContext | None = None
) -> GateReport:
    return ResultGate().check(
        objects or revised.second, revised.conclusion, revised.study.evidence, context or revised.context
    )


def test_the_note_comes_last_and_is_called_what_it_is(revised: Revised) -> None:
    assert [one.kind for one in revised.second] == [ResultKind.SEG, ResultKind.SR, ResultKind.SR, ResultKind.KOS]
    ds = reading.dataset(revised.second[NOTE])
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.59"
    assert ds.Modality == "KO"
    title = ds.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113001", "DCM")
    assert title.CodeMeaning == "Rejected for Quality Reasons"
    assert "new ones replace" in reading.named(ds, "113012")[0].TextValue
    for flag in ("CompletionFlag", "VerificationFlag", "PreliminaryFlag"):
        assert flag not in ds  # PS3.3 A.35.4: no SR Document General module


def test_it_rejects_every_object_of_the_replaced_results_and_nothing_else(revised: Revised) -> None:
    ds = reading.dataset(revised.second[NOTE])
    references = [(i.ValueType, i.ReferencedSOPSequence[0]) for i in reading.items(ds) if "ReferencedSOPSequence" in i]
    assert [(kind, r.ReferencedSOPClassUID, r.ReferencedSOPInstanceUID) for kind, r in references] == [
        (kind, one.sop_class_uid, one.sop_instance_uid)
        for kind, one in zip(("IMAGE", "COMPOSITE", "COMPOSITE"), revised.first, strict=True)
    ]
    (study,) = ds.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == ds.StudyInstanceUID == revised.study.evidence[0].header.study_instance_uid
    assert {
        (series.SeriesInstanceUID, one.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    } == {(one.series_instance_uid, one.sop_instance_uid) for one in revised.first}


def test_it_is_of_the_same_patient_and_from_us_in_a_series_of_its_own(revised: Revised) -> None:
    ds, image = reading.dataset(revised.second[NOTE]), dcmread(revised.study.paths[0])
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber", "StudyID"):
        assert ds[keyword].value == image[keyword].value
    assert (ds.Manufacturer, ds.ManufacturerModelName) == (MANUFACTURER, MODEL_NAME)
    assert ds.SeriesNumber == 9003
    every = [one.series_instance_uid for one in (*revised.first, *revised.second)]
    assert every.count(ds.SeriesInstanceUID) == 1
    assert UID(ds.SOPInstanceUID).is_valid


def test_a_repeat_gives_the_same_bytes_and_other_objects_another_note(revised: Revised) -> None:
    assert [one.content for one in revised.encode(revised.context)] == [one.content for one in revised.second]
    fewer = Withdrawal(("PACS",), revised.context.predecessors[:1])
    other = revised.encode(replace(revised.context, withdrawals=(fewer,)))
    assert other[NOTE].sop_instance_uid != revised.second[NOTE].sop_instance_uid
    assert [one.content for one in other[:NOTE]] == [one.content for one in revised.second[:NOTE]]


def test_where_no_destination_wants_one_there_is_none(revised: Revised) -> None:
    context = replace(revised.context, withdrawals=())
    objects = revised.encode(context)
    assert ResultKind.KOS not in {one.kind for one in objects}
    assert gated(revised, objects, context).passed
    assert "PredecessorDocumentsSequence" in reading.dataset(objects[SR])


def test_destinations_that_hold_different_things_get_different_notes(revised: Revised) -> None:
    whole, part = revised.context.predecessors, revised.context.predecessors[:1]
    context = replace(revised.context, withdrawals=(Withdrawal(("A",), whole), Withdrawal(("B",), part)))
    objects = revised.encode(context)
    assert gated(revised, objects, context).passed
    one, other = (reading.dataset(item) for item in objects[NOTE:])
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert one.SeriesInstanceUID == other.SeriesInstanceUID
    assert [len(reading.named(ds, "260753009")) for ds in (one, other)] == [3, 1]
    swapped = (*objects[:NOTE], objects[NOTE + 1], objects[NOTE])
    assert not gated(revised, swapped, context).passed


# ---- the gate


def put(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda ds: setattr(ds, keyword, value)


def key_object(ds: Dataset, number: int = 0) -> Dataset:
    return reading.named(ds, "260753009")[number]


def named(ds: Dataset, number: int = 0) -> Dataset:
    return key_object(ds, number).ReferencedSOPSequence[0]


def evidence(ds: Dataset, number: int = 0) -> Dataset:
    return ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[number]


def words(old: str, new: str) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        (item,) = reading.named(ds, "113012")
        assert old in item.TextValue
        item.TextValue = item.TextValue.replace(old, new)

    return apply


SEEDED = {
    "another title": (lambda d: setattr(d.ConceptNameCodeSequence[0], "CodeValue", "113037"), "kos-form"),
    "no rejection at all": (lambda d: setattr(d.ConceptNameCodeSequence[0], "CodeValue", "113000"), "kos-form"),
    "another template": (lambda d: setattr(d.ContentTemplateSequence[0], "TemplateIdentifier", "2000"), "kos-form"),
    "no template": (lambda d: delattr(d, "ContentTemplateSequence"), "kos-form"),
    "no observer": (lambda d: reading.drop(d, "121005"), "kos-context"),
    "another device": (lambda d: setattr(reading.named(d, "121012")[0], "UID", "1.2.3"), "kos-context"),
    "no reason": (lambda d: reading.drop(d, "113012"), "kos-context"),
    "another reason": (words("later images", "another patient"), "kos-context"),
    "no draft": (words("AI DRAFT results", "Results"), "kos-context"),
    "another model": (words("Lungs and airways", "Liver"), "kos-context"),
    "another version": (words("1.2.3", "1.2.4"), "kos-context"),
    "a key object less": (lambda d: reading.drop(d, "260753009"), "kos-references"),
    "a key object twice": (lambda d: d.ContentSequence.append(key_object(d)), "kos-references"),
    "a key object that was not replaced": (
        lambda d: setattr(named(d), "ReferencedSOPInstanceUID", "1.2.3"), "kos-references",
    ),
    "a key object of another class": (
        lambda d: setattr(named(d), "ReferencedSOPClassUID", "1.2.840.10008.5.1.4.1.1.2"), "kos-references",
    ),
    "a report called an image": (lambda d: setattr(key_object(d, 1), "ValueType", "IMAGE"), "kos-references"),
    "a key object that is not contained": (
        lambda d: setattr(key_object(d), "RelationshipType", "INFERRED FROM"), "kos-references",
    ),
    "no evidence": (lambda d: delattr(d, "CurrentRequestedProcedureEvidenceSequence"), "kos-evidence"),
    "evidence of another study": (
        lambda d: setattr(d.CurrentRequestedProcedureEvidenceSequence[0], "StudyInstanceUID", "1.2"), "kos-evidence",
    ),
    "evidence incomplete": (
        lambda d: d.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence.pop(), "kos-evidence",
    ),
    "evidence in another series": (lambda d: setattr(evidence(d), "SeriesInstanceUID", "1.2"), "kos-evidence"),
    "evidence of another class": (
        lambda d: setattr(evidence(d).ReferencedSOPSequence[0], "ReferencedSOPClassUID", "1.2.3"), "kos-evidence",
    ),
    "evidence twice": (
        lambda d: evidence(d).ReferencedSOPSequence.append(evidence(d).ReferencedSOPSequence[0]), "kos-evidence",
    ),
    "another patient": (put("PatientID", "SOMEONE-ELSE"), "kos-identity"),
    "another name": (put("PatientName", "Example^Ben"), "kos-identity"),
    "another study": (put("StudyInstanceUID", "1.2.3.4"), "kos-identity"),
    "another modality": (put("Modality", "SR"), "kos-attributes"),
    "another UID than the record says": (put("SOPInstanceUID", "1.2.3"), "kos-file"),
    "no model": (lambda d: d.ContributingEquipmentSequence.pop(), "kos-provenance"),
    "a description that hides the draft": (put("SeriesDescription", "Rejected"), "kos-draft"),
    "no performed step": (lambda d: delattr(d, "ReferencedPerformedProcedureStepSequence"), "kos-attributes"),
}  # fmt: skip


def test_a_good_revision_passes(revised: Revised) -> None:
    report = gated(revised)
    assert report.passed, report.failures
    assert {"kos-form", "kos-context", "kos-evidence", "kos-references", "kos-spares", "sr-predecessors"} <= {
        check.name for check in report.checks
    }


@pytest.mark.parametrize("name", SEEDED)
def test_seeded_errors_of_a_note_are_noticed(revised: Revised, name: str) -> None:
    change, expected = SEEDED[name]
    objects = (*revised.second[:NOTE], reading.changed(revised.second[NOTE], change))
    failed = {check.name: check.detail for check in gated(revised, objects).failures}
    assert expected in failed, f"only {failed}"
    for detail in failed.values():
        for private in ("Example", "Ada", "Ben", "OR-0001", "SOMEONE", "1960"):
            assert private not in detail


@pytest.mark.parametrize("victim", ["image", "new result"])
def test_what_is_needed_is_never_rejected(revised: Revised, victim: str) -> None:
    """Even where the ledger itself should ask for it."""
    uid = revised.study.evidence[0].sop_instance_uid if victim == "image" else revised.second[SR].sop_instance_uid
    wrong = (replace(revised.context.predecessors[0], sop_instance_uid=uid), *revised.context.predecessors[1:])
    context = replace(revised.context, withdrawals=(Withdrawal(("PACS",), wrong),))
    failed = [check.name for check in gated(revised, revised.encode(context), context).failures]
    assert failed == ["kos-spares"]


@pytest.mark.parametrize("at", [SR, TEXT])
def test_a_report_must_name_exactly_the_reports_that_it_replaces(revised: Revised, at: int) -> None:
    name = {SR: "sr-predecessors", TEXT: "text-predecessors"}[at]
    for change in (
        lambda d: delattr(d, "PredecessorDocumentsSequence"),
        lambda d: d.PredecessorDocumentsSequence[0].ReferencedSeriesSequence.pop(),
        lambda d: setattr(d.PredecessorDocumentsSequence[0], "StudyInstanceUID", "1.2"),
        lambda d: d.PredecessorDocumentsSequence.append(d.PredecessorDocumentsSequence[0]),
    ):
        objects = list(revised.second)
        objects[at] = reading.changed(objects[at], change)
        assert [check.name for check in gated(revised, objects).failures] == [name]


def test_a_report_that_replaces_nothing_must_not_say_so(revised: Revised) -> None:
    context = replace(given.CONTEXT, revision=2)
    failed = {check.name for check in gated(revised, revised.second[:NOTE], context).failures}
    assert failed == {"sr-predecessors", "text-predecessors"}


def test_a_note_too_many_too_few_or_too_early_is_noticed(revised: Revised) -> None:
    seg, report, text, note = revised.second
    for objects in ((seg, report, text), (note, seg, report, text), (seg, report, text, note, note)):
        assert "whole" in {check.name for check in gated(revised, objects).failures}
    unwanted = replace(revised.context, withdrawals=())
    assert "whole" in {check.name for check in gated(revised, context=unwanted).failures}
    called = (*revised.second[:NOTE], replace(note, kind=ResultKind.SR))
    assert "whole" in {check.name for check in gated(revised, called).failures}
