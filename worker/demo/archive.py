"""What the demonstration PACS keeps: Part 10 files in a folder, the bytes as received. DEMONSTRATION ONLY."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread

from worker.domain.study import SeriesInstanceUID, SOPClassUID, SOPInstanceUID, StudyInstanceUID, TransferSyntaxUID

NOT_IMAGES = frozenset({"SR", "SEG", "KO", "PR", "DOC", "RTSTRUCT", "RTPLAN", "RTDOSE", "REG", "FID", "OT"})
"""Modalities that are never routed: results, presentation states and other companions of images."""

UNREADABLE = (
    InvalidDicomError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    struct.error,
    TypeError,
    ValueError,
)
"""What pydicom raises on data sets that are none."""

_INDEXED = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality"]


@dataclass(frozen=True, slots=True)
class ArchivedInstance:
    """One kept instance. ``source_ae_title`` is who sent it (0002,0016); empty for imported files."""

    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    sop_instance_uid: SOPInstanceUID
    sop_class_uid: SOPClassUID
    transfer_syntax_uid: TransferSyntaxUID
    modality: str
    source_ae_title: str
    path: Path

    @property
    def is_image(self) -> bool:
        """False for results and other companions of images."""
        return self.modality not in NOT_IMAGES


@dataclass(frozen=True, slots=True)
class SeriesListing:
    """One line of the listing: a series and how many instances of one SOP class it holds."""

    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    modality: str
    sop_class_uid: SOPClassUID
    instance_count: int


class Archive:
    """Instances by SOP Instance UID. File names are digests: no byte from the wire is in a path.

    Opening one reads every header below ``folder``; it may be opened from another process just to look.
    """

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"
        self._incoming = folder / "incoming"
        self._lock = threading.Lock()
        self._index: dict[SOPInstanceUID, ArchivedInstance] = {}
        for path in sorted(self._objects.glob("*/*.dcm")):
            instance = _indexed(dcmread(path, stop_before_pixels=True, specific_tags=list(_INDEXED)), path)
            self._index[instance.sop_instance_uid] = instance

    def clear_incoming(self) -> None:
        """Remove what an interrupted reception left. For the one process that writes."""
        shutil.rmtree(self._incoming, ignore_errors=True)

    def add(self, part10: bytes) -> tuple[ArchivedInstance, bool]:
        """Keep a Part 10 file durably; tell whether it is new. A known SOP Instance UID changes nothing.

        Raises one of ``UNREADABLE`` when it is no such file, and OSError when it cannot be kept.
        """
        header = dcmread(BytesIO(part10), stop_before_pixels=True, specific_tags=list(_INDEXED))
        uid = SOPInstanceUID(str(header.SOPInstanceUID))
        name = hashlib.sha256(uid.encode()).hexdigest()
        final = self._objects / name[:2] / f"{name}.dcm"
        instance = _indexed(header, final)
        with self._lock:
            known = self._index.get(uid)
        if known is not None:
            return known, False
        temporary = self._incoming / secrets.token_hex(16)
        for folder in (self._incoming, final.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as stream:
            stream.write(part10)
            stream.flush()
            os.fsync(stream.fileno())
        with self._lock:
            known = self._index.get(uid)
            if known is not None:
                temporary.unlink()
                return known, False
            temporary.rename(final)
            for folder in (final.parent, self._objects):
                _sync_folder(folder)
            self._index[uid] = instance
        return instance, True

    def get(self, sop_instance_uid: str) -> ArchivedInstance | None:
        """The instance, if it is there and its file is too."""
        with self._lock:
            instance = self._index.get(SOPInstanceUID(sop_instance_uid))
        return instance if instance is not None and instance.path.is_file() else None

    def instances(self, study_instance_uid: str | None = None) -> tuple[ArchivedInstance, ...]:
        """All instances, or those of one study, in the order in which they were kept."""
        with self._lock:
            found = tuple(self._index.values())
        return tuple(one for one in found if study_instance_uid in (None, one.study_instance_uid))

    def studies(self) -> tuple[SeriesListing, ...]:
        """What stands in it, one line per series and SOP class."""
        counted = Counter(
            (one.study_instance_uid, one.series_instance_uid, one.modality, one.sop_class_uid)
            for one in self.instances()
        )
        return tuple(SeriesListing(*key, instance_count=count) for key, count in sorted(counted.items()))


def part10_files(folder: Path) -> Iterator[bytes]:
    """The content of every file below ``folder`` that has the DICM prefix."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if content[128:132] == b"DICM":
                yield content


def _indexed(header: FileDataset, path: Path) -> ArchivedInstance:
    meta = header.file_meta
    return ArchivedInstance(
        study_instance_uid=StudyInstanceUID(str(header.StudyInstanceUID)),
        series_instance_uid=SeriesInstanceUID(str(header.SeriesInstanceUID)),
        sop_instance_uid=SOPInstanceUID(str(header.SOPInstanceUID)),
        sop_class_uid=SOPClassUID(str(header.SOPClassUID)),
        transfer_syntax_uid=TransferSyntaxUID(str(meta.TransferSyntaxUID)),
        modality=str(header.get("Modality", "") or ""),
        source_ae_title=str(meta.get("SourceApplicationEntityTitle", "") or ""),
        path=path,
    )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
