"""The matrix of kinds and validators, on studies that are quick to make; ``make matrix`` does it for all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.integration.results import geometry, known, page
from tests.integration.results.kinds import KINDS, Judged, ResultSet, Sample, judged
from tests.integration.results.matrix import PIXELMED, VALIDATORS, Matrix, fill
from tests.integration.results.validators import Said
from tests.unit.results import given, reading

pytestmark = pytest.mark.dcmtk

FAST = tuple(one for one in VALIDATORS if one is not PIXELMED)


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Sample:
    """A small CT, large enough for the shapes that are put on it."""
    folder = tmp_path_factory.mktemp("stack")
    return Sample("CT", folder, lambda images: given.a_study(images, rows=64, columns=72))


def with_named(sample: Sample, *names: str) -> list[Judged]:
    return list(judged(sample, [kind for kind in KINDS if kind.name in names]))


def changed(one: Judged, path: Path, change) -> Judged:
    """The object with something wrong in it, alone in its set."""
    item = reading.changed(one.item, change)
    path.write_bytes(item.content)
    together = one.together
    alone = ResultSet((item,), (path,), together.gate, together.others, together.in_patient_space)
    return replace(one, item=item, path=path, together=alone)


def test_every_kind_on_a_stack(stack) -> None:
    matrix = Matrix()
    fill(matrix, stack, FAST)
    assert matrix.problems() == []
    assert {kind.name for kind in KINDS} == set(matrix.objects), "a kind of which nothing was made proves nothing"
    heard = {name for _, name in matrix.cells}
    assert heard == {validator.name for validator in FAST}


def test_every_kind_on_a_cine_run(tmp_path, sample_cache) -> None:
    matrix = Matrix()
    make = page.STUDIES["XA cine"]
    fill(matrix, Sample("XA cine", tmp_path, lambda images: make(images, sample_cache)), FAST)
    assert matrix.problems() == []
    assert {kind.name for kind in KINDS} - set(matrix.objects) == {"Parametric map"}


@pytest.mark.pixelmed
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_pixelmed_finds_no_error_in_reports(stack, tmp_path) -> None:
    """IHE's gate: volumes and regions, each template alone with points in the patient, text, key objects."""
    kinds = ("Measurement report", "Measurement report, one template each", "Text report", "Key object selection")
    reports = with_named(stack, *kinds)
    good = next(one for one in reports if one.kind.name == kinds[1])
    broken = changed(good, tmp_path / "broken.dcm", lambda ds: reading.drop(ds, "121012"))
    every = [*reports, broken]
    said = dict(zip([one.path for one in every], PIXELMED.judge(every), strict=True))
    matrix = Matrix()
    for one in reports:
        matrix.add(one.kind.name, PIXELMED.name, said[one.path])
    assert matrix.problems() == []
    assert {kind for kind, _ in matrix.cells} == set(kinds)
    # What is sent to a Connectathon needs no explanation.
    assert [said[one.path].errors for one in reports if one.kind.of_set == "slicer"] == [[]] * 3
    assert len(said[broken.path].errors) == 1, "a report without the UID of its observer"


def without_units(ds) -> None:
    num = next(item for item in reading.items(reading.named(ds, "125007")[0]) if item.ValueType == "NUM")
    del num.MeasuredValueSequence[0].MeasurementUnitsCodeSequence


def relation(ds) -> None:
    reading.named(ds, "111030")[0].ContentSequence[0].RelationshipType = "INFERRED FROM"


def cut(keyword):
    return lambda ds: delattr(ds, keyword)


DAMAGE = {
    "dciodvfy": ("Segmentation, BINARY", cut("ContentLabel")),
    "dcentvfy": ("Segmentation, BINARY", lambda ds: setattr(ds, "PatientID", "SOMEONE-ELSE")),
    "dsrdump": ("Measurement report", relation),
    "dcmpschk": ("Presentation state", cut("PresentationCreationDate")),
    "dcmp2pgm": ("Presentation state", cut("DisplayedAreaSelectionSequence")),
    "tid1500reader": ("Measurement report", without_units),
    "segimage2itkimage": ("Segmentation, BINARY", lambda ds: ds.SegmentSequence.pop()),
    "paramap2itkimage": (
        "Parametric map",
        lambda ds: delattr(ds.PerFrameFunctionalGroupsSequence[0], "PlanePositionSequence"),
    ),
    "highdicom": (
        "Segmentation, BINARY",
        lambda ds: delattr(ds.SegmentSequence[0], "SegmentedPropertyTypeCodeSequence"),
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_every_validator_can_fail(stack, tmp_path, name) -> None:
    (validator,) = (one for one in VALIDATORS if one.name == name)
    kind, change = DAMAGE[name]
    good = with_named(stack, kind)[0]
    broken = changed(good, tmp_path / "broken.dcm", change)
    (before,), (after,) = validator.judge([good]), validator.judge([broken])
    assert known.unexplained(name, kind, before.errors, known.ERRORS) == []
    assert known.unexplained(name, kind, after.errors, known.ERRORS)


def test_the_page_tells_all_of_it() -> None:
    """Written by hand or not: no kind, validator, study or known message may be missing on the page."""
    text = page.DOCUMENT.read_text(encoding="utf-8")
    for kind in KINDS:
        assert f"| {kind.name} |" in text
    for validator in VALIDATORS:
        assert f"| {validator.name} | {validator.about} |" in text
    for one in (*known.ERRORS, *known.WARNINGS):
        assert one.reason in text
    for name in page.STUDIES:
        assert name in text
    assert f"| {geometry.RANDOM_STACKS} |" in text


def test_a_message_is_explained_for_its_kind_only() -> None:
    known_one = next(one for one in known.ERRORS if one.kinds == r"^Measurement report$")
    message = "Template 1411 x: Missing conditional content item"
    assert known_one.explains("PixelMed", "Measurement report", message)
    assert not known_one.explains("PixelMed", "Measurement report, one template each", message)
    assert not known_one.explains("dsrdump", "Measurement report", message)


def test_what_is_not_known_is_a_problem() -> None:
    matrix = Matrix()
    matrix.add("Kind", "dcm2json", Said(["E: broken"], []))
    assert matrix.problems() == ["Kind, dcm2json: E: broken"]


def test_files_are_what_was_encoded(stack) -> None:
    one = with_named(stack, "Segmentation, BINARY")[0]
    assert str(dcmread(one.path, stop_before_pixels=True).SOPInstanceUID) == one.item.sop_instance_uid
