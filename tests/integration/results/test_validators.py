"""Every kind of object on every kind of geometry, judged by programs that we did not write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import builders
from tests.integration.results import validators
from tests.unit.results import given
from tests.unit.results.revised import a_revision
from tests.unit.results.test_geometry import CORPUS
from worker.domain.findings import Conclusion, Segmentation
from worker.results.encoder import DicomEncoder

pytestmark = [pytest.mark.slow, pytest.mark.dcmtk]


def judged(study: given.Study, conclusion: Conclusion, folder: Path) -> list[Path]:
    """Encode, write, and let everybody judge; returns the files."""
    objects = DicomEncoder().encode(conclusion, study.evidence, given.CONTEXT)
    files = []
    for number, item in enumerate(objects):
        files.append(folder / f"result-{number}.dcm")
        files[-1].write_bytes(item.content)
    for path, item in zip(files, objects, strict=True):
        assert validators.dciodvfy(path) == []
        if item.kind == "SR":
            assert validators.dsrdump(path) == []
    assert validators.dcentvfy([*study.paths, *files], about=files) == []
    if objects[0].kind == "SEG":
        compare(conclusion, files, folder)
    return files


def compare(conclusion: Conclusion, files: list[Path], folder: Path) -> None:
    """What dcmqi reads is what the model concluded: the same voxels in the same place, the same numbers."""
    geometry, finding = conclusion.volume.geometry, conclusion.findings[0]
    masks = validators.segimage2itkimage(files[0], folder)
    assert set(masks) == {segment.label for segment in finding.segments}
    for segment in finding.segments:
        index = np.argwhere(finding.labels == segment.number).astype(float)
        expected = validators.in_order(geometry.to_patient_mm(index))
        found = masks[segment.label].points_mm()
        assert len(found) == len(expected)
        assert np.abs(found - expected).max() < 0.01
        read_ml = len(found) * float(np.prod(masks[segment.label].image.GetSpacing())) / 1000
        assert read_ml == pytest.approx(len(expected) * np.prod(geometry.spacing_mm) / 1000, rel=1e-3)
    groups = validators.tid1500reader(files[1], folder)
    volumes = {
        group["TrackingIdentifier"]: float(item["value"])
        for group in groups
        for item in group["measurementItems"]
        if item["quantity"]["CodeMeaning"] == "Volume"
    }
    assert volumes == {
        segment.tracking_identifier: pytest.approx(segment.measurements[0].value, rel=1e-5)
        for segment in finding.segments
    }


SHEARED = {"tilted", "oblique-tilted", "oblique-descending"}
"""ITK images have no shear: dcmqi cannot say where the voxels of a tilted stack are. The gate's own reader can."""


@pytest.mark.parametrize("name", sorted(CORPUS.keys() - SHEARED))
def test_geometry_corpus(tmp_path, name) -> None:
    arguments = CORPUS[name]
    study = given.a_study(tmp_path / "images", **arguments)
    labels = None
    if arguments.get("slices") == 1:
        labels = np.zeros(study.volume.geometry.shape, np.uint8)
        labels[0, 3:9, 4:20], labels[0, 20:, 30:] = 1, 2
    judged(study, given.a_conclusion(study.volume, labels, absent=("Trachea",)), tmp_path)


@pytest.mark.parametrize("name", sorted(SHEARED))
def test_a_tilted_stack_is_valid(tmp_path, name) -> None:
    study = given.a_study(tmp_path / "images", **CORPUS[name])
    objects = DicomEncoder().encode(given.a_conclusion(study.volume), study.evidence, given.CONTEXT)
    for number, item in enumerate(objects):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(item.content)
        assert validators.dciodvfy(path) == []


@pytest.mark.parametrize("order", [None, [3, 1, 0, 2]])
def test_multi_frame(tmp_path, order) -> None:
    study = given.an_enhanced_study(tmp_path, frame_order=order)
    judged(study, given.a_conclusion(study.volume), tmp_path)


@pytest.mark.parametrize("place", [(0, 0, 0), (5, 31, 39), (3, 15, 20)])
def test_one_voxel(tmp_path, place) -> None:
    study = given.a_study(tmp_path / "images")
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    labels[place] = 1
    judged(study, given.a_conclusion(study.volume, labels), tmp_path)


def test_nothing_found(tmp_path) -> None:
    study = given.a_study(tmp_path / "images")
    nothing = Segmentation(np.zeros(study.volume.geometry.shape, np.uint8), (), absent=("Lung", "Trachea"))
    assert len(judged(study, given.a_conclusion(study.volume, findings=(nothing,)), tmp_path)) == 1


NAME = builders.Patient(name="Yamada^Tarou=山田^太郎=やまだ^たろう")


def test_names_outside_latin(tmp_path) -> None:
    study = given.a_study(tmp_path / "images", slices=3, patient=NAME)
    judged(study, given.a_conclusion(study.volume), tmp_path)


def test_names_in_an_older_character_set(tmp_path) -> None:
    # Not for dcentvfy, which compares bytes and so takes every other encoding of a name for another patient.
    old = {"SpecificCharacterSet": ["", "ISO 2022 IR 87"]}
    study = given.a_study(tmp_path / "images", slices=3, patient=NAME, attributes=old)
    seg, report = DicomEncoder().encode(given.a_conclusion(study.volume), study.evidence, given.CONTEXT)
    for item in (seg, report):
        path = tmp_path / f"{item.kind}.dcm"
        path.write_bytes(item.content)
        assert validators.dciodvfy(path) == []
    assert validators.dsrdump(tmp_path / "SR.dcm") == []


def test_images_that_say_little(tmp_path) -> None:
    absent = dict.fromkeys(
        ("IssuerOfPatientID", "PatientAge", "PatientWeight", "StudyDescription", "BodyPartExamined",
         "DeviceSerialNumber", "SoftwareVersions", "InstitutionName", "ManufacturerModelName")
    )  # fmt: skip
    study = given.a_study(tmp_path / "images", attributes=absent)
    judged(study, given.a_conclusion(study.volume, absent=("Trachea",)), tmp_path)


def test_many_segments(tmp_path) -> None:
    study = given.a_study(tmp_path / "images", slices=3, rows=40, columns=40)
    labels = np.zeros((3, 40, 40), np.uint8)
    labels.reshape(-1)[: 200 * 6] = np.repeat(np.arange(1, 201), 6)
    segments = tuple(given.a_segment(n, f"S{n}", volume=study.volume, labels=labels) for n in range(1, 201))
    conclusion = given.a_conclusion(study.volume, findings=(Segmentation(labels, segments),))
    objects = DicomEncoder().encode(conclusion, study.evidence, given.CONTEXT)
    for number, item in enumerate(objects):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(item.content)
        assert validators.dciodvfy(path) == []


def test_a_rejection_note(tmp_path) -> None:
    revised = a_revision(tmp_path / "images")
    files = []
    for number, item in enumerate((*revised.first, *revised.second)):
        files.append(tmp_path / f"result-{number}.dcm")
        files[-1].write_bytes(item.content)
    note = files[-1]
    assert validators.dciodvfy(note) == []
    assert validators.dsrdump(note) == []
    assert validators.dcentvfy([*revised.study.paths, *files], about=[note]) == []
    # With the replaced objects not at hand, the references of the note must be what is missed.
    assert validators.dcentvfy([*revised.study.paths, *files[3:]], about=[note]) != []


def test_a_model_that_saw_two_series(tmp_path) -> None:
    """The other series is evidence of the reports, and nothing more."""
    study = given.a_study(tmp_path / "first")
    further = builders.a_ct_series(tmp_path / "further", slices=4, rows=20, columns=24, series="further")
    both = given.Study((*study.paths, *further), (*study.evidence, *builders.stored_instances(further)), study.volume)
    judged(both, given.a_conclusion(study.volume), tmp_path)
