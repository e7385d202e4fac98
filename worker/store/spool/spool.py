"""Where received instances and results lie on disk, named by their content.

``objects/ab/<key>.dcm`` first copies, ``conflicts/ab/<key>.dcm`` other contents under a known SOP Instance UID,
``results/ab/<sha256>.dcm`` what we made, ``quarantine/<random>.dcm`` what was refused, ``tmp/<process>/`` what is
still arriving. No byte of any name comes from the wire. A name appears only when its bytes are on stable storage, and
nobody relies on a name (no index row, no 0x0000) before the folder that holds it is on stable storage too.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from worker.domain.errors import OutOfSpaceError, StoreUnavailableError
from worker.domain.study import Digest, TransferSyntaxUID
from worker.store.faults import reach
from worker.store.spool.durable import sync_file, sync_folder, write_new
from worker.store.spool.verification import same_object

log = logging.getLogger(__name__)

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_AREAS = ("objects", "conflicts", "results", "quarantine", "tmp")
_RESERVED_INODES = 1000
_SYNCERS = 8


def object_key(sha256: Digest, transfer_syntax_uid: TransferSyntaxUID) -> str:
    """Name an instance by its content: the data set's digest and the transfer syntax that gives its bytes meaning."""
    return hashlib.sha256(f"overread-object:{transfer_syntax_uid}:{sha256}".encode("utf-8", "replace")).hexdigest()


class Spool:
    """The folders of the spool.

    Parameters
    ----------
    root:
        Made when missing, readable by its owner only. All of it is on one file system.
    reserve_bytes, reserve_percent:
        Free space, and share of the file system, below which nothing new is taken; the larger of the two counts.
    """

    def __init__(self, root: Path, *, reserve_bytes: int = 512 * 2**20, reserve_percent: float = 0.0) -> None:
        self.root = root.absolute()
        self._reserve_bytes = reserve_bytes
        self._reserve_percent = reserve_percent
        self._broken = ""
        self._lock = threading.Lock()
        self._durable_folders: set[Path] = set()
        self._temporary: Path | None = None
        self._temporary_lock = -1
        self._pid = -1
        self._pool: ThreadPoolExecutor | None = None
        self._pool_pid = -1
        with self._guard():
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for area in _AREAS:
                (self.root / area).mkdir(exist_ok=True, mode=0o700)
            sync_folder(self.root)
            sync_folder(self.root.parent)

    # ---- space and health

    def check_space(self, size_bytes: int) -> None:
        """Raise OutOfSpaceError when ``size_bytes`` more would go below the reserve (StoreUnavailableError: broken)."""
        self.ensure_usable()
        with self._guard():
            status = os.statvfs(self.root)
        free = status.f_bavail * status.f_frsize
        reserve = max(self._reserve_bytes, int(status.f_blocks * status.f_frsize * self._reserve_percent / 100))
        if free - size_bytes < reserve or (
            status.f_files and status.f_favail < min(_RESERVED_INODES, status.f_files // 10)
        ):
            raise _out_of_space()

    def ensure_usable(self) -> None:
        """Raise StoreUnavailableError after a failed fsync, until the process is started again."""
        if self._broken:
            raise _unavailable(self._broken)

    # ---- temporaries

    @property
    def temporary_folder(self) -> Path:
        """A folder of this process alone. Its lock dies with the process, which is how others know what is stale."""
        with self._lock:
            if self._temporary is None or self._pid != os.getpid():
                self._pid = os.getpid()
                with self._guard():
                    self._temporary = self._new_temporary_folder()
            return self._temporary

    def new_temporary(self) -> Path:
        """Name a temporary file that does not exist yet."""
        return self.temporary_folder / f"{uuid.uuid4().hex}.part"

    def remove_stale_temporaries(self) -> int:
        """Delete the temporaries of processes that are dead; returns how many files went."""
        removed = 0
        area = self.root / "tmp"
        for lock in area.glob("*.lock"):
            with suppress(OSError):
                descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    removed += _remove_tree(lock.with_suffix(""))
                    lock.unlink(missing_ok=True)
                finally:
                    os.close(descriptor)
        for folder in area.iterdir():
            # Its owner makes and holds the lock before the folder: no lock file, no owner.
            if folder.is_dir() and not folder.with_name(f"{folder.name}.lock").exists():
                removed += _remove_tree(folder)
        return removed

    def close(self) -> None:
        """Give up this process's temporary folder."""
        with self._lock:
            if self._pool is not None and self._pool_pid == os.getpid():
                self._pool.shutdown()
            self._pool = None
            if self._temporary is None or self._pid != os.getpid():
                return
            folder, descriptor = self._temporary, self._temporary_lock
            self._temporary, self._temporary_lock = None, -1
        _remove_tree(folder)
        folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)
        os.close(descriptor)

    # ---- names

    def object_path(self, key: str) -> Path:
        """Where the first copy with this key is, or would be."""
        return self._named("objects", key)

    def conflict_path(self, key: str) -> Path:
        """Where a conflicting copy with this key is, or would be."""
        return self._named("conflicts", key)

    def result_path(self, sha256: str) -> Path:
        """Where the result file with this digest is, or would be."""
        return self._named("results", sha256)

    def quarantine_path(self, file_name: str) -> Path:
        """Where a refused file is."""
        return self.root / "quarantine" / file_name

    def keys(self, area: str, prefix: str) -> Iterator[tuple[str, Path]]:
        """Keys and paths of the files in an area whose key begins with the two characters ``prefix``."""
        for path in (self.root / area / prefix).glob("*.dcm"):
            yield path.stem, path

    # ---- durable steps

    def sync(self, path: Path) -> None:
        """Put a file's bytes on stable storage. After any other failure than a full disk the spool stops for good."""
        with self._guard(syncing=True):
            reach("spool.fsync")
            sync_file(path)

    def place(self, moves: Iterable[tuple[Path, Path]]) -> frozenset[Path]:
        """Give synced files their final names, then put all the names on stable storage: each folder once.

        A name that exists already should hold the same content (names are digests): then it stays and the source
        goes. A file that was cut or altered is replaced in one step.

        Returns
        -------
        frozenset
            The targets that were not there, or held something else.
        """
        folders: set[Path] = set()
        written: set[Path] = set()
        with self._guard():
            for source, target in moves:
                folders.update(self._make_folder(target.parent))
                if source == target:
                    continue
                if same_object(target, source):
                    source.unlink(missing_ok=True)
                else:
                    source.rename(target)
                    written.add(target)
                    # The old name must be gone for good as well: on some file systems a rename between folders is
                    # two steps, and a power cut may leave both names.
                    folders.add(source.parent)
                folders.add(target.parent)
        reach("spool.renamed")
        with self._guard(syncing=True):
            # Together: the disk's own flushes merge, and a group of instances costs little more than one.
            list(self._syncers().map(sync_folder, folders))
        with self._lock:
            self._durable_folders.update(folders)
        return frozenset(written)

    def holds(self, key: str, offered: Path) -> bool:
        """Tell whether the first copy with this key is on the disk, and is what ``offered`` is."""
        with self._guard():
            return same_object(self.object_path(key), offered)

    def keep_result(self, content: bytes) -> tuple[Digest, Path]:
        """Make a result file durable under its digest."""
        digest = Digest(hashlib.sha256(content).hexdigest())
        target = self.result_path(digest)
        self.check_space(len(content))
        temporary = self.new_temporary()
        try:
            with self._guard(syncing=True):
                write_new(temporary, content)
            self.place([(temporary, target)])
            os.utime(target)  # young again, should it have been there: nobody refers to it yet, see retention
        finally:
            temporary.unlink(missing_ok=True)
        return digest, target

    # ---- inside

    def _named(self, area: str, key: str) -> Path:
        return self.root / area / key[:2] / f"{key}.dcm"

    def _make_folder(self, folder: Path) -> set[Path]:
        """Make a leaf folder; returns the folders above it whose entries nobody has synced in this process yet.

        Folders found on disk count as unsynced at first: who made them may have died before its fsync.
        """
        if folder in self._durable_folders:
            return set()
        above = folder.parent
        above.mkdir(exist_ok=True, mode=0o700)  # one by one: parents=True would ignore the mode above
        folder.mkdir(exist_ok=True, mode=0o700)
        return {above} if above in self._durable_folders else {above, above.parent}

    def _syncers(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None or self._pool_pid != os.getpid():  # threads do not survive a fork
                self._pool_pid = os.getpid()
                self._pool = ThreadPoolExecutor(_SYNCERS, thread_name_prefix="folder-sync")
            return self._pool

    def _new_temporary_folder(self) -> Path:
        while True:
            folder = self.root / "tmp" / uuid.uuid4().hex
            lock = folder.with_name(f"{folder.name}.lock")
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # A cleaner may have taken the new lock file for a dead one's in between.
                if lock.exists() and os.path.samestat(os.fstat(descriptor), lock.stat()):
                    folder.mkdir(mode=0o700)
                    self._temporary_lock = descriptor
                    return folder
            os.close(descriptor)

    @contextmanager
    def _guard(self, *, syncing: bool = False) -> Iterator[None]:
        """Translate errors of the file system. A failed fsync is remembered: pages are marked clean after it (Linux),
        so a second fsync that succeeds proves nothing.
        """  # noqa: D205
        try:
            yield
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise _out_of_space() from error
            name = errno.errorcode.get(error.errno or 0, "an unknown error")
            if syncing and error.errno != errno.ENOENT:
                self._broken = f"fsync failed with {name}"
                log.critical("spool-broken", extra={"error": name})
            raise _unavailable(f"the file system answered {name}") from error


def _remove_tree(folder: Path) -> int:
    count = sum(1 for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    shutil.rmtree(folder, ignore_errors=True)
    return count


def _out_of_space() -> OutOfSpaceError:
    return OutOfSpaceError(
        "Less free space is left on the spool's disk than the reserve.",
        next_step="Free space, or let retention delete more (storage.keep_finished_days); no restart is needed.",
        code="out-of-space",
    )


def _unavailable(what: str) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"The spool cannot promise durability: {what}.",
        next_step="Check the disk (dmesg, SMART), then start Overread again; nothing acknowledged is lost.",
        code="store-unavailable",
    )
