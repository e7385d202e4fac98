"""Text of the images whose bytes and declared set disagree: kept as it is, stated by the site, or refused by name."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests import builders
from tests.unit.results import given, reading
from worker.domain.character_sets import StatedSet, StatedSets
from worker.domain.errors import IdentityError, PermanentError
from worker.domain.findings import Refusal, Segmentation
from worker.domain.profile import OHIF, PLAIN, SLICER, WEASIS, Profile
from worker.domain.result import EncodedObject, Predecessor, ResultKind, Withdrawal
from worker.domain.study import SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from worker.gate.result_gate import ResultGate
from worker.results.encoder import DicomEncoder

pytestmark = pytest.mark.slow

EVERYTHING = replace(WEASIS, name="everything", key_images=PLAIN.key_images, heat_maps=True)
GBK = "王^小明".encode("gbk")
CP1251 = "Иванов^Иван".encode("cp1251")
UTF_8 = "Müller^Jürgen".encode()
LATIN_1 = "Müller^Jürgen".encode("latin-1")
JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"


def named(folder: Path, name: bytes, declared: str | list[str] | None, *, slices: int = 2) -> given.Study:
    """A study whose patient's name is these bytes, whatever is declared."""
    stand_in = "Q" * (len(name) + len(name) % 2)
    study = given.a_study(
        folder,
        slices=slices,
        rows=16,
        columns=16,
        patient=builders.Patient(name=stand_in),
        attributes={"SpecificCharacterSet": declared},
    )
    for path in study.paths:
        raw = path.read_bytes()
        assert raw.count(stand_in.encode()) == 1
        path.write_bytes(raw.replace(stand_in.encode(), name + b" " * (len(name) % 2)))
    return replace(study, evidence=builders.stored_instances(study.paths))


def results(
    study: given.Study, profile: Profile = OHIF, *, stated: StatedSets | None = None, title: str = "Lungs"
) -> tuple[EncodedObject, ...]:
    """The objects of a study, that the gate lets pass."""
    sets = stated or StatedSets()
    conclusion = given.a_conclusion(study.volume, absent=("Trachea",))
    conclusion = replace(conclusion, algorithm=replace(conclusion.algorithm, title=title))
    objects = DicomEncoder(standard=profile, character_sets=sets).encode(conclusion, study.evidence, given.CONTEXT)
    report = ResultGate(standard=profile, character_sets=sets).check(objects, conclusion, study.evidence, given.CONTEXT)
    assert report.passed, report.failures
    return objects


def raw(item: EncodedObject, keyword: str) -> bytes:
    """The bytes of an element as they are written."""
    return dcmread(BytesIO(item.content)).get_item(keyword).value.rstrip(b" ")


def declared_by(item: EncodedObject) -> object:
    return dcmread(BytesIO(item.content)).get("SpecificCharacterSet")


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        (GBK, "ISO_IR 100"),
        (CP1251, "ISO_IR 144"),
        (UTF_8, "ISO_IR 100"),
        (LATIN_1, "ISO_IR 100"),
        (LATIN_1, ["ISO 2022 IR 100", "ISO 2022 IR 87"]),
        ("王^小明".encode("gb18030"), "GB18030"),
        (LATIN_1, "ISO IR 100"),
        (b"Buc^J\xe9r\xf4me=\x1b-F\xc4\xe9\xef", ["ISO 2022 IR 100", "ISO 2022 IR 126"]),
        (b"=\x1b-L" + "Иванов".encode("cp1251"), ["", "ISO 2022 IR 144"]),
        (b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J", ["ISO 2022 IR 13", "ISO 2022 IR 87"]),
    ],
)
@pytest.mark.parametrize("profile", [EVERYTHING, SLICER], ids=lambda one: one.name)
def test_bytes_that_prove_nothing_are_kept_with_their_declaration(tmp_path, name, declared, profile) -> None:
    for item in results(named(tmp_path, name, declared), profile):
        assert raw(item, "PatientName") == name, item.kind
        found = declared_by(item)
        wanted = "ISO_IR 100" if declared == "ISO IR 100" else declared
        assert (found if isinstance(found, str) else list(found)) == wanted


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        (GBK, None),
        (UTF_8, None),
        (LATIN_1, None),
        (LATIN_1, "ISO_IR 6"),
        (GBK, "ISO_IR 192"),
        (LATIN_1, "ISO_IR 192"),
        (LATIN_1, "latin1"),
        (UTF_8, ["ISO_IR 192", "ISO 2022 IR 100"]),
        (b"\x1b%G" + UTF_8, ["", "ISO 2022 IR 87"]),
        (b"=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", None),
        ("홍^길동".encode("euc_kr"), ["", "ISO 2022 IR 149"]),
        ("Müller\N{REPLACEMENT CHARACTER}".encode(), "ISO_IR 192"),
    ],
)
def test_names_that_nobody_can_read_are_refused_before_anything_is_analysed(tmp_path, name, declared) -> None:
    study = named(tmp_path, name, declared)
    with pytest.raises(IdentityError) as caught:
        DicomEncoder().examine(study.evidence, given.CONTEXT)
    assert caught.value.code == "identity-undecodable"
    assert "character_sets" in caught.value.next_step
    with pytest.raises(IdentityError):
        results(study)
    refusal = Refusal(given.ALGORITHM, study.volume.series_instance_uid, "CT", "too-few", "Too few images.")
    with pytest.raises(IdentityError):
        DicomEncoder(standard=replace(OHIF, refusals=True)).refuse(refusal, study.evidence, given.CONTEXT)


@pytest.mark.parametrize(
    ("name", "declared", "stated", "text"),
    [
        (GBK, None, StatedSets(StatedSet("GB18030")), "王^小明"),
        (GBK, "ISO_IR 192", StatedSets(None, {"MODALITY": StatedSet("GB18030", always=True)}), "王^小明"),
        (CP1251, None, StatedSets(None, {"MODALITY": StatedSet("ISO_IR 144")}), CP1251.decode("iso8859-5")),
        (CP1251, "ISO_IR 144", StatedSets(StatedSet("windows-1251", always=True)), "Иванов^Иван"),
        (LATIN_1, "ISO_IR 100", StatedSets(StatedSet("ISO_IR 100", always=True)), "Müller^Jürgen"),
    ],
)
def test_what_the_site_states_of_a_sender_is_beyond_doubt(tmp_path, name, declared, stated, text) -> None:
    for item in results(named(tmp_path, name, declared), EVERYTHING, stated=stated):
        assert declared_by(item) == "ISO_IR 192"
        assert str(reading.dataset(item).PatientName) == text


@pytest.mark.parametrize(
    "stated",
    [
        StatedSets(None, {"ELSEWHERE": StatedSet("GB18030", always=True)}),
        StatedSets(StatedSet("GB18030")),  # for images that declare nothing; these do
    ],
)
def test_a_statement_on_somebody_else_changes_nothing(tmp_path, stated) -> None:
    study = named(tmp_path, GBK, "ISO_IR 192")
    with pytest.raises(IdentityError, match="Specific Character Set"):
        results(study, stated=stated)


@pytest.mark.parametrize("declared", [b"hex", b"rot13", b"undefined", b"utf_7", b"ISO 2022 IR 999", b"\xff\xfe"])
def test_codecs_of_python_and_nonsense_are_no_character_sets(tmp_path, declared) -> None:
    stand_in = "X" * (len(declared) + len(declared) % 2)
    study = named(tmp_path, b"Example^Ada", stand_in)
    for path in study.paths:
        path.write_bytes(path.read_bytes().replace(stand_in.encode(), declared + b" " * (len(declared) % 2), 1))
    for item in results(study, EVERYTHING):
        assert (raw(item, "PatientName"), declared_by(item)) == (b"Example^Ada", "ISO_IR 192")


def test_escape_sequences_leave_no_doubt(tmp_path) -> None:
    declared = ["", "ISO 2022 IR 87"]
    study = given.a_study(
        tmp_path, slices=2, patient=builders.Patient(name=JAPANESE), attributes={"SpecificCharacterSet": declared}
    )
    for item in results(study, EVERYTHING):
        assert declared_by(item) == "ISO_IR 192"
        assert str(reading.dataset(item).PatientName) == JAPANESE


@pytest.mark.parametrize(("wanted", "name"), [("ISO_IR 192", GBK), ("ISO_IR 192", LATIN_1), ("ISO_IR 144", LATIN_1)])
def test_a_profile_of_another_set_does_not_make_doubtful_text_official(tmp_path, wanted, name) -> None:
    study = named(tmp_path, name, "ISO_IR 100")
    encoder = DicomEncoder(standard=replace(OHIF, character_set=wanted))
    for attempt in (
        lambda: encoder.examine(study.evidence, given.CONTEXT),
        lambda: encoder.encode(given.a_conclusion(study.volume), study.evidence, given.CONTEXT),
    ):
        with pytest.raises(PermanentError) as caught:
            attempt()
        assert caught.value.code == "not-in-character-set"


def test_a_profile_of_another_set_gets_what_is_certain_or_a_refusal_by_name(tmp_path) -> None:
    latin = replace(OHIF, character_set="ISO_IR 100")
    for item in results(named(tmp_path / "a", UTF_8, "ISO_IR 192"), latin):
        assert (raw(item, "PatientName"), declared_by(item)) == (LATIN_1, "ISO_IR 100")
    for item in results(named(tmp_path / "b", LATIN_1, "ISO_IR 100"), latin):
        assert (raw(item, "PatientName"), declared_by(item)) == (LATIN_1, "ISO_IR 100")
    with pytest.raises(PermanentError, match="PatientName has characters that ISO_IR 100 cannot write"):
        results(named(tmp_path / "c", "王".encode(), "ISO_IR 192"), latin)


def test_our_own_texts_fit_the_set_of_the_images(tmp_path) -> None:
    doubtful = results(named(tmp_path / "a", LATIN_1, "ISO_IR 144"), EVERYTHING, title="Läsionen µ 肺")
    certain = results(named(tmp_path / "b", UTF_8, "ISO_IR 192"), EVERYTHING, title="Läsionen µ 肺")
    assert {item.kind for item in doubtful} >= {ResultKind.SEG, ResultKind.SR, ResultKind.SC, ResultKind.PR}
    for item in doubtful:
        assert "Lasionen u U+80BA" in reading.dataset(item).SeriesDescription
    for item in certain:
        assert "Läsionen µ 肺" in reading.dataset(item).SeriesDescription


def test_the_refusal_and_the_rejection_note_keep_the_text_as_well(tmp_path) -> None:
    study = named(tmp_path, GBK, "ISO_IR 100")
    old = Predecessor(ResultKind.SR, SeriesInstanceUID("2.25.1"), SOPClassUID("1.2.3"), SOPInstanceUID("2.25.2"))
    context = replace(given.CONTEXT, predecessors=(old,), withdrawals=(Withdrawal(("pacs",), (old,)),), revision=2)
    wanting = replace(OHIF, refusals=True)
    refusal = Refusal(given.ALGORITHM, study.volume.series_instance_uid, "CT", "too-few", "Zu wenig Gefäße.")
    objects = DicomEncoder(standard=wanting).refuse(refusal, study.evidence, context)
    assert [item.kind for item in objects] == [ResultKind.SR, ResultKind.KOS]
    assert ResultGate(standard=wanting).check_refusal(objects, refusal, study.evidence, context).passed
    for item in objects:
        assert (raw(item, "PatientName"), declared_by(item)) == (GBK, "ISO_IR 100")


def test_instances_that_write_one_name_in_two_sets_agree(tmp_path) -> None:
    study = named(tmp_path / "a", LATIN_1, "ISO_IR 100")
    again = dcmread(study.paths[1])
    again.SpecificCharacterSet = "ISO_IR 192"
    again.PatientName = "Müller^Jürgen"
    builders.write(again, study.paths[1])
    study = replace(study, evidence=builders.stored_instances(study.paths))
    for item in results(study):
        assert str(reading.dataset(item).PatientName) == "Müller^Jürgen"


def seeded(item: EncodedObject, change) -> EncodedObject:
    ds = dcmread(BytesIO(item.content))
    change(ds)
    buffer = BytesIO()
    ds.save_as(buffer)
    return replace(item, content=buffer.getvalue())


def official(ds: Dataset) -> None:
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = "Íõ^Ð¡Ã÷"


def other_set(ds: Dataset) -> None:
    name = ds.PatientName.original_string
    ds.SpecificCharacterSet = "ISO_IR 101"
    ds.PatientName = name.decode("iso8859-2")


@pytest.mark.parametrize("change", [official, other_set], ids=lambda one: one.__name__)
def test_the_gate_notices_text_that_was_made_official(tmp_path, change) -> None:
    study = named(tmp_path, GBK, "ISO_IR 100")
    conclusion = given.a_conclusion(study.volume)
    objects = DicomEncoder().encode(conclusion, study.evidence, given.CONTEXT)
    spoilt = (seeded(objects[0], change), *objects[1:])
    report = ResultGate().check(spoilt, conclusion, study.evidence, given.CONTEXT)
    assert "seg-character-set" in {check.name for check in report.failures}


def test_labels_of_a_model_are_found_by_the_gate_in_ascii(tmp_path) -> None:
    study = named(tmp_path, LATIN_1, "ISO_IR 100")
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    labels[0, 2:9, 2:9] = 1
    segment = given.a_segment(1, "Läsion, größte", volume=study.volume, labels=labels)
    conclusion = given.a_conclusion(study.volume, findings=(Segmentation(labels, (segment,)),))
    objects = DicomEncoder(standard=EVERYTHING).encode(conclusion, study.evidence, given.CONTEXT)
    assert ResultGate(standard=EVERYTHING).check(objects, conclusion, study.evidence, given.CONTEXT).passed
    assert reading.dataset(objects[0]).SegmentSequence[0].SegmentLabel == "Lasion, grosste"
