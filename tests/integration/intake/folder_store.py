"""An honest fake of the store: real files, real fsyncs, an index that is one append-only file with group commit."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

from worker.domain.errors import OutOfSpaceError
from worker.domain.study import Admission, OfferedInstance, RefusedInstance


class FolderStore:
    """Keeps instances below a folder, by the protocol of the spool."""

    def __init__(self, root: Path, *, reserve_bytes: int = 1 << 20) -> None:
        self._root = root
        self._reserve = reserve_bytes
        for name in ("incoming", "objects", "quarantine"):
            (root / name).mkdir(parents=True, exist_ok=True)
        self._index = os.open(root / "index.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._lock = threading.Lock()
        self._sync = threading.Lock()
        self._known: dict[str, str] = {}
        self._made: set[Path] = set()
        self.offered: list[OfferedInstance] = []
        self.refused: list[RefusedInstance] = []
        self.opened: dict[str, str] = {}
        self.released: list[str] = []
        self.fail_with: Exception | None = None

    @property
    def temporary_folder(self) -> Path:
        return self._root / "incoming"

    def check_space(self, size_bytes: int) -> None:
        if self.fail_with is not None:
            raise self.fail_with
        if shutil.disk_usage(self._root).free - size_bytes < self._reserve:
            raise OutOfSpaceError("The disk of the spool is full.")

    def admit(self, offered: OfferedInstance) -> Admission:
        sop = offered.header.sop_instance_uid
        final = self.path_of(offered.sha256)
        with self._lock:
            self.offered.append(offered)
            before = self._known.setdefault(sop, offered.sha256)
        if before == offered.sha256 and final.exists():
            return Admission.REPEATED
        descriptor = os.open(offered.temporary, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        if final.parent not in self._made:
            final.parent.mkdir(parents=True, exist_ok=True)
            for folder in (final.parent.parent, self._root / "objects"):
                _sync_folder(folder)
            self._made.add(final.parent)
        offered.temporary.rename(final)
        _sync_folder(final.parent)
        _sync_folder(self.temporary_folder)  # a rename changes two directories
        os.write(self._index, f"{sop}\t{offered.header.study_instance_uid}\t{offered.sha256}\n".encode())
        with self._sync:
            os.fdatasync(self._index)
        return Admission.STORED if before == offered.sha256 else Admission.CONFLICT

    def refuse(self, refused: RefusedInstance) -> None:
        with self._lock:
            self.refused.append(refused)
            if refused.temporary is not None:
                refused.temporary.rename(self._root / "quarantine" / refused.temporary.stem)

    def association_opened(self, association_id: str, calling_ae_title: str) -> None:
        with self._lock:
            self.opened[association_id] = calling_ae_title

    def association_released(self, association_id: str) -> None:
        with self._lock:
            self.released.append(association_id)

    # for the tests

    def forget(self) -> None:
        """Know no instance any more."""
        with self._lock:
            self._known.clear()
            self.offered.clear()
            self.refused.clear()

    def path_of(self, sha256: str) -> Path:
        return self._root / "objects" / sha256[:1] / sha256[1:2] / sha256

    def stored_paths(self) -> list[Path]:
        return [path for path in (self._root / "objects").rglob("*") if path.is_file()]

    def temporaries(self) -> list[Path]:
        return list(self.temporary_folder.iterdir())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
