"""Fetching: pinned, verified, cached, repaired. Archives come from a local folder through the `source` hook."""

from __future__ import annotations

import io
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from worker.samples import (
    SAMPLES,
    Archive,
    ArchiveCorruptError,
    DownloadError,
    Recipe,
    SourceFormatError,
    UnknownSampleError,
    fetch,
)
from worker.samples.archives import read_folder, read_members, sha256_of
from worker.samples.recipes import RECIPES, native

FILES = {"pkg/data/1.dcm": b"one", "pkg/data/2.dcm": b"two", "pkg/data/deep/3.dcm": b"no", "pkg/a.py": b"no"}


class Shelf:
    """A source that copies archives from a folder and counts how often it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, 0

    def __call__(self, archive: Archive, directory: Path) -> None:
        self.asked += 1
        (directory / archive.filename).write_bytes((self.folder / archive.filename).read_bytes())


def offline(archive: Archive, directory: Path) -> None:
    raise DownloadError(f"{archive.requirement} could not be fetched: no route to host.")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    folder = tmp_path / "shelf"
    folder.mkdir()
    with zipfile.ZipFile(folder / "pkg-1-py3-none-any.whl", "w") as wheel:
        for name, content in FILES.items():
            wheel.writestr(name, content)
    return Shelf(folder)


@pytest.fixture
def recipes(shelf: Shelf) -> dict[str, Recipe]:
    path = shelf.folder / "pkg-1-py3-none-any.whl"
    archive = Archive("pkg", "1", "wheel", path.name, sha256_of(path), path.stat().st_size)
    return {"it": Recipe(archive, native("pkg/data", ".dcm"))}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.dcm")}


def test_only_the_wanted_members_arrive_untouched(tmp_path: Path, shelf: Shelf, recipes: dict[str, Recipe]) -> None:
    folder = fetch("it", tmp_path / "cache", source=shelf, recipes=recipes)
    assert contents(folder) == {"1.dcm": b"one", "2.dcm": b"two"}


def test_second_call_does_nothing(tmp_path: Path, shelf: Shelf, recipes: dict[str, Recipe]) -> None:
    first = fetch("it", tmp_path, source=shelf, recipes=recipes)
    stamps = {path: path.stat().st_mtime_ns for path in first.iterdir()}
    again = fetch("it", tmp_path, source=offline, recipes=recipes)
    assert again == first
    assert {path: path.stat().st_mtime_ns for path in again.iterdir()} == stamps
    assert shelf.asked == 1


@pytest.mark.parametrize("damage", ["change", "remove", "add", "unseal"])
def test_damaged_sample_is_rebuilt_from_the_cached_archive(
    tmp_path: Path, shelf: Shelf, recipes: dict[str, Recipe], damage: str
) -> None:
    folder = fetch("it", tmp_path, source=shelf, recipes=recipes)
    match damage:
        case "change":
            (folder / "1.dcm").write_bytes(b"One")
        case "remove":
            (folder / "2.dcm").unlink()
        case "add":
            (folder / "stray.dcm").write_bytes(b"?")
        case "unseal":
            (folder / "sealed.json").write_text("{")
    assert contents(fetch("it", tmp_path, source=offline, recipes=recipes)) == {"1.dcm": b"one", "2.dcm": b"two"}


def test_damaged_archive_is_fetched_again(tmp_path: Path, shelf: Shelf, recipes: dict[str, Recipe]) -> None:
    folder = fetch("it", tmp_path, source=shelf, recipes=recipes)
    (folder / "1.dcm").unlink()
    (tmp_path / "archives" / "pkg-1-py3-none-any.whl").write_bytes(b"torn")
    said: list[str] = []
    fetch("it", tmp_path, said.append, source=shelf, recipes=recipes)
    assert shelf.asked == 2
    assert any("damaged" in line for line in said)
    assert contents(folder) == {"1.dcm": b"one", "2.dcm": b"two"}


def test_wrong_hash_is_refused_and_nothing_is_kept(tmp_path: Path, shelf: Shelf, recipes: dict[str, Recipe]) -> None:
    (shelf.folder / "pkg-1-py3-none-any.whl").write_bytes(b"something else")
    with pytest.raises(ArchiveCorruptError, match="SHA-256") as caught:
        fetch("it", tmp_path, source=shelf, recipes=recipes)
    assert str(tmp_path / "archives") in caught.value.next_step
    assert not (tmp_path / "it").exists()
    assert list((tmp_path / "archives").iterdir()) == []


def test_offline_error_says_what_to_copy_where(tmp_path: Path, recipes: dict[str, Recipe]) -> None:
    with pytest.raises(DownloadError, match="no route") as caught:
        fetch("it", tmp_path, source=offline, recipes=recipes)
    step = caught.value.next_step
    assert "pip config" in step
    assert "pkg-1-py3-none-any.whl" in step
    assert recipes["it"].archive.sha256 in step
    assert str(tmp_path / "archives") in step


def test_archive_copied_by_hand_is_used(tmp_path: Path, shelf: Shelf, recipes: dict[str, Recipe]) -> None:
    (tmp_path / "archives").mkdir()
    shelf(recipes["it"].archive, tmp_path / "archives")
    assert contents(fetch("it", tmp_path, source=offline, recipes=recipes))


def test_failed_build_leaves_no_half_sample(tmp_path: Path, shelf: Shelf, recipes: dict[str, Recipe]) -> None:
    def half(archive: Path, target: Path) -> None:
        (target / "1.dcm").write_bytes(b"one")
        raise SourceFormatError("torn in the middle")

    broken = {"it": Recipe(recipes["it"].archive, half)}
    with pytest.raises(SourceFormatError):
        fetch("it", tmp_path, source=shelf, recipes=broken)
    assert [path.name for path in tmp_path.iterdir() if path.name != "shelf"] == ["archives"]


def test_newer_recipe_rebuilds(tmp_path: Path, shelf: Shelf, recipes: dict[str, Recipe]) -> None:
    fetch("it", tmp_path, source=shelf, recipes=recipes)
    newer = {"it": Recipe(recipes["it"].archive, native("pkg/data", "1.dcm"), version=2)}
    assert contents(fetch("it", tmp_path, source=offline, recipes=newer)) == {"1.dcm": b"one"}


def test_who_comes_at_the_same_time_waits_and_finds_it_done(
    tmp_path: Path, shelf: Shelf, recipes: dict[str, Recipe]
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(archive: Archive, directory: Path) -> None:
        begun.set()
        assert go_on.wait(60)
        shelf(archive, directory)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(fetch, "it", tmp_path / "cache", source=slow, recipes=recipes)
        assert begun.wait(60)
        second = threads.submit(fetch, "it", tmp_path / "cache", source=offline, recipes=recipes)
        go_on.set()
        assert contents(first.result(60)) == contents(second.result(60)) == {"1.dcm": b"one", "2.dcm": b"two"}
    assert shelf.asked == 1


def test_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownSampleError) as caught:
        fetch("chest", tmp_path, source=offline)
    assert "chest-ct" in caught.value.next_step


def test_progress_says_each_step(tmp_path: Path, shelf: Shelf, recipes: dict[str, Recipe]) -> None:
    said: list[str] = []
    fetch("it", tmp_path, said.append, source=shelf, recipes=recipes)
    assert [line.split()[0] for line in said] == ["fetching", "it:", "it:"]


def test_sdist_members_are_named_without_their_top_folder(tmp_path: Path) -> None:
    path = tmp_path / "pkg-1.tar.gz"
    with tarfile.open(path, "w:gz") as sdist:
        for name, content in {"pkg-1/data/a.nrrd": b"a", "../escape": b"bad", "/etc/x": b"bad"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            sdist.addfile(info, io.BytesIO(content))
    assert read_members(path, ["data/a.nrrd"]) == {"data/a.nrrd": b"a"}
    assert read_folder(path, "data") == {"a.nrrd": b"a"}
    with pytest.raises(SourceFormatError, match=r"data/b\.nrrd"):
        read_members(path, ["data/a.nrrd", "data/b.nrrd"])
    with pytest.raises(SourceFormatError, match="nowhere"):
        read_folder(path, "nowhere")


def test_every_sample_has_a_recipe_and_tells_its_terms() -> None:
    assert SAMPLES.keys() == RECIPES.keys()
    assert {"chest-ct", "brain-mr", "head-ct"} <= SAMPLES.keys()
    for name, sample in SAMPLES.items():
        assert sample.name == name
        assert all([sample.title, sample.origin, sample.licence, sample.citation, sample.real, sample.converted])
        assert RECIPES[name].archive.version in sample.origin
