from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from tests import builders
from tests.unit.results import given
from worker.domain.errors import IdentityError, PermanentError
from worker.domain.study import SOPInstanceUID, StudyInstanceUID
from worker.domain.volume import SliceRef
from worker.results.evidence import read_source


def rewrite(path: Path, **changes: object) -> None:
    ds = dcmread(path)
    for keyword, value in changes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    builders.write(ds, path)


def reading_again(study: given.Study):
    return read_source(study.volume, builders.stored_instances(study.paths))


def code_of(study: given.Study) -> str:
    with pytest.raises(PermanentError) as caught:
        reading_again(study)
    assert caught.value.next_step
    message = str(caught.value)
    for private in ("Example", "Ada", "OR-0001", "1960"):
        assert private not in message
    return caught.value.code


def test_frames_are_those_of_the_slices(tmp_path) -> None:
    study = given.a_study(tmp_path)
    turned = replace(study.volume, slices=study.volume.slices[::-1])
    source = read_source(turned, study.evidence)
    assert [frame.sop_instance_uid for frame in source.frames] == [ref.sop_instance_uid for ref in turned.slices]
    assert source.frames[0].position[2] == pytest.approx(5.0 + 5 * 2.5)
    assert source.pixel_area_mm2 == pytest.approx(0.56)
    assert not source.is_multi_frame
    assert len(source.instances) == 6


def test_frames_of_a_multi_frame_object_keep_their_numbers(tmp_path) -> None:
    study = given.an_enhanced_study(tmp_path, frame_order=[2, 0, 1, 3])
    source = read_source(study.volume, study.evidence)
    assert [frame.number for frame in source.frames] == [2, 3, 1, 4]
    assert np.diff([frame.position[2] for frame in source.frames]) == pytest.approx([2.5] * 3)
    assert len(source.instances) == 1
    assert "PerFrameFunctionalGroupsSequence" not in source.header


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "OR-0002"),
        ("IssuerOfPatientID", "ELSEWHERE"),
        ("PatientName", "Example^Ben"),
        ("PatientBirthDate", "19600301"),
        ("StudyInstanceUID", "1.2.3.4"),
        ("AccessionNumber", "A9"),
    ],
)
def test_evidence_that_disagrees_is_refused(tmp_path, keyword, value) -> None:
    study = given.a_study(tmp_path)
    rewrite(study.paths[3], **{keyword: value})
    with pytest.raises(IdentityError) as caught:
        reading_again(study)
    assert caught.value.code == "identity-conflict"
    assert keyword in str(caught.value)
    assert value not in str(caught.value)


def test_evidence_outside_the_volume_counts_as_well(tmp_path) -> None:
    study = given.a_study(tmp_path)
    fewer = replace(study, volume=replace(study.volume, slices=study.volume.slices[:3]))
    rewrite(study.paths[5], PatientID="OR-0002")
    assert code_of(fewer) == "identity-conflict"


@pytest.mark.parametrize("name", ["Example^Ada^^^", "Example^Ada ", "Example^Ada^="])
def test_empty_trailing_name_components_are_no_difference(tmp_path, name) -> None:
    study = given.a_study(tmp_path)
    rewrite(study.paths[2], PatientName=name)
    assert reading_again(study).frames


def test_no_patient_id(tmp_path) -> None:
    study = given.a_study(tmp_path, attributes={"PatientID": "  "})
    assert code_of(study) == "patient-id-empty"


def test_several_patient_ids(tmp_path) -> None:
    study = given.a_study(tmp_path, attributes={"PatientID": ["OR-0001", "OR-0003"]})
    assert code_of(study) == "identity-multi-valued"


def test_a_name_that_its_character_set_cannot_decode(tmp_path) -> None:
    study = given.a_study(tmp_path)
    for path in study.paths:
        raw = path.read_bytes()
        assert raw.count(b"Example^Ada ") == 1
        path.write_bytes(raw.replace(b"Example^Ada ", b"Ex\xe4mple^Ada "))
    assert code_of(study) == "identity-undecodable"


def test_a_name_outside_ascii_in_a_character_set_that_nobody_knows(tmp_path) -> None:
    patient = builders.Patient(name="Müller^Ada")
    study = given.a_study(tmp_path / "a", patient=patient, attributes={"SpecificCharacterSet": "ISO_IR 100"})
    assert str(reading_again(study).header.PatientName) == "Müller^Ada"
    for path in study.paths:
        path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"ISO_IR 999"))
    assert code_of(study) == "identity-undecodable"
    ascii_only = given.a_study(tmp_path / "b", attributes={"SpecificCharacterSet": "ISO_IR 100"})
    for path in ascii_only.paths:
        path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"ISO_IR 999"))
    assert reading_again(ascii_only).frames


def test_bytes_that_changed_since_they_were_indexed(tmp_path) -> None:
    study = given.a_study(tmp_path)
    header = replace(study.evidence[0].header, study_instance_uid=StudyInstanceUID("1.2.3"))
    with pytest.raises(IdentityError) as caught:
        read_source(study.volume, (replace(study.evidence[0], header=header), *study.evidence[1:]))
    assert caught.value.code == "evidence-changed"


def test_a_slice_without_evidence(tmp_path) -> None:
    study = given.a_study(tmp_path)
    volume = replace(study.volume, slices=(*study.volume.slices, SliceRef(SOPInstanceUID("1.2.3"))))
    with pytest.raises(PermanentError) as caught:
        read_source(volume, study.evidence)
    assert caught.value.code == "evidence-missing"


def test_a_file_that_is_gone_or_broken(tmp_path) -> None:
    study = given.a_study(tmp_path)
    for spoil in (lambda path: path.unlink(), lambda path: path.write_bytes(b"not DICOM")):
        spoil(study.paths[1])
        with pytest.raises(PermanentError) as caught:
            read_source(study.volume, study.evidence)
        assert caught.value.code == "evidence-unreadable"


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_no_geometry(tmp_path, keyword) -> None:
    study = given.a_study(tmp_path)
    rewrite(study.paths[4], **{keyword: None})
    assert code_of(study) == "geometry-missing"


@pytest.mark.parametrize("changes", [{"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, {"PixelSpacing": [0.9, 0.7]}])
def test_slices_of_different_stacks(tmp_path, changes) -> None:
    study = given.a_study(tmp_path)
    rewrite(study.paths[4], **changes)
    assert code_of(study) == "mixed-orientations"


def test_rounding_noise_of_directions_is_one_stack(tmp_path) -> None:
    study = given.a_study(tmp_path)
    rewrite(study.paths[4], ImageOrientationPatient=["1", "0.00001", "0", "0", "0.99999", "0.0001"])
    assert reading_again(study).frames
