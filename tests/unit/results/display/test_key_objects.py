"""The key object selection: it leads to the slices that matter, says why, and rejects nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import highdicom as hd
import pytest
from pydicom.dataset import Dataset

from tests.unit.results import given, projection, reading
from tests.unit.results.display import pictured
from tests.unit.results.display.pictured import Encoded
from worker.domain.findings import QualityStatement
from worker.domain.profile import OHIF, PLAIN, WEASIS
from worker.domain.result import ResultKind

SOURCE = "260753009"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    return pictured.encoded(pictured.a_ct(tmp_path_factory.mktemp("study")))


def selection(one: Encoded) -> Dataset:
    (ds,) = one.of(ResultKind.KEY)
    return ds


def selected(ds: Dataset) -> list[Dataset]:
    return [item.ReferencedSOPSequence[0] for item in reading.named(ds, SOURCE)]


def test_another_library_reads_it(good: Encoded) -> None:
    document = hd.ko.KeyObjectSelectionDocument.from_dataset(selection(good))
    references = document.content.get_references()
    assert len(references) == len(selected(selection(good)))
    for reference in references:
        document.resolve_reference(reference.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


def test_it_leads_to_slices_and_to_key_images(good: Encoded) -> None:
    ds = selection(good)
    assert ds.ConceptNameCodeSequence[0].CodeValue == "113000"
    assert "Rejected" not in ds.ConceptNameCodeSequence[0].CodeMeaning
    uids = [item.ReferencedSOPInstanceUID for item in selected(ds)]
    captures = [one.SOPInstanceUID for one in good.of(ResultKind.SC)]
    assert uids[-len(captures) :] == captures
    slices = {ref.sop_instance_uid for ref in good.study.volume.slices}
    assert set(uids[: -len(captures)]) < slices
    assert len(set(uids)) == len(uids)


def test_it_says_why(good: Encoded) -> None:
    text = reading.named(selection(good), "113012")[0].TextValue
    reasons = ("Slice 2: Right lung: Volume", "Lesion 1: probability 0.83", "Pneumothorax: present")
    for words in ("AI DRAFT, not verified", "version 1.2.3", *reasons):
        assert words in text
    assert "Example" not in text


def test_frames_are_selected_by_number(tmp_path) -> None:
    study = projection.cine(tmp_path, "XA", picked=(2, 4, 5))
    one = pictured.encoded(study, pictured.everything(study.volume), replace(WEASIS, presentation_state=False))
    numbers = [item.ReferencedFrameNumber for item in selected(selection(one))]
    assert set(numbers) <= {2, 4, 5}
    assert len(numbers) > 1
    assert one.failures() == {}


def test_without_key_images_it_leads_to_slices_only(tmp_path) -> None:
    one = pictured.encoded(pictured.a_ct(tmp_path), profile=replace(OHIF, key_object_selection=True))
    series = selection(one).CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert [item.SeriesInstanceUID for item in series] == [one.study.volume.series_instance_uid]
    assert one.failures() == {}


@pytest.mark.parametrize("profile", [OHIF, PLAIN], ids=["not wanted", "nothing to lead to"])
def test_there_may_be_none(tmp_path, profile) -> None:
    study = pictured.a_ct(tmp_path)
    found = (QualityStatement("blurred", "The images are blurred."), pictured.a_classification())
    conclusion = replace(given.a_conclusion(study.volume), findings=found[: 1 if profile is PLAIN else 2])
    one = pictured.encoded(study, conclusion, profile)
    assert not one.of(ResultKind.KEY)
    assert one.failures() == {}


# ---- the gate


def key(ds: Dataset, number: int = 0) -> Dataset:
    return reading.named(ds, SOURCE)[number]


def named(ds: Dataset, number: int = 0) -> Dataset:
    return key(ds, number).ReferencedSOPSequence[0]


def evidence(ds: Dataset, number: int = 0) -> Dataset:
    return ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[number]


def words(old: str, new: str) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        (item,) = reading.named(ds, "113012")
        assert old in item.TextValue
        item.TextValue = item.TextValue.replace(old, new)

    return apply


SEEDED: dict[str, tuple[Callable[[Dataset], object], str]] = {
    "a rejection": (lambda d: setattr(d.ConceptNameCodeSequence[0], "CodeValue", "113001"), "key-form"),
    "a rejection for safety": (lambda d: setattr(d.ConceptNameCodeSequence[0], "CodeValue", "113037"), "key-form"),
    "another template": (lambda d: setattr(d.ContentTemplateSequence[0], "TemplateIdentifier", "2000"), "key-form"),
    "no template": (lambda d: delattr(d, "ContentTemplateSequence"), "key-form"),
    "no observer": (lambda d: reading.drop(d, "121005"), "key-context"),
    "another device": (lambda d: setattr(reading.named(d, "121012")[0], "UID", "1.2.3"), "key-context"),
    "no reason": (lambda d: reading.drop(d, "113012"), "key-context"),
    "no draft": (lambda d: setattr(reading.named(d, "113012")[0], "TextValue", "Look"), "key-context"),
    "another number": (words("probability 0.83", "probability 0.38"), "key-context"),
    "another finding": (words("Lesion 1", "Lesion 2"), "key-context"),
    "another slice": (words("Slice 2: ", "Slice 3: "), "key-context"),
    "another version": (words("version 1.2.3", "version 1.2.4"), "key-context"),
    "a word more": (words("Lesion 1", "Malignant Lesion 1"), "key-context"),
    "a slice less": (lambda d: reading.drop(d, SOURCE), "key-objects"),
    "a key image less": (lambda d: d.ContentSequence.pop(), "key-objects"),
    "an object twice": (lambda d: d.ContentSequence.append(key(d)), "key-objects"),
    "something unknown": (lambda d: setattr(named(d), "ReferencedSOPInstanceUID", "1.2.3"), "key-objects"),
    "another class": (lambda d: setattr(named(d), "ReferencedSOPClassUID", "1.2.3"), "key-objects"),
    "a key image of another class": (lambda d: setattr(named(d, -1), "ReferencedSOPClassUID", "1.2"), "key-objects"),
    "a composite": (lambda d: setattr(key(d), "ValueType", "COMPOSITE"), "key-objects"),
    "not contained": (lambda d: setattr(key(d), "RelationshipType", "INFERRED FROM"), "key-objects"),
    "a frame of a single image": (lambda d: setattr(named(d), "ReferencedFrameNumber", 2), "key-objects"),
    "no evidence": (lambda d: delattr(d, "CurrentRequestedProcedureEvidenceSequence"), "key-evidence"),
    "evidence of another study": (
        lambda d: setattr(d.CurrentRequestedProcedureEvidenceSequence[0], "StudyInstanceUID", "1.2"), "key-evidence",
    ),
    "evidence in another series": (lambda d: setattr(evidence(d), "SeriesInstanceUID", "1.2"), "key-evidence"),
    "evidence incomplete": (lambda d: evidence(d).ReferencedSOPSequence.pop(), "key-evidence"),
    "evidence twice": (
        lambda d: evidence(d).ReferencedSOPSequence.append(evidence(d).ReferencedSOPSequence[0]), "key-evidence",
    ),
    "another patient": (lambda d: setattr(d, "PatientID", "SOMEONE-ELSE"), "key-identity"),
    "another modality": (lambda d: setattr(d, "Modality", "SR"), "key-attributes"),
    "a description that hides the draft": (lambda d: setattr(d, "SeriesDescription", "Keys"), "key-draft"),
}  # fmt: skip


def test_a_good_selection_passes(good: Encoded) -> None:
    assert good.failures() == {}
    assert {"key-form", "key-context", "key-evidence", "key-objects"} <= {one.name for one in good.check().checks}


@pytest.mark.parametrize("name", SEEDED)
def test_seeded_errors_of_a_selection_are_noticed(good: Encoded, name: str) -> None:
    change, expected = SEEDED[name]
    objects = [reading.changed(one, change) if one.kind is ResultKind.KEY else one for one in good.objects]
    failed = good.failures(objects)
    assert expected in failed, f"only {failed}"


def test_a_selection_too_many_or_too_few_is_noticed(good: Encoded) -> None:
    others = [one for one in good.objects if one.kind is not ResultKind.KEY]
    (mine,) = (one for one in good.objects if one.kind is ResultKind.KEY)
    assert "pictures" in good.failures(others)
    assert {"pictures", "whole"} <= set(good.failures([*good.objects, mine]))


def test_a_selection_is_no_rejection_note(good: Encoded) -> None:
    """The store withdraws by kind: the one must never be taken for the other."""
    objects = [replace(one, kind=ResultKind.KOS) if one.kind is ResultKind.KEY else one for one in good.objects]
    assert "whole" in good.failures(objects)
