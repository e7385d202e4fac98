"""Fetching weights into the cache: https alone, pinned by SHA-256, whole or not at all, resumed where it stopped."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from worker.domain.errors import ConfigurationError, OutOfSpaceError, PermanentError, TransientError
from worker.inference.fetch.https import Answer, Https, shown
from worker.inference.packages.weights_cache import WeightsCache

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

OnProgress = Callable[[int], None]
"""Told how many bytes are there, of all."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to fetch, as the manifest of ``package`` states it."""

    package: str
    file: str
    url: str
    sha256: str
    size_bytes: int


class Fetcher:
    """Fetches files into a cache.

    Parameters
    ----------
    cache:
        Where they go.
    hosts:
        Hosts that the site allows. A host may redirect to another one, by https: the content is pinned either way.
    https:
        How connections are made.
    reserve_bytes:
        Free space that must be left.
    """

    def __init__(
        self, cache: WeightsCache, *, hosts: Collection[str], https: Https | None = None, reserve_bytes: int = 0
    ) -> None:
        self._cache = cache
        self._hosts = {host.lower() for host in hosts}
        self._https = https or Https()
        self._reserve_bytes = reserve_bytes

    def fetch(self, wanted: Wanted, on_progress: OnProgress = lambda _: None) -> Path:
        """The file in the cache, fetched when it is not there or was damaged.

        Waits for another process that fetches the same content.

        Raises
        ------
        ConfigurationError
            ``fetch-not-allowed``, ``fetch-certificate``, ``cache-not-writable``.
        TransientError
            ``fetch-unreachable``, ``fetch-interrupted`` (what came is kept), ``out-of-space``.
        PermanentError
            ``fetch-refused``, ``fetch-redirect``, ``fetch-size-mismatch``, ``fetch-hash-mismatch``.
        """
        self._check_allowed(wanted)
        path = self._cache.path_of(wanted.sha256)
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(path.with_suffix(".lock")):
            if path.is_file() and _sha256(path) == wanted.sha256:
                on_progress(wanted.size_bytes)
                return path
            self._fetch(wanted, path, on_progress)
        log.info("weights-fetched", extra={"package": wanted.package, "sha256": wanted.sha256})
        return path

    def _check_allowed(self, wanted: Wanted) -> None:
        parts = urlsplit(wanted.url)
        host = (parts.hostname or "").lower()
        if parts.scheme != "https" or host not in self._hosts:
            allowed = ", ".join(sorted(self._hosts)) or "none"
            raise ConfigurationError(
                f"Weights {wanted.file} of {wanted.package} come from {shown(wanted.url)}; hosts that this site "
                f"allows: {allowed}.",
                next_step=f'To allow it, add the host to the configuration: [models] fetch_from = ["{host}"]. Or put '
                "the file into the package folder yourself.",
                code="fetch-not-allowed",
            )

    def _fetch(self, wanted: Wanted, path: Path, on_progress: OnProgress) -> None:
        partial = path.with_suffix(".part")
        began_at = partial.stat().st_size if partial.exists() else 0
        if began_at > wanted.size_bytes:
            began_at = 0
        self._check_room(path.parent, wanted.size_bytes - began_at)
        found = self._download(wanted, partial, began_at, on_progress)
        if found != wanted.sha256 and began_at:
            # What an earlier attempt left was of other content: once more, from the beginning.
            found = self._download(wanted, partial, 0, on_progress)
        if found != wanted.sha256:
            partial.unlink()
            raise PermanentError(
                f"{shown(wanted.url)} is not the file that the manifest of {wanted.package} names: SHA-256 expected "
                f"{wanted.sha256}, found {found}.",
                next_step="Nothing of it is kept. Ask the maker of the package for the right address or digest.",
                code="fetch-hash-mismatch",
            )
        with _writing(path):
            partial.replace(path)
            _sync_folder(path.parent)

    def _download(self, wanted: Wanted, partial: Path, have: int, on_progress: OnProgress) -> str:
        """Bring ``partial`` from ``have`` bytes to all of them, and return the SHA-256 of the whole."""
        if have == wanted.size_bytes:
            return _sha256(partial)
        with self._https.get(wanted.url, begin=have) as answer, _open(partial, answer.begin) as file:
            _check_size(wanted, answer)
            digest = hashlib.sha256()
            count = _digest_into(file, answer.begin, digest.update)
            while chunk := answer.read(CHUNK_BYTES):
                digest.update(chunk)
                count += len(chunk)
                if count > wanted.size_bytes:
                    partial.unlink()
                    raise _wrong_size(wanted, f"more than {wanted.size_bytes}")
                with _writing(partial):
                    file.write(chunk)
                on_progress(count)
            with _writing(partial):
                file.flush()
                os.fsync(file.fileno())
        if count < wanted.size_bytes:
            raise TransientError(
                f"{shown(wanted.url)} stopped after {count} of {wanted.size_bytes} bytes.",
                next_step="Run the command again: it goes on from there.",
                code="fetch-interrupted",
            )
        return digest.hexdigest()

    def _check_room(self, folder: Path, needed: int) -> None:
        free = shutil.disk_usage(folder).free
        if free - needed < self._reserve_bytes:
            raise _no_room(f"{needed} bytes are needed, {free} are free, {self._reserve_bytes} are kept in reserve")


def _check_size(wanted: Wanted, answer: Answer) -> None:
    if answer.whole_bytes is not None and answer.whole_bytes != wanted.size_bytes:
        raise _wrong_size(wanted, str(answer.whole_bytes))


def _wrong_size(wanted: Wanted, found: str) -> PermanentError:
    return PermanentError(
        f"{shown(wanted.url)} has {found} bytes; the manifest of {wanted.package} states {wanted.size_bytes} "
        "(size_bytes).",
        next_step="Nothing of it is kept. Ask the maker of the package for the right address or size.",
        code="fetch-size-mismatch",
    )


def _open(path: Path, keep: int) -> IO[bytes]:
    """The partial file with its first ``keep`` bytes, to be read and written on."""
    with _writing(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        file = os.fdopen(handle, "r+b")
        file.truncate(keep)
        return file


def _digest_into(file: IO[bytes], count: int, update: Callable[[bytes], None]) -> int:
    """Feed the first ``count`` bytes to a hash and stand behind them."""
    file.seek(0)
    left = count
    while left and (chunk := file.read(min(left, CHUNK_BYTES))):
        update(chunk)
        left -= len(chunk)
    file.seek(0, os.SEEK_END)
    return count - left


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends; wait for whoever has it."""
    with _writing(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Errors of the file system, in our words."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _no_room(error.strerror or "no space left") from error
        raise ConfigurationError(
            f"{path.parent} cannot be written ({error.strerror}).",
            next_step="Correct the rights on the data folder.",
            code="cache-not-writable",
        ) from error


def _no_room(detail: str) -> OutOfSpaceError:
    return OutOfSpaceError(
        f"There is not enough space for the weights: {detail}.",
        next_step="Free some space and run the command again: it goes on where it stopped.",
        code="out-of-space",
    )
