"""Look at a Part 10 file (PS3.10) just far enough to send it as it is."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread, read_file_meta_info

from worker.domain.errors import PermanentError
from worker.domain.study import Digest, SOPClassUID, SOPInstanceUID, StudyInstanceUID, TransferSyntaxUID

_CHUNK_BYTES = 1 << 20
_NEEDED = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")
_UNREADABLE = (
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
"""What pydicom raises on truncated and hostile headers; here all of it means the same."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A Part 10 file and what its C-STORE request needs (from its file meta information)."""

    path: Path
    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID
    transfer_syntax_uid: TransferSyntaxUID
    size_bytes: int


def look_at(path: Path) -> StoredFile:
    """Read the file meta information.

    Raises
    ------
    PermanentError
        ``file-missing``, ``not-dicom`` or ``file-meta-incomplete``.
    """
    try:
        size_bytes = path.stat().st_size
        meta = read_file_meta_info(path)
        values = [str(meta.get(keyword, "") or "") for keyword in _NEEDED]
    except OSError as error:
        raise PermanentError(
            f"The file cannot be read ({error.strerror}).",
            next_step="Check that it exists and that this user may read it.",
            code="file-missing",
        ) from error
    except InvalidDicomError as error:
        raise PermanentError(
            "Not a DICOM Part 10 file (no DICM prefix).", next_step="Leave it out.", code="not-dicom"
        ) from error
    except _UNREADABLE as error:
        raise PermanentError(
            "The file's DICOM header cannot be read.", next_step="Leave it out.", code="not-dicom"
        ) from error
    if not all(values):
        raise PermanentError(
            "The file meta information lacks the SOP class, the SOP instance or the transfer syntax (PS3.10 7.1).",
            next_step="Rewrite the file with a tool that completes it, for example dcmconv.",
            code="file-meta-incomplete",
        )
    return StoredFile(
        path=path,
        sop_class_uid=SOPClassUID(values[0]),
        sop_instance_uid=SOPInstanceUID(values[1]),
        transfer_syntax_uid=TransferSyntaxUID(values[2]),
        size_bytes=size_bytes,
    )


def study_of(path: Path) -> StudyInstanceUID:
    """Study Instance UID (0020,000D) of a stored result; a file without one is a PermanentError."""
    try:
        uid = str(dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"]).StudyInstanceUID)
    except (OSError, InvalidDicomError, *_UNREADABLE) as error:
        raise PermanentError(
            "The result object has no readable Study Instance UID.",
            next_step="Run the job again.",
            code="result-unreadable",
        ) from error
    return StudyInstanceUID(uid)


def digest_of(path: Path) -> Digest:
    """SHA-256 of the whole file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return Digest(digest.hexdigest())
