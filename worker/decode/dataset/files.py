"""DICOM files of a folder, for the commands that need no listener and no database."""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from worker.domain.errors import OverreadError
from worker.domain.study import (
    Digest,
    IndexedHeader,
    PatientIdentity,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StoredInstance,
    StudyInstanceUID,
    TransferSyntaxUID,
)
from worker.headers.attributes import text_of
from worker.headers.bounded import ReadLimits, StrictFile
from worker.headers.errors import UnreadableInstanceError
from worker.headers.parsing import PARSE_FAILURES, ParsedInstance, parse, read_meta, reading

Progress = Callable[[int, int], None]
"""Called with the number of files done and the number of all files."""

ListenerCheck = Callable[[Path, int, str], None]
"""Judges a file by the rules of the listener, and raises what it would answer: the file, where its data set starts, and
its transfer syntax UID."""

_DICOMDIR_CLASS = "1.2.840.10008.1.3.10"
_HASH_BLOCK_BYTES = 2**20
_META_BYTES = 2**20
_PREAMBLE_BYTES = 132
_GROUP_LENGTH = struct.Struct("<HH2sHI")


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that is not used, and why. ``code`` is short and stable, ``reason`` a sentence without PHI."""

    path: Path
    code: str
    reason: str


def instances_from_folder(
    folder: Path,
    on_progress: Progress | None = None,
    *,
    limits: ReadLimits | None = None,
    listener_check: ListenerCheck | None = None,
) -> tuple[tuple[StoredInstance, ...], tuple[SkippedFile, ...]]:
    """Find the DICOM files of a folder and of its subfolders (symbolic links to folders are not followed).

    Both Part 10 files and bare data sets (without preamble and file meta information) count. No file stops the
    others: each that is not used is in the second tuple.

    Parameters
    ----------
    folder:
        A folder, or a single file.
    on_progress:
        For a progress bar.
    limits:
        What reading one file may cost.
    listener_check:
        What the listener would not take is not used here either.

    Returns
    -------
    tuple
        Instances, ordered by path, and skipped files. Of several files with one SOP Instance UID the first is used;
        the others are skipped as ``repeated`` (same content) or ``conflict`` (different content).
    """
    paths = [folder] if folder.is_file() else list(_files_below(folder))
    found: dict[SOPInstanceUID, StoredInstance] = {}
    skipped: list[SkippedFile] = []
    for number, path in enumerate(paths, start=1):
        try:
            instance = instance_from_file(path, name=f"in file {number}", limits=limits, listener_check=listener_check)
        except OverreadError as error:
            skipped.append(SkippedFile(path, error.code, error.message))
        else:
            first = found.setdefault(instance.sop_instance_uid, instance)
            if first is not instance:
                skipped.append(_second(path, same=first.sha256 == instance.sha256))
        if on_progress is not None:
            on_progress(number, len(paths))
    return tuple(found.values()), tuple(skipped)


def instance_from_file(
    path: Path, *, name: str, limits: ReadLimits | None = None, listener_check: ListenerCheck | None = None
) -> StoredInstance:
    """Read one file. ``name`` is what messages call it.

    Raises
    ------
    UnreadableInstanceError
        With code ``not-dicom``, ``dicomdir``, ``no-uid``, or one of ``OUTCOMES``; TransientError when the operating
        system does not give the bytes.
    """
    _require_dicom(path, name=name)
    stated = _stated_encoding(path, name=name)
    if listener_check is not None and stated[1]:
        listener_check(path, *stated)
    parsed = parse(path, name=name, limits=limits or ReadLimits())
    with reading(name):
        header = indexed_header(parsed.dataset)
    meta_class = text_of(parsed.dataset, 0x00080016)
    if path.name.upper() == "DICOMDIR" or meta_class == _DICOMDIR_CLASS:
        raise UnreadableInstanceError("This is a DICOMDIR: the index of a medium, not an image.", code="dicomdir")
    missing = [
        label
        for label, uid in (
            ("SOP Class UID", header.sop_class_uid),
            ("SOP Instance UID", header.sop_instance_uid),
            ("Study Instance UID", header.study_instance_uid),
            ("Series Instance UID", header.series_instance_uid),
        )
        if not uid
    ]
    if missing:
        raise UnreadableInstanceError(
            f"The instance {name} has no {' and no '.join(missing)}: no result could refer to it.",
            next_step="Have the sender give the object its identifiers.",
            code="no-uid",
        )
    if listener_check is not None and not stated[1]:
        listener_check(path, parsed.data_set_offset, parsed.transfer_syntax_uid)
    digest, size = _digest(parsed)
    return StoredInstance(
        header=header,
        transfer_syntax_uid=TransferSyntaxUID(parsed.transfer_syntax_uid),
        sha256=digest,
        size_bytes=size,
        path=path,
        calling_ae_title="",
        received_at=datetime.fromtimestamp(path.stat().st_mtime, tz=UTC),
    )


def indexed_header(dataset: Dataset) -> IndexedHeader:
    """What the listener's scan would read (PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.7.5.1, C.12.1)."""
    return IndexedHeader(
        sop_class_uid=SOPClassUID(text_of(dataset, 0x00080016)),
        sop_instance_uid=SOPInstanceUID(text_of(dataset, 0x00080018)),
        study_instance_uid=StudyInstanceUID(text_of(dataset, 0x0020000D)),
        series_instance_uid=SeriesInstanceUID(text_of(dataset, 0x0020000E)),
        patient=PatientIdentity(
            patient_id=text_of(dataset, 0x00100020),
            issuer_of_patient_id=text_of(dataset, 0x00100021),
            patient_name=text_of(dataset, 0x00100010),
            patient_birth_date=text_of(dataset, 0x00100030),
        ),
        accession_number=text_of(dataset, 0x00080050),
        modality=text_of(dataset, 0x00080060),
        manufacturer=text_of(dataset, 0x00080070),
        manufacturer_model_name=text_of(dataset, 0x00081090),
        device_serial_number=text_of(dataset, 0x00181000),
    )


def _files_below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(place) / name for name in sorted(names))


def _require_dicom(path: Path, *, name: str) -> None:
    """A cheap look at the first bytes, so that no picture or archive is parsed as a bare data set."""
    if not path.is_file():
        raise UnreadableInstanceError(f"The object {name} is not a regular file.", code="not-dicom")
    with path.open("rb") as file:
        head = file.read(132)
    bare = head[:2] in (b"\x08\x00", b"\x00\x08", b"\x02\x00")  # starts with group 0008 or 0002, in either byte order
    if head[128:] != b"DICM" and not (bare and len(head) > 8):
        raise UnreadableInstanceError(f"The object {name} is not a DICOM file.", code="not-dicom")


def _stated_encoding(path: Path, *, name: str) -> tuple[int, str]:
    """Where the data set starts, and its transfer syntax UID by the file meta information (empty: there is none).

    The length that the meta information states for itself counts where an element begins behind it: group 0002 could
    also go on in the data set, where it has no business.
    """
    with path.open("rb") as file, suppress(OverreadError, *PARSE_FAILURES):
        start = _PREAMBLE_BYTES if file.read(_PREAMBLE_BYTES)[-4:] == b"DICM" else 0
        file.seek(start)
        first = file.read(_GROUP_LENGTH.size).ljust(_GROUP_LENGTH.size, b"\0")
        group, element, vr, _, length = _GROUP_LENGTH.unpack(first)
        if (group, element, vr) == (2, 0, b"UL") and length <= _META_BYTES:
            meta = read_dataset(io.BytesIO(file.read(length)), is_implicit_VR=False, is_little_endian=True)
            following = file.read(6)
            if all(tag.group == 2 for tag, _ in meta.items()) and (
                following[:2] != b"\2\0" or following[4:6].isupper()
            ):
                return start + _GROUP_LENGTH.size + length, text_of(meta, 0x00020010)
        file.seek(0)
        meta = read_meta(StrictFile(file, limit_bytes=_META_BYTES).binary, name=name)
        return file.tell(), text_of(meta, 0x00020010)
    return 0, ""


def _digest(parsed: ParsedInstance) -> tuple[Digest, int]:
    """SHA-256 and size of the data set's bytes, as the listener would have counted them."""
    digest = hashlib.sha256()
    size = 0
    with parsed.path.open("rb") as file:
        file.seek(parsed.data_set_offset)
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return Digest(digest.hexdigest()), size


def _second(path: Path, *, same: bool) -> SkippedFile:
    if same:
        return SkippedFile(path, "repeated", "Another file holds the same instance.")
    return SkippedFile(
        path, "conflict", "Another file has the same SOP Instance UID and different content: that one is used."
    )
