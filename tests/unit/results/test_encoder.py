from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from pydicom import config, dcmread
from pydicom.dataset import Dataset

from tests import builders
from tests.unit.results import given, reading
from worker import __version__
from worker.domain.codes import MILLIMETRE, Code
from worker.domain.errors import PermanentError
from worker.domain.findings import Measurement, Segmentation
from worker.domain.implementation import IMPLEMENTATION_CLASS_UID
from worker.domain.profile import OHIF, PLAIN, SLICER
from worker.domain.result import Predecessor, ResultKind, Withdrawal
from worker.domain.study import SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from worker.gate.result_gate import ResultGate
from worker.results.encoder import DicomEncoder
from worker.results.identity import Equipment
from worker.settings import Settings
from worker.wiring.analysis import equipment

pytestmark = pytest.mark.slow

ENCODER = DicomEncoder(equipment=Equipment(device_serial_number="SN-7"))


def encoded(study: given.Study, conclusion=None, context=given.CONTEXT, encoder=ENCODER):
    conclusion = conclusion or given.a_conclusion(study.volume)
    objects = encoder.encode(conclusion, study.evidence, context)
    report = ResultGate().check(objects, conclusion, study.evidence, context)
    assert report.passed, report.failures
    return objects


def test_a_repeat_gives_the_same_bytes(tmp_path) -> None:
    study = given.a_study(tmp_path)
    conclusion = given.a_conclusion(study.volume, absent=("Trachea",))
    first = encoded(study, conclusion)
    assert [item.content for item in first] == [item.content for item in encoded(study, conclusion)]
    assert len({item.sop_instance_uid for item in first}) == 3


def test_order_and_kinds(tmp_path) -> None:
    study = given.a_study(tmp_path)
    found = encoded(study, given.a_conclusion(study.volume, absent=("Trachea",)))
    assert [item.kind for item in found] == [ResultKind.SEG, ResultKind.SR, ResultKind.SR]
    assert [reading.dataset(item).SeriesNumber for item in found] == [9000, 9001, 9002]
    assert [reading.dataset(item).SOPClassUID.name for item in found] == [
        "Segmentation Storage", "Comprehensive 3D SR Storage", "Basic Text SR Storage",
    ]  # fmt: skip


def test_nothing_found_is_said_in_words(tmp_path) -> None:
    study = given.a_study(tmp_path)
    nothing = Segmentation(np.zeros(study.volume.geometry.shape, np.uint8), (), absent=("Right lung", "Left lung"))
    conclusion = given.a_conclusion(study.volume, findings=(nothing,), notes=("few slices",))
    (text,) = encoded(study, conclusion)
    said = [item.TextValue for item in reading.items(reading.dataset(text)) if item.ValueType == "TEXT"]
    assert any(line.startswith("Not found: Right lung.") for line in said)
    assert any(line.startswith("Not found: Left lung.") for line in said)
    assert "Note: few slices" in said
    assert any("AI DRAFT" in line for line in said)


def test_file_meta_information(tmp_path) -> None:
    for item in encoded(given.a_study(tmp_path)):
        ds = reading.dataset(item)
        assert item.content[128:132] == b"DICM"
        assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert ds.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
        assert ds.file_meta.ImplementationVersionName.startswith("OVERREAD_")
        assert ds.file_meta.MediaStorageSOPInstanceUID == item.sop_instance_uid


def test_patient_and_study_are_those_of_the_images(tmp_path) -> None:
    extra = {
        "OtherPatientIDs": ["X1", "X2"], "TimezoneOffsetFromUTC": "+0200", "PatientSize": 1.7,
        "PatientIdentityRemoved": "YES", "DeidentificationMethod": "TEST",
    }  # fmt: skip
    study = given.a_study(tmp_path, attributes=extra)
    image = dcmread(study.paths[0])
    for item in encoded(study):
        ds = reading.dataset(item)
        for keyword in (
            "PatientName", "PatientID", "IssuerOfPatientID", "OtherPatientIDs", "PatientBirthDate", "PatientSex",
            "PatientAge", "PatientWeight", "PatientSize", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID",
            "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "TimezoneOffsetFromUTC",
            "PatientIdentityRemoved", "DeidentificationMethod", "BodyPartExamined",
        ):  # fmt: skip
            assert ds[keyword].value == image[keyword].value, keyword
        assert ds.Manufacturer == "Overread"
        assert ds.DeviceSerialNumber == "SN-7"
        assert ds.SoftwareVersions == __version__
        purposes = {i.PurposeOfReferenceCodeSequence[0].CodeValue: i for i in ds.ContributingEquipmentSequence}
        assert purposes["109101"].Manufacturer == image.Manufacturer
        assert purposes["109102"].ManufacturerModelName == "lungs-ct"
        assert purposes["109102"].SoftwareVersions == "1.2.3"
        assert ds.SpecificCharacterSet == "ISO_IR 192"


def test_dates_are_those_of_the_images_whenever_the_work_is_done(tmp_path) -> None:
    study = given.a_study(tmp_path, attributes={"TimezoneOffsetFromUTC": "-0330", "ContentTime": "081501.25"})
    late = replace(given.CONTEXT, created_at=datetime(2031, 1, 2, 3, 4, tzinfo=UTC))
    seg, report = encoded(study), encoded(study, context=late)
    assert [one.content for one in seg] == [one.content for one in report]
    ds = reading.dataset(seg[0])
    day = str(dcmread(study.paths[0]).ContentDate)
    for keyword in ("ContentDate", "SeriesDate", "InstanceCreationDate"):
        assert ds[keyword].value == day
    assert (ds.ContentTime, ds.SeriesTime) == ("081501.250000", "081501.250000")
    assert ds.TimezoneOffsetFromUTC == "-0330"


OPTIONAL = (
    "IssuerOfPatientID", "PatientAge", "PatientWeight", "StudyDescription", "ReferringPhysicianName", "StudyTime",
    "AccessionNumber", "StudyID", "PatientBirthDate", "PatientSex", "SliceThickness", "Manufacturer",
    "BodyPartExamined", "PositionReferenceIndicator", "DeviceSerialNumber", "SoftwareVersions", "StudyDate",
)  # fmt: skip


@pytest.mark.parametrize("how", ["absent", "empty"])
def test_images_without_optional_attributes(tmp_path, how) -> None:
    study = given.a_study(tmp_path)
    for path in study.paths:
        ds = dcmread(path)
        for keyword in OPTIONAL:
            if keyword in ds:
                delattr(ds, keyword) if how == "absent" else setattr(ds, keyword, None)
        builders.write(ds, path)
    study = replace(study, evidence=builders.stored_instances(study.paths))
    for item in encoded(study):
        ds = reading.dataset(item)
        assert ds.StudyTime in ("", None)
        assert ds.PatientName == "Example^Ada"


NAMES = [
    ("ISO_IR 192", "Müller^Jürgen=山田^太郎"),
    ("ISO_IR 100", "Müller^Jürgen"),
    ("ISO_IR 144", "Люкceмбypг"),
    ("ISO_IR 126", "Διονυσιος"),
    ("ISO_IR 127", "قباني^لنزار"),
    ("GB18030", "Wang^XiaoDong=王^小东"),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
]


KEPT = {"ISO_IR 100", "ISO_IR 144", "ISO_IR 126", "ISO_IR 127", "GB18030"}
"""Their bytes prove nothing: results keep them."""


@pytest.mark.parametrize(("charset", "name"), NAMES, ids=[str(charset) for charset, _ in NAMES])
def test_names_of_the_world(tmp_path, charset, name) -> None:
    study = given.a_study(
        tmp_path, patient=builders.Patient(name=name), attributes={"SpecificCharacterSet": charset}, slices=3
    )
    for item in encoded(study):
        ds = reading.dataset(item)
        assert str(ds.PatientName) == name
        kept = charset in KEPT if isinstance(charset, str) else False
        assert ds.SpecificCharacterSet == (charset if kept else "ISO_IR 192")
        assert (name.encode() in item.content) is not kept


def test_identity_is_copied_as_it_stands_and_the_rest_where_it_is_valid(tmp_path) -> None:
    with config.disable_value_validation():
        study = given.a_study(tmp_path, attributes={"PatientSex": "female", "PatientBirthDate": "unknown"})
        for item in encoded(study):
            ds = reading.dataset(item)
            assert (ds.PatientSex, str(ds.PatientBirthDate)) == ("", "unknown")


def test_lossy_images_are_said_to_be_lossy(tmp_path) -> None:
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": 10.0,
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    seg = reading.dataset(encoded(given.a_study(tmp_path / "a", attributes=lossy))[0])
    assert seg.LossyImageCompression == "01"
    assert seg.LossyImageCompressionRatio == 10
    plain = reading.dataset(encoded(given.a_study(tmp_path / "b", attributes={"LossyImageCompression": ""}))[0])
    assert plain.LossyImageCompression == "00"


def test_the_order_that_is_answered(tmp_path) -> None:
    request = Dataset()
    request.RequestedProcedureID = "RP7"
    request.RequestedProcedureDescription = "CT chest"
    request.ScheduledProcedureStepID = "S1"
    study = given.a_study(tmp_path, attributes={"RequestAttributesSequence": [request]})
    ds = reading.dataset(encoded(study)[1])
    (item,) = ds.ReferencedRequestSequence
    assert item.RequestedProcedureID == "RP7"
    assert item.AccessionNumber == ds.AccessionNumber
    assert item.StudyInstanceUID == ds.StudyInstanceUID


def a_predecessor(kind: ResultKind, sop_class: str, series: str, instance: str) -> Predecessor:
    return Predecessor(kind, SeriesInstanceUID(series), SOPClassUID(sop_class), SOPInstanceUID(instance))


SEG_CLASS, SR_CLASS = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34"
OLD = (
    a_predecessor(ResultKind.SEG, SEG_CLASS, "1.2.2", "1.2.2.4"),
    a_predecessor(ResultKind.SR, SR_CLASS, "1.2.3", "1.2.3.4"),
)


def test_a_report_names_the_reports_that_it_replaces_and_no_other_object(tmp_path) -> None:
    study = given.a_study(tmp_path)
    context = replace(given.CONTEXT, revision=2, predecessors=OLD)
    seg, report = (reading.dataset(item) for item in encoded(study, context=context))
    (item,) = report.PredecessorDocumentsSequence
    assert item.StudyInstanceUID == study.evidence[0].header.study_instance_uid
    (series,) = item.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3"
    assert [one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence] == ["1.2.3.4"]
    assert "PredecessorDocumentsSequence" not in seg
    assert "PredecessorDocumentsSequence" not in reading.dataset(encoded(study)[1])


def test_replacing_is_no_reason_for_other_uids_but_having_been_replaced_is(tmp_path) -> None:
    study = given.a_study(tmp_path)
    first = [item.sop_instance_uid for item in encoded(study)]
    later = replace(given.CONTEXT, revision=2, predecessors=OLD)
    assert [item.sop_instance_uid for item in encoded(study, context=later)] == first
    again = [item.sop_instance_uid for item in encoded(study, context=replace(later, generation=1))]
    assert not set(again) & set(first)


def test_segments(tmp_path) -> None:
    study = given.a_study(tmp_path)
    conclusion = given.a_conclusion(study.volume)
    seg, report = (reading.dataset(item) for item in encoded(study, conclusion))
    lung, nodule = seg.SegmentSequence
    assert (lung.SegmentLabel, nodule.SegmentLabel) == ("Right lung", "Nodule 1")
    modifier = lung.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert modifier.CodeMeaning == "Right"
    assert lung.SegmentAlgorithmType == "AUTOMATIC"
    algorithm = lung.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmVersion == "1.2.3"
    assert "threshold=0.5" in algorithm.AlgorithmParameters
    assert given.ALGORITHM.model.digest in algorithm.AlgorithmParameters
    tracking = {item.TrackingUID for item in seg.SegmentSequence}
    assert {item.UID for item in reading.named(report, "112040")} == tracking
    assert len(tracking) == 2
    assert seg.SegmentsOverlap == "NO"
    used = {f.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
            for f in seg.PerFrameFunctionalGroupsSequence}  # fmt: skip
    assert used <= {instance.sop_instance_uid for instance in study.evidence}
    labels = conclusion.findings[0].labels
    assert seg.NumberOfFrames == sum(int((labels == n).any(axis=(1, 2)).sum()) for n in (1, 2))


def test_measurements(tmp_path) -> None:
    study = given.a_study(tmp_path)
    report = reading.dataset(encoded(study)[1])
    labels = given.labels_of(study.volume.geometry.shape)
    found = {}
    for group in reading.named(report, "125007"):
        tracking = reading.named(group, "112039")[0].TextValue
        for item in group.ContentSequence:
            if item.ValueType == "NUM":
                measured = item.MeasuredValueSequence[0]
                name = item.ConceptNameCodeSequence[0].CodeMeaning
                unit = measured.MeasurementUnitsCodeSequence[0].CodeValue
                found[tracking, name] = (float(measured.NumericValue), unit)
    voxel = 2.5 * 0.8 * 0.7
    for number, tracking in ((1, "AI Right lung"), (2, "AI Nodule 1")):
        volume, unit = found[tracking, "Volume"]
        assert unit == "mL"
        assert volume == pytest.approx((labels == number).sum() * voxel / 1000, rel=1e-5)
        area, unit = found[tracking, "Area"]
        assert unit == "mm2"
        assert area == pytest.approx((labels == number).sum(axis=(1, 2)).max() * 0.56, rel=1e-5)


def test_a_volume_is_added_and_other_values_are_kept(tmp_path) -> None:
    study = given.a_study(tmp_path)
    conclusion = given.a_conclusion(study.volume)
    length = Measurement(Code("103339001", "SCT", "Long Axis"), 12.345678901234567, MILLIMETRE)
    segments = tuple(replace(s, measurements=(length,)) for s in conclusion.findings[0].segments)
    finding = replace(conclusion.findings[0], segments=segments)
    report = reading.dataset(encoded(study, replace(conclusion, findings=(finding,)))[1])
    names = [item.ConceptNameCodeSequence[0].CodeMeaning for item in reading.items(report) if item.ValueType == "NUM"]
    assert names.count("Volume") == names.count("Long Axis") == 2


def test_private_codes_are_declared(tmp_path) -> None:
    study = given.a_study(tmp_path)
    conclusion = given.a_conclusion(study.volume)
    own = Code("left-blob", "99SITE", "Left blob")
    segments = tuple(replace(s, type=own) for s in conclusion.findings[0].segments)
    finding = replace(conclusion.findings[0], segments=segments)
    for item in encoded(study, replace(conclusion, findings=(finding,))):
        (scheme,) = reading.dataset(item).CodingSchemeIdentificationSequence
        assert scheme.CodingSchemeDesignator == "99SITE"


def test_two_hundred_segments(tmp_path) -> None:
    study = given.a_study(tmp_path, slices=4, rows=64, columns=64)
    labels = np.zeros((4, 64, 64), np.uint8)
    for n in range(200):
        labels[n % 4, 3 * (n // 20) : 3 * (n // 20) + 2, 3 * (n % 20) : 3 * (n % 20) + 2] = n + 1
    segments = tuple(
        given.a_segment(n + 1, f"Structure {n + 1}", volume=study.volume, labels=labels) for n in range(200)
    )
    conclusion = given.a_conclusion(study.volume, findings=(Segmentation(labels, segments),))
    seg, report = encoded(study, conclusion)
    assert len(reading.dataset(seg).SegmentSequence) == 200
    assert len(reading.named(reading.dataset(report), "125007")) == 400


def test_several_segmentations(tmp_path) -> None:
    study = given.a_study(tmp_path)
    one = given.a_conclusion(study.volume).findings[0]
    objects = encoded(study, given.a_conclusion(study.volume, findings=(one, one)))
    assert [item.kind for item in objects] == [ResultKind.SEG, ResultKind.SEG, ResultKind.SR]
    first, second, report = (reading.dataset(item) for item in objects)
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)
    assert len(reading.named(report, "125007")) == 8


def refusal(study: given.Study, conclusion) -> str:
    with pytest.raises(PermanentError) as caught:
        ENCODER.encode(conclusion, study.evidence, given.CONTEXT)
    assert caught.value.next_step
    return caught.value.code


def test_conclusions_that_contradict_themselves(tmp_path) -> None:
    study = given.a_study(tmp_path)
    volume, shape = study.volume, study.volume.geometry.shape
    good = given.a_conclusion(volume)
    finding, segments = good.findings[0], good.findings[0].segments
    cases = {
        "nothing-to-report": replace(good, findings=()),
        "labels-off-grid": replace(good, findings=(replace(finding, labels=finding.labels[:-1]),)),
        "segments-misnumbered": replace(good, findings=(replace(finding, segments=segments[::-1]),)),
        "empty-segment": replace(good, findings=(replace(finding, labels=(finding.labels == 1).astype(np.uint8)),)),
        "undescribed-label": replace(good, findings=(replace(finding, segments=segments[:1]),)),
        "no-frame-of-reference": replace(good, volume=replace(volume, frame_of_reference_uid=None)),
        "evidence-missing": replace(good, volume=replace(volume, slices=volume.slices[:-1] + volume.slices[:0])),
    }
    cases["labels-off-grid-2"] = cases.pop("evidence-missing")
    assert {code: refusal(study, conclusion) for code, conclusion in cases.items()} == {
        code: code.removesuffix("-2") for code in cases
    }
    assert refusal(replace(study, evidence=()), good) == "evidence-missing"
    empty = Segmentation(np.zeros(shape, np.uint8), ())
    assert refusal(study, replace(good, findings=(empty,))) == "nothing-to-report"


def test_labels_of_more_than_255_segments(tmp_path) -> None:
    study = given.a_study(tmp_path, slices=2, rows=40, columns=40)
    labels = np.zeros((2, 40, 40), np.uint16)
    labels.reshape(-1)[: 300 * 4] = np.repeat(np.arange(1, 301), 4)
    segments = tuple(given.a_segment(n, f"S{n}", volume=study.volume, labels=labels) for n in range(1, 301))
    seg, _ = encoded(study, given.a_conclusion(study.volume, findings=(Segmentation(labels, segments),)))
    assert len(reading.dataset(seg).SegmentSequence) == 300


def test_no_series_of_results_has_the_number_of_one_of_the_study(tmp_path) -> None:
    study = given.a_study(tmp_path, slices=2, attributes={"SeriesNumber": 9000})
    withdrawal = Withdrawal(("a",), (Predecessor(ResultKind.SR, *map(str, ("2.25.1", "1.2.3", "2.25.2"))),))
    context = replace(
        given.CONTEXT,
        destinations=("a", "b", "c"),
        series_numbers=frozenset({1, 9000, 9010, 500, 9027}),
        withdrawals=(withdrawal,),
        predecessors=withdrawal.instances,
    )
    other = replace(OHIF, name="other", key_images=PLAIN.key_images)
    profiles = {"a": OHIF, "b": other, "c": replace(SLICER, series_number=497)}
    encoder = DicomEncoder(profiles=profiles)
    objects = encoder.encode(given.a_conclusion(study.volume), study.evidence, context)
    numbers = {}
    for item in objects:
        numbers.setdefault(int(reading.dataset(item).SeriesNumber), set()).add(item.series_instance_uid)
    assert not set(numbers) & context.series_numbers
    assert all(len(series) == 1 for series in numbers.values())
    assert {number // 100 for number in numbers} == {90, 5}
    gate = ResultGate(profiles=profiles)
    assert gate.check(objects, given.a_conclusion(study.volume), study.evidence, context).passed
    clashing = replace(context, series_numbers=frozenset(numbers))
    report = gate.check(objects, given.a_conclusion(study.volume), study.evidence, clashing)
    assert [check.name for check in report.failures] == ["series-numbers"]
    alone = encoder.encode(given.a_conclusion(study.volume), study.evidence, given.CONTEXT)
    assert 9000 not in {int(reading.dataset(item).SeriesNumber) for item in alone}


def test_the_device_is_called_by_the_configuration_alone() -> None:
    one, other = (equipment(Settings.model_validate({"node": {"data": data}})) for data in ("/a", "/b"))
    assert one == other
    assert len(one.device_serial_number) == 16
    assert equipment(Settings.model_validate({"node": {"ae_title": "AI_2"}})) != one
