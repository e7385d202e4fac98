"""The model packages as they are on the disk now: read again when something in their folders has changed."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from worker.inference.packages.package import Package
from worker.inference.packages.registry import Registry, package_folders

log = logging.getLogger(__name__)

Stamp = tuple[tuple[str, int, int, int], ...]
"""Path, inode, size and time of the last change (ns) of each file; what cannot be looked at has zeros."""


class InstalledPackages:
    """The registry of a process, which need not be started again when a package was mended, changed or broken.

    What this process has seen installed is missed when it is not there any more, until the process is started again: a
    package that is being replaced, or lies on a share that is not mounted just now, looks like one that was removed.

    Parameters
    ----------
    folders:
        Each is a package itself or holds packages in its sub-folders.
    cache:
        Where fetched weights lie.
    read:
        Reads the packages of these folders.
    """

    def __init__(self, folders: Sequence[Path], *, cache: Path, read: Callable[[], Registry]) -> None:
        self._folders = [*folders, cache]
        self._read = read
        self._looking = threading.Lock()
        self._stamp: Stamp = ()
        self._registry: Registry | None = None
        self._seen: dict[str, Package] = {}

    def registry(self) -> Registry:
        """The packages now. Nothing is read when no file has changed."""
        with self._looking:
            # Before reading: what changes meanwhile is noticed the next time.
            stamp = _stamp(self._folders)
            if self._registry is None or stamp != self._stamp:
                if self._registry is not None:
                    log.info("model-packages-read-again")
                self._registry, self._stamp = self._read().missing(self._seen.values()), stamp
                self._seen |= {package.identity.name: package for package in self._registry.packages}
            return self._registry

    def sound(self) -> frozenset[str]:
        """The packages that can be used now, each by its digest and its folder: one that came back is another one."""
        return frozenset(f"{one.identity.digest} {_last_put(one.folder)}" for one in self.registry().packages)


def _last_put(folder: Path) -> str:
    try:
        status = folder.stat()
    except OSError:
        return ""
    return f"{status.st_ino} {status.st_ctime_ns}"


def _stamp(folders: Sequence[Path]) -> Stamp:
    inside = (file for folder in (*package_folders(folders[:-1]), *folders) for file in _files(folder))
    return tuple(dict.fromkeys(_of(file) for file in inside))


def _files(folder: Path) -> Iterator[str]:
    yield str(folder)
    for found, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith((".", "__")))
        yield from (os.path.join(found, file) for file in sorted((*folders, *files)))  # noqa: PTH118 - thousands of them


def _of(file: str) -> tuple[str, int, int, int]:
    try:
        status = os.stat(file)  # noqa: PTH116 - links are followed, as when they are read
    except OSError:
        return file, 0, 0, 0
    return file, status.st_ino, status.st_size, status.st_mtime_ns
