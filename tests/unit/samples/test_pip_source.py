"""How pip is called. The pip here is real, but its only index is a local folder: no network."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from worker.samples import Archive, DownloadError, pip_download

TRIPWIRE = "raise SystemExit('the code of the package must not run')\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def an_archive(path: Path, kind: str) -> Archive:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Archive("odd-pkg", "1.0", "sdist" if kind == "sdist" else "wheel", path.name, digest, 1)


def an_sdist(index: Path, extra: dict[str, str]) -> Archive:
    path = index / "odd_pkg-1.0.tar.gz"
    metadata = "Metadata-Version: 2.1\nName: odd-pkg\nVersion: 1.0\n\nName: not me\n"
    with tarfile.open(path, "w:gz") as sdist:
        for name, text in {"PKG-INFO": metadata, "setup.py": TRIPWIRE, **extra}.items():
            info = tarfile.TarInfo(f"odd_pkg-1.0/{name}")
            info.size = len(text)
            sdist.addfile(info, io.BytesIO(text.encode()))
    return an_archive(path, "sdist")


SETUPTOOLS = (
    '[build-system]\nrequires = ["setuptools>=61", "setuptools_scm"]\nbuild-backend = "setuptools.build_meta"\n'
)


@pytest.mark.parametrize("extra", [{}, {"pyproject.toml": SETUPTOOLS}], ids=["setup.py", "pyproject.toml"])
def test_sdist_arrives_without_running_its_code(index: Path, tmp_path: Path, extra: dict[str, str]) -> None:
    archive = an_sdist(index, extra)
    target = tmp_path / "target"
    target.mkdir()
    pip_download(archive, target)
    assert (target / archive.filename).read_bytes() == (index / archive.filename).read_bytes()


def test_wheel_arrives(index: Path, tmp_path: Path) -> None:
    path = index / "odd_pkg-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("odd_pkg-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: odd-pkg\nVersion: 1.0\n")
        wheel.writestr("odd_pkg-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("odd_pkg-1.0.dist-info/RECORD", "")
    pip_download(an_archive(path, "wheel"), tmp_path)
    assert (tmp_path / path.name).is_file()


def test_what_pip_cannot_find_is_a_download_error_in_its_words(index: Path, tmp_path: Path) -> None:
    archive = Archive("odd-pkg", "1.0", "wheel", "odd_pkg-1.0-py3-none-any.whl", "0" * 64, 1)
    with pytest.raises(DownloadError, match=r"odd-pkg==1\.0 could not be fetched: No matching distribution"):
        pip_download(archive, tmp_path)
