"""The corpus of sound and hostile data sets: each has a named outcome."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from pathlib import Path

import pydicom.data
import pytest
from pydicom import dcmread

from tests.unit.intake.corpus import (
    BIG,
    CORPUS,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    SOP,
    Case,
    Element,
    a_ct,
    bomb,
    encode,
)
from worker.data_elements.faults import ScanError
from worker.domain.study import IndexedHeader
from worker.intake.scan.scan import Announced, scan_data_set, scan_file


def scan(data: bytes, syntax: str = EXPLICIT, announced: Announced | None = None) -> IndexedHeader:
    with tempfile.TemporaryFile() as file:
        file.write(b"before" + data)
        file.flush()
        return scan_data_set(
            file.fileno(), offset=6, length_bytes=len(data), transfer_syntax_uid=syntax, announced=announced
        )


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_every_data_set_of_the_corpus_has_its_named_outcome(case: Case) -> None:
    data = case.make()
    if case.code:
        with pytest.raises(ScanError) as caught:
            scan(data, case.syntax)
        assert caught.value.code == case.code
        assert caught.value.status == case.status
        assert len(caught.value.code) <= 64
    else:
        assert scan(data, case.syntax).sop_instance_uid == SOP


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
def test_the_header_is_the_same_in_every_encoding(syntax: str) -> None:
    header = scan(encode(a_ct(syntax), syntax), syntax)
    assert header.patient.patient_id == "PID1"
    assert header.patient.patient_name == "Doe^Jane"
    assert header.patient.patient_birth_date == "19700101"
    assert header.patient.issuer_of_patient_id == ""
    assert (header.accession_number, header.modality) == ("ACC1", "CT")
    assert (header.manufacturer, header.manufacturer_model_name, header.device_serial_number) == (
        "MAKER",
        "MODEL",
        "SN1",
    )


@pytest.mark.parametrize(
    ("announced", "code"),
    [
        (Announced(sop_class_uid=CT + ".1", sop_instance_uid=SOP), "sop-class-differs"),
        (Announced(sop_class_uid=CT, sop_instance_uid=SOP + ".1"), "sop-instance-differs"),
    ],
)
def test_a_data_set_that_is_not_the_announced_one_does_not_match(announced: Announced, code: str) -> None:
    with pytest.raises(ScanError) as caught:
        scan(encode(a_ct()), announced=announced)
    assert (caught.value.code, caught.value.status) == (code, 0xA900)


def test_no_message_quotes_the_data_set() -> None:
    secret = "SECRETNAME"  # noqa: S105 - a patient's name, not a password
    for tag in (0x00100010, 0x00100020, 0x0020000D, 0x00080018):
        parts = [p for p in a_ct() if getattr(p, "tag", 0) != tag]
        data = encode(parts) + encode([_text(tag, secret + "\\" + secret)])
        with pytest.raises(ScanError) as caught:
            scan(data)
        assert secret not in str(caught.value)
        assert secret not in repr(caught.value)


def _text(tag: int, value: str) -> Element:
    return Element(tag, b"LO", value.encode())


def test_a_bomb_and_a_large_object_are_scanned_in_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(bomb(128 << 20))
    big = tmp_path / "big"
    head = encode(a_ct()[:-1])
    with big.open("wb") as file:
        file.write(head + b"\xe0\x7f\x10\x00OW\0\0" + (1 << 30).to_bytes(4, "little"))
        file.truncate(file.tell() + (1 << 30))  # sparse: a gigabyte of pixel data costs nothing to write
    tracemalloc.start()
    with pytest.raises(ScanError, match="inflates beyond"):
        scan_file(path, offset=0, transfer_syntax_uid=DEFLATED)
    scan_file(big, offset=0, transfer_syntax_uid=EXPLICIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 << 20


_KNOWN_REFUSALS = {
    # pydicom's own broken or incomplete samples
    "MR_truncated.dcm": "truncated",
    "rtplan_truncated.dcm": "truncated",
    "badVR.dcm": "bad-pixel-description",
    "SC_rgb_jpeg.dcm": "bad-vr",  # Implicit VR bytes under a JPEG transfer syntax
    "chrJapMulti.dcm": "pixel-data-missing",
    "chrJapMultiExplicitIR6.dcm": "pixel-data-missing",
    "chrKoreanMulti.dcm": "pixel-data-missing",
}


def real_files() -> list[Path]:
    root = Path(pydicom.data.__file__).parent
    files = [path for path in sorted(root.rglob("*.dcm")) if path.read_bytes()[128:132] == b"DICM"]
    assert len(files) > 80
    return files


def test_real_files_are_understood_or_refused_for_a_known_reason() -> None:
    odd = {}
    for path in real_files():
        data_set = dcmread(path, stop_before_pixels=True, force=True, specific_tags=["StudyInstanceUID"])
        syntax = str(data_set.file_meta.get("TransferSyntaxUID", ""))
        if not syntax or path.parent.name == "dicomdirtests":
            continue
        with path.open("rb") as file:
            pydicom.filereader.read_preamble(file, force=False)
            pydicom.filereader._read_file_meta_info(file)
            offset = file.tell()
        try:
            header = scan_file(path, offset=offset, transfer_syntax_uid=syntax)
        except ScanError as refusal:
            if not refusal.code.startswith("missing-") and refusal.code != "bad-group":
                odd[path.name] = refusal.code
        else:
            assert header.study_instance_uid == str(data_set.StudyInstanceUID)
    assert odd == _KNOWN_REFUSALS


def test_a_file_that_shrinks_under_the_scan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shrinking"
    data = encode(a_ct(rows=256, columns=256))
    path.write_bytes(data[:100])
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(ScanError, match="ends in the middle"):
            scan_data_set(descriptor, offset=0, length_bytes=len(data), transfer_syntax_uid=EXPLICIT)
    finally:
        os.close(descriptor)
