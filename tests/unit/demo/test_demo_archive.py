"""What the demonstration PACS keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests import builders
from worker.demo.archive import UNREADABLE, Archive, part10_files
from worker.demo.pacs import destination, list_studies
from worker.demo.query import matches
from worker.domain.result import Destination


def content(folder: Path, dataset: Dataset) -> bytes:
    return builders.write(dataset, folder / "written.dcm").read_bytes()


def filled(folder: Path) -> Archive:
    archive = Archive(folder / "pacs")
    builders.a_ct_series(folder / "ct", slices=3)
    builders.an_mr_series(folder / "mr", slices=2, study="other")
    for one in part10_files(folder):
        archive.add(one)
    return archive


def test_bytes_are_kept_and_no_name_comes_from_outside(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "pacs")
    dataset = builders.a_ct_slice(attributes={"SOPInstanceUID": "1.2.3"})
    instance, new = archive.add(content(tmp_path, dataset))
    assert new
    assert instance.path.read_bytes() == content(tmp_path, dataset)
    assert "1.2.3" not in str(instance.path.relative_to(tmp_path))
    assert archive.get("1.2.3") == instance


def test_a_known_uid_changes_nothing(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "pacs")
    first, _ = archive.add(content(tmp_path, builders.a_ct_slice()))
    before = first.path.read_bytes()
    again, new = archive.add(content(tmp_path, builders.a_ct_slice(description="ANOTHER")))
    assert (again, new) == (first, False)
    assert first.path.read_bytes() == before


def test_another_process_sees_the_same(tmp_path: Path) -> None:
    archive = filled(tmp_path)
    listing = list_studies(tmp_path / "pacs")
    assert listing == archive.studies()
    assert [(line.modality, line.instance_count) for line in sorted(listing, key=lambda line: line.modality)] == [
        ("CT", 3),
        ("MR", 2),
    ]
    assert Archive(tmp_path / "pacs").studies() == listing


@pytest.mark.parametrize("rubbish", [b"", b"x" * 500, bytes(128) + b"DICM"])
def test_rubbish_is_refused(tmp_path: Path, rubbish: bytes) -> None:
    with pytest.raises(UNREADABLE):
        Archive(tmp_path).add(rubbish)
    assert list_studies(tmp_path) == ()


def test_an_instance_whose_file_is_gone_is_not_there(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "pacs")
    instance, _ = archive.add(content(tmp_path, builders.a_ct_slice()))
    instance.path.unlink()
    assert archive.get(instance.sop_instance_uid) is None


def query(level: str, **keys: str) -> Dataset:
    dataset = Dataset()
    dataset.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    return dataset


def test_queries_match_by_level_uid_and_wildcard(tmp_path: Path) -> None:
    archive = filled(tmp_path)
    studies = list(matches(archive, query("STUDY", StudyInstanceUID="", ModalitiesInStudy="", PatientID="*")))
    assert {one.ModalitiesInStudy for one in studies} == {"CT", "MR"}
    ct = str(builders.a_ct_slice().StudyInstanceUID)
    assert len(list(matches(archive, query("IMAGE", StudyInstanceUID=ct, SOPInstanceUID="")))) == 3
    assert len(list(matches(archive, query("SERIES", SeriesDescription="T1*", SeriesInstanceUID="")))) == 1
    assert list(matches(archive, query("STUDY", StudyInstanceUID="1.2.3"))) == []
    with pytest.raises(ValueError, match="level"):
        list(matches(archive, query("PATIENT")))


def test_addresses_on_the_command_line() -> None:
    assert destination("OVERREAD@127.0.0.1:11112") == Destination(
        name="OVERREAD", ae_title="OVERREAD", host="127.0.0.1", port=11112
    )


@pytest.mark.parametrize("text", ["OVERREAD", "A@b", "A@b:0", "A@b:70000", "ABCDEFGHIJKLMNOPQ@h:1", "@h:1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(Exception, match="AET@host:port"):
        destination(text)
