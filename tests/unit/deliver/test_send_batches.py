"""How files are spread over associations, and what is not sent at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from worker.deliver.association import check_ae_title
from worker.deliver.part10 import StoredFile, look_at
from worker.deliver.send_files import batches, expanded
from worker.domain.errors import ConfigurationError, PermanentError
from worker.domain.study import SOPClassUID, SOPInstanceUID, TransferSyntaxUID


def _file(sop_class: int, syntax: int) -> StoredFile:
    return StoredFile(
        path=Path("x"),
        sop_class_uid=SOPClassUID(f"1.{sop_class}"),
        sop_instance_uid=SOPInstanceUID("1.2"),
        transfer_syntax_uid=TransferSyntaxUID(f"2.{syntax}"),
        size_bytes=1,
    )


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3))), st.integers(1, 5))
def test_batches_keep_all_files_in_order_within_the_limit(pairs: list[tuple[int, int]], limit: int) -> None:
    files = [_file(*pair) for pair in pairs]
    groups = batches(files, limit=limit)
    assert [file for group in groups for file in group] == files
    for group in groups:
        assert 0 < len({(file.sop_class_uid, file.transfer_syntax_uid) for file in group}) <= limit


def test_129_contexts_need_two_associations() -> None:
    assert [len(group) for group in batches([_file(n, 0) for n in range(129)])] == [128, 1]


def test_folders_are_searched(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/2", "a", "b/1"):
        (tmp_path / name).write_bytes(b"")
    assert list(expanded([tmp_path, Path("given")])) == [
        tmp_path / "a", tmp_path / "b" / "1", tmp_path / "b" / "2", Path("given"),
    ]  # fmt: skip


def test_look_at_reads_what_a_request_needs(tmp_path: Path) -> None:
    path = builders.write(builders.a_ct_slice(), tmp_path / "ct.dcm")
    seen = look_at(path)
    assert seen.sop_class_uid == "1.2.840.10008.5.1.4.1.1.2"
    assert seen.sop_instance_uid == builders.a_ct_slice().SOPInstanceUID
    assert seen.transfer_syntax_uid == "1.2.840.10008.1.2.1"
    assert seen.size_bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not-dicom"),
        (b"hello" * 100, "not-dicom"),
        (bytes(128) + b"DICM", "file-meta-incomplete"),
        (bytes(128) + b"DICM\x02\x00\x00\x00UL\x04\x00\xff\xff\xff\xff\x02\x00\x10\x00UI\xff\xff1", "not-dicom"),
    ],
)
def test_what_is_no_dicom_file_has_a_name(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(PermanentError) as caught:
        look_at(path)
    assert caught.value.code in {code, "file-meta-incomplete"}
    assert caught.value.next_step


def test_a_missing_file_has_a_name(tmp_path: Path) -> None:
    with pytest.raises(PermanentError) as caught:
        look_at(tmp_path / "gone")
    assert caught.value.code == "file-missing"


@given(st.binary(max_size=200))
def test_no_header_makes_look_at_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(bytes(128) + b"DICM" + tail)
    assert _code_of(path) in {"", "not-dicom", "file-meta-incomplete"}


def _code_of(path: Path) -> str:
    try:
        look_at(path)
    except PermanentError as error:
        return error.code
    return ""


@pytest.mark.parametrize("ae_title", ["", "   ", "A" * 17, "A\\B", "AÄ", "A\nB"])
def test_what_is_no_ae_title(ae_title: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_ae_title(ae_title)
    assert caught.value.code == "invalid-ae-title"


def test_an_ae_title_may_have_spaces_inside() -> None:
    assert check_ae_title("OVERREAD 1") == "OVERREAD 1"
