"""Values that are only copied from the images: as they are where that is valid, else left out and said; never fatal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import config, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from tests import builders
from tests.unit.results import given, projection, reading
from tests.unit.results.test_copied_text import EVERYTHING, results, seeded
from worker.decode.series.headers import HeaderReader
from worker.decode.series.volumes import VolumeReader
from worker.domain.codes import Code
from worker.domain.errors import IdentityError
from worker.domain.profile import SLICER
from worker.domain.result import ResultKind
from worker.gate.result_gate import ResultGate
from worker.results.encoder import DicomEncoder

pytestmark = pytest.mark.slow

CHEST = Code("51185008", "SCT", "Chest")


def put(ds: Dataset, keyword: str, vr: str, value: bytes) -> None:
    """An element as a device wrote it, in the representation that it chose."""
    tag = Tag(keyword)
    value += b" " * (len(value) % 2)
    ds._dict[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


def a_study(folder: Path, *odd: tuple[str, str, bytes], change: Callable[[Dataset], None] | None = None) -> given.Study:
    study = given.a_study(folder, slices=2, rows=16, columns=16)
    for path in study.paths:
        ds = dcmread(path)
        for keyword, vr, value in odd:
            put(ds, keyword, vr, value)
        if change is not None:
            change(ds)
        with config.disable_value_validation():
            ds.save_as(path)
    return replace(study, evidence=builders.stored_instances(study.paths))


def code(value: str, scheme: str = "SCT", meaning: str = "Chest") -> Dataset:
    item = Dataset()
    with config.disable_value_validation():
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("PatientWeight", "DS", b"70,5"),
        ("PatientSize", "DS", b"n/a"),
        ("PatientWeight", "DS", b"70.50000000000000001"),
        ("PatientWeight", "DS", b"70\\71"),
        ("PatientAge", "AS", b"45"),
        ("PatientSex", "CS", b"female"),
        ("StudyDate", "DA", b"2026.03.14"),
        ("StudyDate", "DA", b"20260301-20260302"),
        ("StudyTime", "TM", b"10:15:00"),
        ("PatientBirthTime", "TM", b"noon"),
        ("StudyDescription", "LO", b"x" * 65),
        ("StudyDescription", "LO", b"CT\\CHEST"),
        ("StudyDescription", "LO", b"Th\xf6rax"),
        ("StudyID", "SH", b"12345678901234567"),
        ("BodyPartExamined", "CS", b"Chest (upper)"),
        ("ReferringPhysicianName", "PN", b"y" * 65),
        ("ReferringPhysicianName", "PN", b"a=b=c=d"),
        ("PositionReferenceIndicator", "LO", b"z" * 70),
        ("PatientWeight", "FD", b"\0\0\0\0\0\0\xf0\x3f"),
        ("PatientSize", "UN", b"\xff\xfe"),
        ("SoftwareVersions", "LO", b"v" * 70),
        ("ManufacturerModelName", "LO", b"M\xfcnchen"),
        ("PregnancyStatus", "US", b"\1\0\2\0"),
    ],
)
def test_an_invalid_value_is_left_out_and_said(tmp_path, keyword, vr, value) -> None:
    study = a_study(tmp_path, (keyword, vr, value))
    notes = DicomEncoder(standard=EVERYTHING).examine(study.evidence, given.CONTEXT)
    assert len(notes) == 1
    assert "left out" in notes[0]
    for item in results(study, EVERYTHING):
        ds = reading.dataset(item)
        if keyword not in ("SoftwareVersions", "ManufacturerModelName"):
            assert not ds.get(keyword)
        assert ds.ContributingEquipmentSequence[-1].ContributionDescription.endswith(notes[0])
        assert ds.ContributingEquipmentSequence[-1].ContributionDescription.count("left out") == 1
        assert ds.PatientName == "Example^Ada"


@pytest.mark.parametrize("value", [b"0800", b"NO", b"1", b"O", b"00\\01", b"01", b""])
def test_lossy_compression_is_said_in_the_words_of_the_standard(tmp_path, value) -> None:
    """PS3.3 C.7.6.1.1.5: 00 or 01, whatever a device wrote."""
    study = a_study(tmp_path, ("LossyImageCompression", "CS", value))
    notes = DicomEncoder(standard=EVERYTHING).examine(study.evidence, given.CONTEXT)
    assert len(notes) == (value not in (b"01", b""))
    for item in results(study, EVERYTHING):
        if item.kind in (ResultKind.SEG, ResultKind.PM):
            assert reading.dataset(item).LossyImageCompression == ("01" if value == b"01" else "00")


@pytest.mark.parametrize("value", [b"HU\\US", b"\\", b"x" * 70])
def test_a_unit_of_values_that_is_none_costs_no_picture(tmp_path, value) -> None:
    study = a_study(tmp_path, ("RescaleType", "LO", value))
    states = [one for one in results(study, EVERYTHING) if one.kind is ResultKind.PR]
    assert {str(reading.dataset(one).RescaleType) for one in states} == {"US"}


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("PatientID", "LO", b"P" * 70),
        ("PatientBirthDate", "DA", b"1960.03.01"),
        ("AccessionNumber", "SH", b"A" * 20),
        ("PatientName", "PN", b"n" * 70),
        ("IssuerOfPatientID", "LO", b"i" * 70),
    ],
)
def test_identity_is_never_left_out(tmp_path, keyword, vr, value) -> None:
    study = a_study(tmp_path, (keyword, vr, value))
    notes = DicomEncoder().examine(study.evidence, given.CONTEXT)
    assert len(notes) == 1
    assert "copied as it stands" in notes[0]
    for item in results(study, EVERYTHING):
        assert dcmread(BytesIO(item.content)).get_item(keyword).value.rstrip(b" ") == value


@pytest.mark.parametrize(("keyword", "vr", "value"), [("PatientName", "OB", b"\1\2"), ("PatientName", "SQ", b"")])
def test_identity_that_is_no_text_is_refused(tmp_path, keyword, vr, value) -> None:
    study = a_study(tmp_path, (keyword, vr, value))
    with pytest.raises(IdentityError) as caught:
        DicomEncoder().examine(study.evidence, given.CONTEXT)
    assert caught.value.code == "identity-undecodable"


def test_uids_with_leading_zeros_are_the_images_own(tmp_path) -> None:
    def change(ds: Dataset) -> None:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"):
            put(ds, keyword, "UI", f"1.2.03.{ds.InstanceNumber if keyword == 'SOPInstanceUID' else 9}".encode())
        ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.03.{ds.InstanceNumber}"

    study = a_study(tmp_path, change=change)
    refs = tuple(
        replace(ref, sop_instance_uid=one.sop_instance_uid)
        for ref, one in zip(study.volume.slices, study.evidence, strict=True)
    )
    volume = replace(
        study.volume,
        slices=refs,
        series_instance_uid=study.evidence[0].header.series_instance_uid,
        frame_of_reference_uid="1.2.03.9",
    )
    for profile in (EVERYTHING, SLICER):
        for item in results(replace(study, volume=volume), profile):
            assert str(reading.dataset(item).StudyInstanceUID) == "1.2.03.9"


@pytest.mark.parametrize(
    "bad",
    [code("1" * 17), code("1", meaning="m" * 65), code("1", scheme="99" + "x" * 16)],
    ids=["value", "meaning", "scheme"],
)
def test_an_item_with_a_value_that_does_not_fit_is_left_out_whole(tmp_path, bad) -> None:
    def change(ds: Dataset) -> None:
        ds.ProcedureCodeSequence = [bad, code("51185008")]
        ds.AdmittingDiagnosesCodeSequence = [bad]
        request = Dataset()
        request.RequestedProcedureID = "RP1"
        request.RequestedProcedureCodeSequence = [bad]
        ds.RequestAttributesSequence = [request]

    study = a_study(tmp_path, change=change)
    notes = DicomEncoder().examine(study.evidence, given.CONTEXT)
    assert len(notes) == 3
    for item in results(study, EVERYTHING):
        ds = reading.dataset(item)
        assert [one.CodeValue for one in ds.ProcedureCodeSequence] == ["51185008"]
        assert "AdmittingDiagnosesCodeSequence" not in ds


def test_an_odd_remark_does_not_cost_an_order(tmp_path) -> None:
    def change(ds: Dataset) -> None:
        request = Dataset()
        request.RequestedProcedureID = "RP1"
        with config.disable_value_validation():
            request.ScheduledProcedureStepDescription = "d" * 70
        ds.RequestAttributesSequence = [request]
        other = Dataset()
        with config.disable_value_validation():
            other.PatientID = "P" * 70
        other.TypeOfPatientID = "TEXT"
        ds.OtherPatientIDsSequence = [other]

    study = a_study(tmp_path, change=change)
    notes = DicomEncoder().examine(study.evidence, given.CONTEXT)
    assert len(notes) == 2
    assert any(note.startswith("Scheduled Procedure Step Description is left out") for note in notes)
    for item in results(study):
        assert "OtherPatientIDsSequence" not in reading.dataset(item)
        if item.kind is ResultKind.SR:
            assert reading.dataset(item).ReferencedRequestSequence[0].RequestedProcedureID == "RP1"


def test_private_elements_in_copied_items_stay_behind(tmp_path) -> None:
    def change(ds: Dataset) -> None:
        item = code("51185008")
        block = item.private_block(0x0099, "SOMEBODY", create=True)
        block.add_new(1, "DS", "1.5")
        ds.ProcedureCodeSequence = [item]

    for item in results(a_study(tmp_path, change=change)):
        assert not [one for one in reading.dataset(item).ProcedureCodeSequence[0] if one.tag.is_private]


LONG = b"0.70000000000000000001"


@pytest.mark.parametrize(
    "odd",
    [
        [("PixelSpacing", "DS", b"0.80000000000000000001\\" + LONG)],
        [("ImageOrientationPatient", "DS", b"0.99999999999999999999\\0\\0\\0\\1\\0")],
        [("SliceThickness", "DS", b"2,5")],
        [("SliceThickness", "DS", b"2.33333333333333333333")],
        [("WindowCenter", "DS", b"40,5")],
        [("WindowWidth", "DS", b"n/a")],
        [("WindowCenter", "DS", b"40.50000000000000000001"), ("WindowWidth", "DS", b"400.0000000000000000001")],
        [("RescaleType", "LO", b"H" * 70)],
        [("LossyImageCompression", "CS", b"01"), ("LossyImageCompressionRatio", "DS", b"10.12345678901234567")],
        [("LossyImageCompression", "CS", b"01"), ("LossyImageCompressionMethod", "CS", b"iso_10918_1")],
        [("ImageLaterality", "CS", b"left")],
        [("PatientOrientation", "CS", b"left\\down")],
        [("InstanceNumber", "IS", b"one")],
        [("RescaleIntercept", "DS", b"-1024.0000000000000001")],
    ],
    ids=lambda odd: odd[-1][0] + odd[-1][2][:4].decode() if isinstance(odd, list) else str(odd),
)
@pytest.mark.parametrize("profile", [EVERYTHING, SLICER], ids=lambda one: one.name)
def test_numbers_and_looks_of_images_that_do_not_fit_their_representation(tmp_path, odd, profile) -> None:
    assert results(a_study(tmp_path, *odd), profile)


def test_a_position_of_many_digits(tmp_path) -> None:
    def change(ds: Dataset) -> None:
        x, y, z = (float(value) for value in ds.ImagePositionPatient)
        put(ds, "ImagePositionPatient", "DS", f"{x:.16f}\\{y:.16f}\\{z:.16f}".encode())

    for profile in (EVERYTHING, SLICER):
        assert results(a_study(tmp_path / profile.name, change=change), profile)


def test_the_gate_notices_what_is_left_out_without_need(tmp_path) -> None:
    study = a_study(tmp_path)
    conclusion = given.a_conclusion(study.volume)
    objects = DicomEncoder().encode(conclusion, study.evidence, given.CONTEXT)
    spoilt = (seeded(objects[0], lambda ds: setattr(ds, "StudyDescription", None)), *objects[1:])
    report = ResultGate().check(spoilt, conclusion, study.evidence, given.CONTEXT)
    assert [check.name for check in report.failures] == ["seg-copies"]


@pytest.mark.parametrize(
    "odd",
    [
        ("ImagerPixelSpacing", "DS", b"0,143\\0,143"),
        ("ImagerPixelSpacing", "DS", b"0.14300000000000000001\\0.14300000000000000001"),
        ("PixelSpacing", "DS", b"0,143\\0,143"),
        ("EstimatedRadiographicMagnificationFactor", "DS", b"1,1"),
        ("EstimatedRadiographicMagnificationFactor", "DS", b"0"),
        ("NominalScannedPixelSpacing", "DS", b"a\\b"),
        ("PatientOrientation", "CS", b"left\\down"),
        ("Laterality", "CS", b"left"),
        ("PixelAspectRatio", "IS", b"one\\1"),
        ("InstanceNumber", "IS", b"99999999999999"),
    ],
    ids=lambda one: f"{one[0]} {one[2].decode()}",
)
def test_projection_images_with_values_that_do_not_fit(tmp_path, odd) -> None:
    study = projection.single(tmp_path, "DX", spacing_mm=(0.2, 0.2))
    for path in study.paths:
        ds = dcmread(path)
        put(ds, *odd)
        with config.disable_value_validation():
            ds.save_as(path)
    evidence = builders.stored_instances(study.paths)
    reader = HeaderReader()
    (series,) = reader.series(reader.headers(evidence))
    volume = VolumeReader(memory_budget_bytes=1 << 28).volume(series)
    for profile in (EVERYTHING, SLICER):
        assert results(replace(study, evidence=evidence, volume=volume), profile)
