"""Every error that can be seeded into a result must be noticed, by the check that is meant for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests import builders
from tests.unit.results import given, reading
from worker.domain.findings import Conclusion
from worker.domain.profile import PLAIN
from worker.domain.result import EncodedObject, GateReport
from worker.domain.study import SOPInstanceUID, StoredInstance
from worker.gate.result_gate import ResultGate
from worker.results.encoder import DicomEncoder

pytestmark = pytest.mark.slow

SEG, SR, TEXT = 0, 1, 2


def gated(objects: Sequence[EncodedObject], conclusion: Conclusion, instances: Sequence[StoredInstance]) -> GateReport:
    return ResultGate().check(objects, conclusion, instances, given.CONTEXT)


@dataclass(frozen=True)
class Good:
    study: given.Study
    conclusion: Conclusion
    objects: tuple[EncodedObject, ...]

    def check(self, *, at: int | None = None, change: Callable[[Dataset], object] = lambda ds: None) -> GateReport:
        objects = list(self.objects)
        if at is not None:
            objects[at] = reading.changed(objects[at], change)
        return gated(objects, self.conclusion, self.study.evidence)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Good:
    study = given.a_study(tmp_path_factory.mktemp("study"))
    conclusion = given.a_conclusion(study.volume, absent=("Trachea",))
    return Good(study, conclusion, DicomEncoder().encode(conclusion, study.evidence, given.CONTEXT))


def put(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda ds: setattr(ds, keyword, value)


def cut(keyword: str) -> Callable[[Dataset], None]:
    return lambda ds: delattr(ds, keyword)


def frame(ds: Dataset, number: int = 0) -> Dataset:
    return ds.PerFrameFunctionalGroupsSequence[number]


def source(ds: Dataset) -> Dataset:
    return frame(ds).DerivationImageSequence[0].SourceImageSequence[0]


def first(ds: Dataset, code: str) -> Dataset:
    return reading.named(ds, code)[0]


def num(ds: Dataset) -> Dataset:
    """The first number of the first group (the image library has numbers as well)."""
    return next(item for item in reading.items(first(ds, "125007")) if item.ValueType == "NUM")


def shift(axis: int, mm: float) -> Callable[[Dataset], None]:
    def move(ds: Dataset) -> None:
        plane = frame(ds).PlanePositionSequence[0]
        position = [float(v) for v in plane.ImagePositionPatient]
        position[axis] += mm
        plane.ImagePositionPatient = position

    return move


def shift_all(mm: float) -> Callable[[Dataset], None]:
    def move(ds: Dataset) -> None:
        for item in ds.PerFrameFunctionalGroupsSequence:
            plane = item.PlanePositionSequence[0]
            plane.ImagePositionPatient = [float(v) + mm for v in plane.ImagePositionPatient]

    return move


def transformed(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        size = ds.NumberOfFrames * ds.Rows * ds.Columns
        bits = np.unpackbits(np.frombuffer(ds.PixelData, np.uint8), bitorder="little")[:size]
        stack = change(bits.reshape(ds.NumberOfFrames, ds.Rows, ds.Columns))
        packed = np.packbits(np.ascontiguousarray(stack).ravel(), bitorder="little").tobytes()
        ds.PixelData = packed + b"\0" * (len(packed) % 2)

    return apply


def one_pixel(stack: np.ndarray) -> np.ndarray:
    stack = stack.copy()
    stack[0, 0, 0] ^= 1
    return stack


def swap_segments(ds: Dataset) -> None:
    for item in ds.PerFrameFunctionalGroupsSequence:
        which = item.SegmentIdentificationSequence[0]
        which.ReferencedSegmentNumber = 3 - which.ReferencedSegmentNumber


def points(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        region = first(ds, "111030")
        region.GraphicData = change(np.array(region.GraphicData).reshape(-1, 2)).ravel().tolist()

    return apply


def all_of(code: str, keyword: str, value: object) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        found = reading.named(ds, code)
        assert found
        for item in found:
            setattr(item, keyword, value)

    return apply


def evidence(ds: Dataset) -> Dataset:
    return ds.CurrentRequestedProcedureEvidenceSequence[0]


SEEDED = {
    # what validators were seen to miss
    "SEG: no FrameOfReferenceUID": (SEG, cut("FrameOfReferenceUID"), "seg-frame-of-reference"),
    "SEG: segment 2 not described": (SEG, lambda d: d.SegmentSequence.pop(), "seg-segments"),
    "SEG: dangling source image": (
        SEG, lambda d: setattr(source(d), "ReferencedSOPInstanceUID", "1.2.3.4.5"), "seg-frames",
    ),
    "SEG: no property type code": (
        SEG, lambda d: delattr(d.SegmentSequence[0], "SegmentedPropertyTypeCodeSequence"), "seg-segments",
    ),
    "SEG: AUTOMATIC without algorithm name": (
        SEG, lambda d: delattr(d.SegmentSequence[1], "SegmentAlgorithmName"), "seg-segments",
    ),
    "SEG: pixel data one frame short": (
        SEG, lambda d: setattr(d, "PixelData", d.PixelData[: -d.Rows * d.Columns // 8]), "seg-form",
    ),
    "SEG: NumberOfFrames + 1": (SEG, lambda d: setattr(d, "NumberOfFrames", d.NumberOfFrames + 1), "seg-form"),
    "SEG: other StudyInstanceUID": (SEG, put("StudyInstanceUID", "1.2.3.4"), "seg-identity"),
    "SEG: other PatientID": (SEG, put("PatientID", "SOMEONE-ELSE"), "seg-identity"),
    "SEG: other FrameOfReferenceUID": (SEG, put("FrameOfReferenceUID", "1.2.3.4.9"), "seg-frame-of-reference"),
    "SEG: frame moved 1 mm off the slices": (SEG, shift(0, 1.0), "seg-frames"),
    "SEG: bad Modality CT": (SEG, put("Modality", "CT"), "seg-attributes"),
    "SEG: no ContentLabel": (SEG, cut("ContentLabel"), "seg-attributes"),
    "SR: NUM without units": (
        SR, lambda d: delattr(num(d).MeasuredValueSequence[0], "MeasurementUnitsCodeSequence"), "sr-content",
    ),
    "SR: NUM without a value": (
        SR, lambda d: delattr(num(d).MeasuredValueSequence[0], "NumericValue"), "sr-content",
    ),
    "SR: an image descriptor without a value": (
        SR,
        lambda d: delattr(first(first(d, "111028"), "110910").MeasuredValueSequence[0], "NumericValue"),
        "sr-content",
    ),
    "SR: group without tracking UID": (SR, lambda d: reading.drop(d, "112040"), "sr-groups"),
    "SR: SCOORD image relation INFERRED FROM": (
        SR, lambda d: setattr(first(d, "111030").ContentSequence[0], "RelationshipType", "INFERRED FROM"),
        "sr-outlines",
    ),
    "SR: no device observer UID": (SR, lambda d: reading.drop(d, "121012"), "sr-context"),
    "SR: no procedure reported": (SR, lambda d: reading.drop(d, "121058"), "sr-context"),
    "SR: no evidence sequence": (SR, cut("CurrentRequestedProcedureEvidenceSequence"), "sr-references"),
    "SR: VERIFIED without verifying observer": (SR, put("VerificationFlag", "VERIFIED"), "sr-draft"),
    "SR: no CompletionFlag": (SR, cut("CompletionFlag"), "sr-draft"),
    "SR: POINT with a polyline's data": (
        SR, lambda d: setattr(first(d, "111030"), "GraphicType", "POINT"), "sr-outlines",
    ),
    "SR: SCOORD outside the image": (SR, points(lambda p: p + 5000), "sr-outlines"),
    "SR: segment number 99": (
        SR, lambda d: setattr(first(d, "121191").ReferencedSOPSequence[0], "ReferencedSegmentNumber", 99), "sr-groups",
    ),
    "SR: other StudyInstanceUID": (SR, put("StudyInstanceUID", "1.2.3.4"), "sr-identity"),
    "SR: other PatientID": (SR, put("PatientID", "SOMEONE-ELSE"), "sr-identity"),
    "SR: wrong code for a meaning": (
        SR, lambda d: setattr(num(d).ConceptNameCodeSequence[0], "CodeValue", "12345"), "sr-measurements",
    ),
    "SR: no ContentTemplateSequence": (SR, cut("ContentTemplateSequence"), "sr-form"),
    "SR: reference absent from evidence": (
        SR, lambda d: evidence(d).ReferencedSeriesSequence[0].ReferencedSOPSequence.pop(0), "sr-references",
    ),
    "SR: text longer than its VR (LO 70)": (
        SR, lambda d: setattr(d.ConceptNameCodeSequence[0], "CodeMeaning", "x" * 70), "sr-values",
    ),
    # identity and marks
    "SEG: other name": (SEG, put("PatientName", "Example^Ben"), "seg-identity"),
    "SR: other birth date": (SR, put("PatientBirthDate", "19711103"), "sr-identity"),
    "SR: other issuer": (SR, put("IssuerOfPatientID", "ELSEWHERE"), "sr-identity"),
    "SR: no accession": (SR, put("AccessionNumber", ""), "sr-identity"),
    "SR: other sex": (SR, put("PatientSex", "M"), "sr-copies"),
    "SEG: other study date": (SEG, put("StudyDate", "20000101"), "seg-copies"),
    "SEG: series of the images": (
        SEG, lambda d: setattr(d, "SeriesInstanceUID", d.ReferencedSeriesSequence[0].SeriesInstanceUID), "seg-uids",
    ),
    "SEG: UID of an image": (
        SEG, lambda d: setattr(d, "SOPInstanceUID", source(d).ReferencedSOPInstanceUID), "seg-uids",
    ),
    "SR: malformed UID": (SR, put("SeriesInstanceUID", "1.02.3"), "sr-uids"),
    "SR: other UID than the record says": (SR, put("SOPInstanceUID", "1.2.3"), "sr-file"),
    "SR: FINAL": (SR, put("PreliminaryFlag", "FINAL"), "sr-draft"),
    "SR: a verifying observer": (SR, put("VerifyingObserverSequence", [Dataset()]), "sr-draft"),
    "SEG: description hides the draft": (SEG, put("SeriesDescription", "Lungs"), "seg-draft"),
    "SEG: no software version": (SEG, cut("SoftwareVersions"), "seg-attributes"),
    "SEG: no model equipment": (SEG, lambda d: d.ContributingEquipmentSequence.pop(), "seg-provenance"),
    "SR: digest of other evidence": (
        SR, lambda d: setattr(d.ContributingEquipmentSequence[-1], "ContributionDescription", "x"), "sr-provenance",
    ),
    "SR: lower case CS": (SR, put("Modality", "sr"), "sr-values"),
    "SR: no PerformedProcedureCodeSequence": (SR, cut("PerformedProcedureCodeSequence"), "sr-attributes"),
    "TEXT: other patient": (TEXT, put("PatientID", "X"), "text-identity"),
    # geometry
    "SEG: half a pixel off": (SEG, shift_all(0.35), "seg-frames"),
    "SEG: two slices off": (SEG, shift(2, 5.0), "seg-placement"),
    "SEG: turned orientation": (
        SEG,
        lambda d: setattr(
            d.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0],
            "ImageOrientationPatient", [-1, 0, 0, 0, 1, 0],
        ),
        "seg-frames",
    ),
    "SEG: other spacing": (
        SEG,
        lambda d: setattr(
            d.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0], "PixelSpacing", [0.7, 0.8]
        ),
        "segment-1-geometry",
    ),
    "SEG: flipped left to right": (SEG, transformed(lambda s: s[:, :, ::-1]), "segment-1-geometry"),
    "SEG: flipped front to back": (SEG, transformed(lambda s: s[:, ::-1]), "segment-1-geometry"),
    "SEG: frames in another order": (SEG, transformed(lambda s: s[::-1]), "segment-1-geometry"),
    "SEG: one pixel too many": (SEG, transformed(one_pixel), "segment-1-geometry"),
    "SEG: segments swapped": (SEG, swap_segments, "segment-2-geometry"),
    "SEG: frame twice on a slice": (
        SEG,
        lambda d: setattr(
            frame(d, 1), "DerivationImageSequence", frame(d, 0).DerivationImageSequence
        ),
        "seg-placement",
    ),
    "SEG: no derivation image": (SEG, lambda d: delattr(frame(d), "DerivationImageSequence"), "seg-frames"),
    "SEG: FRACTIONAL": (SEG, put("SegmentationType", "FRACTIONAL"), "seg-form"),
    "SEG: overlap claimed": (SEG, put("SegmentsOverlap", "YES"), "seg-form"),
    # references and meaning
    "SEG: no referenced series": (SEG, cut("ReferencedSeriesSequence"), "seg-references"),
    "SEG: an image is not referenced": (
        SEG, lambda d: d.ReferencedSeriesSequence[0].ReferencedInstanceSequence.pop(), "seg-references",
    ),
    "SEG: no tracking UID": (SEG, lambda d: delattr(d.SegmentSequence[0], "TrackingUID"), "seg-segments"),
    "SEG: other side": (
        SEG,
        lambda d: setattr(
            d.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0],
            "CodeValue", given.LEFT.value,
        ),
        "seg-segments",
    ),
    "SEG: other label": (SEG, lambda d: setattr(d.SegmentSequence[0], "SegmentLabel", "Left lung"), "seg-segments"),
    "SEG: no colour": (
        SEG, lambda d: delattr(d.SegmentSequence[0], "RecommendedDisplayCIELabValue"), "seg-segments",
    ),
    "SR: another value": (
        SR, lambda d: setattr(reading.named(d, "118565006")[0].MeasuredValueSequence[0], "NumericValue", "0.5"),
        "sr-measurements",
    ),
    "SR: another unit": (
        SR,
        lambda d: setattr(
            reading.named(d, "118565006")[0].MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0],
            "CodeValue", "mm3",
        ),
        "sr-measurements",
    ),
    "SR: another area": (
        SR, lambda d: setattr(reading.named(d, "42798000")[0].MeasuredValueSequence[0], "NumericValue", "9999"),
        "sr-outlines",
    ),
    "SR: outline with rows and columns swapped": (SR, points(lambda p: p[:, ::-1]), "sr-outlines"),
    "SR: outline moved by three pixels": (SR, points(lambda p: p + 3), "sr-outlines"),
    "SR: open outline": (SR, points(lambda p: p[:-1]), "sr-outlines"),
    "SR: tracking UID of nobody": (SR, lambda d: setattr(first(d, "112040"), "UID", "1.2.3"), "sr-groups"),
    "SR: other side": (
        SR, lambda d: setattr(first(d, "272741003").ConceptCodeSequence[0], "CodeValue", "7771000"), "sr-groups",
    ),
    "SR: other finding": (
        SR, lambda d: setattr(first(d, "121071").ConceptCodeSequence[0], "CodeValue", "1234"), "sr-groups",
    ),
    "SR: other algorithm version": (SR, all_of("111003", "TextValue", "9.9"), "sr-groups"),
    "SR: digest missing": (SR, all_of("111002", "TextValue", "none"), "sr-groups"),
    "SR: other title": (SR, lambda d: setattr(d.ConceptNameCodeSequence[0], "CodeValue", "126001"), "sr-form"),
    "SR: refers to another SEG": (
        SR,
        lambda d: setattr(first(d, "121191").ReferencedSOPSequence[0], "ReferencedSOPInstanceUID", "1.2.3"),
        "sr-references",
    ),
    "SR: evidence of another study": (SR, lambda d: setattr(evidence(d), "StudyInstanceUID", "1.2.3"), "sr-references"),
    "SR: wrong class in the evidence": (
        SR,
        lambda d: setattr(
            evidence(d).ReferencedSeriesSequence[0].ReferencedSOPSequence[0],
            "ReferencedSOPClassUID", "1.2.840.10008.5.1.4.1.1.4",
        ),
        "sr-references",
    ),
    "TEXT: absence not stated": (TEXT, lambda d: reading.drop(d, "121071"), "text-statements"),
    "TEXT: not marked as a draft": (TEXT, all_of("121077", "TextValue", "All is well."), "text-statements"),
    "TEXT: other title": (TEXT, lambda d: setattr(d.ConceptNameCodeSequence[0], "CodeValue", "1"), "text-form"),
}  # fmt: skip


def test_good_objects_pass(good: Good) -> None:
    report = good.check()
    assert report.passed, report.failures
    assert len(report.checks) > 30
    assert good.check(at=SEG).passed, "writing again without a change must not matter"


@pytest.mark.parametrize("name", SEEDED)
def test_seeded_errors_are_noticed(good: Good, name: str) -> None:
    at, change, expected = SEEDED[name]
    report = good.check(at=at, change=change)
    failed = {check.name: check.detail for check in report.failures}
    assert expected in failed, f"only {failed}"
    for detail in failed.values():
        for private in ("Example", "Ada", "Ben", "OR-0001", "SOMEONE", "1960", "1971"):
            assert private not in detail


def test_objects_of_the_wrong_kind_number_and_order(good: Good) -> None:
    seg, report, text = good.objects
    conclusion, instances = good.conclusion, good.study.evidence
    for objects in ((report, seg, text), (seg, report), (seg,), (report, text), (), (seg, seg, report, text)):
        failed = [check.name for check in gated(objects, conclusion, instances).failures]
        assert "objects" in failed, objects


def test_bytes_that_are_no_dicom(good: Good) -> None:
    seg, report, text = good.objects
    for content in (b"", b"nonsense", seg.content[:200], seg.content[:-500]):
        broken = replace(seg, content=content)
        assert not gated((broken, report, text), good.conclusion, good.study.evidence).passed


def test_the_size_limit(good: Good) -> None:
    limit = len(good.objects[SEG].content) - 1
    assert len(good.objects[TEXT].content) <= limit < len(good.objects[SR].content)
    report = ResultGate(maximum_object_bytes=limit).check(
        good.objects, good.conclusion, good.study.evidence, given.CONTEXT
    )
    assert {check.name for check in report.failures} == {"seg-size", "sr-size"}


def test_evidence_that_changed_or_is_gone(good: Good, tmp_path: Path) -> None:
    paths = [builders.write(dcmread(path), tmp_path / path.name) for path in good.study.paths]
    instances = builders.stored_instances(paths)
    ds = dcmread(paths[2])
    ds.PatientID = "OR-0002"
    builders.write(ds, paths[2])
    failed = [check.name for check in gated(good.objects, good.conclusion, instances).failures]
    assert {"seg-identity", "sr-identity", "text-identity"} <= set(failed)
    paths[3].unlink()
    assert [check.name for check in gated(good.objects, good.conclusion, instances).failures] == ["readable"]


def test_a_result_of_another_patients_study(good: Good, tmp_path: Path) -> None:
    other = given.a_study(tmp_path, patient=builders.BEN)
    conclusion = given.a_conclusion(other.volume, absent=("Trachea",))
    failed = {check.name for check in gated(good.objects, conclusion, other.evidence).failures}
    assert {"seg-identity", "sr-identity", "text-identity", "seg-references", "seg-placement"} <= failed


def test_a_conclusion_whose_numbers_are_not_those_of_its_mask(good: Good) -> None:
    finding = good.conclusion.findings[0]
    wrong = replace(finding.segments[0].measurements[0], value=finding.segments[0].measurements[0].value * 1.5)
    segments = (replace(finding.segments[0], measurements=(wrong,)), *finding.segments[1:])
    conclusion = replace(good.conclusion, findings=(replace(finding, segments=segments),))
    objects = DicomEncoder().encode(conclusion, good.study.evidence, given.CONTEXT)
    report = gated(objects, conclusion, good.study.evidence)
    assert [check.name for check in report.failures] == ["sr-measurements"]


def test_a_volume_that_is_not_where_its_images_are(good: Good) -> None:
    geometry = good.study.volume.geometry
    matrix = geometry.affine_lps.copy()
    matrix[:3, 3] += (0.0, 1.5, 0.0)
    volume = replace(good.study.volume, geometry=replace(geometry, affine_lps=matrix))
    conclusion = replace(good.conclusion, volume=volume)
    objects = DicomEncoder().encode(conclusion, good.study.evidence, given.CONTEXT)
    failed = {check.name for check in gated(objects, conclusion, good.study.evidence).failures}
    assert {"seg-placement", "segment-1-geometry", "segment-2-geometry"} <= failed


def test_a_slice_that_names_another_image(good: Good) -> None:
    slices = (good.study.volume.slices[1], good.study.volume.slices[0], *good.study.volume.slices[2:])
    conclusion = replace(good.conclusion, volume=replace(good.study.volume, slices=slices))
    objects = DicomEncoder().encode(conclusion, good.study.evidence, given.CONTEXT)
    failed = {check.name for check in gated(objects, conclusion, good.study.evidence).failures}
    assert "seg-placement" in failed


def test_evidence_that_was_not_analysed_does_not_disturb(good: Good, tmp_path: Path) -> None:
    matrix = good.study.volume.geometry.affine_lps
    volume = given.a_volume(good.study.paths[0], matrix, good.study.volume.slices[:4], (4, 32, 40), "CT")
    conclusion = given.a_conclusion(volume)
    objects = DicomEncoder().encode(conclusion, good.study.evidence, given.CONTEXT)
    assert gated(objects, conclusion, good.study.evidence).passed
    assert SOPInstanceUID(objects[0].sop_instance_uid) not in {i.sop_instance_uid for i in good.study.evidence}


ADDRESSED = {
    "to another who shares no profile": lambda objects: [
        replace(objects[0], destinations=("viewer", "old")),
        *objects[1:],
    ],
    "to nobody": lambda objects: [replace(objects[0], destinations=()), *objects[1:]],
    "to all": lambda objects: [replace(objects[0], destinations=None), *objects[1:]],
    "to a stranger": lambda objects: [*objects, replace(objects[0], destinations=("elsewhere",))],
    "turned about": lambda objects: [
        replace(one, destinations=("old",) if one.destinations == ("viewer",) else ("viewer",)) for one in objects
    ],
}


@pytest.mark.parametrize("name", ADDRESSED)
def test_a_destination_gets_the_set_of_its_profile(good: Good, name: str) -> None:
    profiles = {"old": PLAIN}
    context = replace(given.CONTEXT, destinations=("viewer", "old"))
    objects = DicomEncoder(profiles=profiles).encode(good.conclusion, good.study.evidence, context)
    gate = ResultGate(profiles=profiles)
    assert gate.check(objects, good.conclusion, good.study.evidence, context).passed
    wrong = gate.check(ADDRESSED[name](list(objects)), good.conclusion, good.study.evidence, context)
    assert not wrong.passed


def test_results_for_one_profile_are_addressed_to_nobody_in_particular(good: Good) -> None:
    objects = [replace(good.objects[0], destinations=("elsewhere",)), *good.objects[1:]]
    assert "destinations" in {check.name for check in gated(objects, good.conclusion, good.study.evidence).failures}
