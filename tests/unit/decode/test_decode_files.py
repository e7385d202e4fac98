"""Folders of files, for the commands that work offline."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.builders import a_ct_series, a_ct_slice, data_set_bytes, stored_instance, write
from tests.unit.decode.reading import frames_of
from worker.decode.dataset.files import instance_from_file, instances_from_folder
from worker.decode.series.headers import HeaderReader
from worker.decode.series.volumes import VolumeReader


def test_a_folder_of_many_things(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path / "deep" / "er", slices=3)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "empty").touch()
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(4000))
    (tmp_path / "cut.dcm").write_bytes(paths[0].read_bytes()[:600])
    seen: list[tuple[int, int]] = []
    found, skipped = instances_from_folder(tmp_path, lambda done, total: seen.append((done, total)))
    assert [instance.path for instance in found] == list(paths)
    assert {skip.path.name: skip.code for skip in skipped} == {
        "notes.txt": "not-dicom", "empty": "not-dicom", "picture.png": "not-dicom", "cut.dcm": "truncated-instance",
    }  # fmt: skip
    assert all("Ada" not in skip.reason for skip in skipped)
    assert seen == [(n, 7) for n in range(1, 8)]


def test_records_are_those_of_the_store(tmp_path: Path) -> None:
    path = write(a_ct_slice(), tmp_path / "a.dcm")
    instance = instance_from_file(path, name="in file 1")
    expected = stored_instance(path)
    assert instance.header == expected.header
    assert (instance.sha256, instance.size_bytes) == (expected.sha256, expected.size_bytes)
    assert instance.transfer_syntax_uid == expected.transfer_syntax_uid


@pytest.mark.parametrize("uid", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_files_without_preamble_and_meta_information(tmp_path: Path, uid: str) -> None:
    whole = write(a_ct_slice(), tmp_path / "whole" / "a.dcm", transfer_syntax_uid=uid)
    bare = tmp_path / "bare.dcm"
    bare.write_bytes(data_set_bytes(whole))
    (instance,), skipped = instances_from_folder(bare)
    assert skipped == ()
    assert instance.transfer_syntax_uid == uid
    assert instance.sha256 == hashlib.sha256(bare.read_bytes()).hexdigest()
    (series,) = HeaderReader().series(HeaderReader().headers((instance,)))
    assert (VolumeReader().volume(series).voxels == frames_of(whole).values).all()


def test_dicomdir_is_no_image(tmp_path: Path) -> None:
    ds = dcmread(write(a_ct_slice(), tmp_path / "DICOMDIR"))
    del ds.PixelData
    ds.SOPClassUID = "1.2.840.10008.1.3.10"
    dcmwrite(tmp_path / "DICOMDIR", ds)
    assert [skip.code for skip in instances_from_folder(tmp_path)[1]] == ["dicomdir"]


def test_the_same_instance_twice(tmp_path: Path) -> None:
    for name in ("a.dcm", "b.dcm"):
        write(a_ct_slice(), tmp_path / name)
    write(a_ct_slice(rows=48), tmp_path / "c.dcm")
    found, skipped = instances_from_folder(tmp_path)
    assert [instance.path.name for instance in found] == ["a.dcm"]
    assert [(skip.path.name, skip.code) for skip in skipped] == [("b.dcm", "repeated"), ("c.dcm", "conflict")]


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_without_a_uid_no_result_can_refer_to_it(tmp_path: Path, keyword: str) -> None:
    path = write(a_ct_slice(), tmp_path / "a.dcm")
    ds: Dataset = dcmread(path)
    setattr(ds, keyword, "")
    dcmwrite(path, ds)
    (skip,) = instances_from_folder(tmp_path)[1]
    assert skip.code == "no-uid"
    assert keyword.removesuffix("InstanceUID") in skip.reason.replace(" ", "")


def test_loops_of_links_end(tmp_path: Path) -> None:
    write(a_ct_slice(), tmp_path / "a.dcm")
    (tmp_path / "self").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    found, skipped = instances_from_folder(tmp_path)
    assert len(found) == 1
    assert [skip.code for skip in skipped] == ["not-dicom"]


def test_an_empty_folder(tmp_path: Path) -> None:
    assert instances_from_folder(tmp_path) == ((), ())
