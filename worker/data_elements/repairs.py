"""Files in which a value representation is none, for readers that would take what follows for something else.

pydicom takes an element whose VR is spaces, NUL or question marks for one in implicit VR, and reads on behind a length
that is not there. The listener's reader knows what was meant; a reader sees its two bytes instead, and nothing moves.
"""

from __future__ import annotations

import io
import os
from bisect import bisect_left
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final, cast

from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from worker.data_elements.byte_source import ByteSource, FileBytes, InflatedBytes
from worker.data_elements.element_reader import ElementReader
from worker.data_elements.faults import ScanError
from worker.data_elements.limits import ScanLimits

_IMPLICIT: Final = "1.2.840.10008.1.2"
_BIG: Final = "1.2.840.10008.1.2.2"
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_NATIVE: Final = frozenset({_IMPLICIT, _BIG, _DEFLATED, "1.2.840.10008.1.2.1"})

Repairs = tuple[tuple[int, bytes], ...]
"""Places in the file, ascending, and what to see there instead of the file's own two bytes."""
NONE: Final[Repairs] = ()


def repairs_of(path: Path, *, offset: int, transfer_syntax_uid: str) -> Repairs:
    """Find the value representations of a data set that are none, and what they mean.

    Parameters
    ----------
    path:
        A file; ``offset`` is where the data set starts in it.
    transfer_syntax_uid:
        Its encoding. Places in a deflated data set count from its inflated beginning.

    Returns
    -------
    tuple
        Empty for a sound data set, and for one that cannot be walked at all.
    """
    if transfer_syntax_uid == _IMPLICIT:
        return NONE
    status = path.stat()
    return _found(path, status.st_mtime_ns, status.st_size, offset, transfer_syntax_uid)


@lru_cache(maxsize=4096)
def _found(path: Path, _changed_ns: int, size: int, offset: int, uid: str) -> Repairs:
    """Walk a file once for all that read it: routing, volume, evidence, gate."""
    limits = ScanLimits()
    deflated = uid == _DEFLATED
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        window: ByteSource = (
            InflatedBytes(descriptor, offset=offset, length_bytes=size - offset, limits=limits)
            if deflated
            else FileBytes(descriptor, offset=offset, length_bytes=size - offset)
        )
        elements = ElementReader(
            window,
            implicit=False,
            big_endian=uid == _BIG,
            encapsulated=uid not in _NATIVE,
            wanted=(),
            limits=limits,
        )
        elements.run()
    except ScanError:
        return NONE
    finally:
        os.close(descriptor)
    start = 0 if deflated else offset
    return tuple((start + place, vr) for place, vr in sorted(elements.repairs.items()))


def open_repaired(path: Path, repairs: Repairs) -> BinaryIO:
    """Open a file, with the repairs in what is read of it."""
    if not repairs:
        return path.open("rb")
    return cast(BinaryIO, io.BufferedReader(_Repaired(path, repairs)))


def repaired(content: bytes, repairs: Repairs) -> bytes:
    """The same for a data set in memory."""
    if not repairs:
        return content
    changed = bytearray(content)
    for place, vr in repairs:
        changed[place : place + 2] = vr
    return bytes(changed)


def without_text_for_sequences(ds: Dataset) -> None:
    """Drop what has the tag of a sequence and is none (Implicit VR: only the dictionary says what it should be)."""
    for tag in [tag for tag, element in ds.items() if element.VR in (None, "SQ") and _is_text_for_sequence(element)]:
        del ds[tag]


def _is_text_for_sequence(element: DataElement | RawDataElement) -> bool:
    return (
        isinstance(element, RawDataElement)
        and isinstance(element.value, bytes)
        and element.value[:4] not in (b"", b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
        and DicomDictionary.get(element.tag, ("",))[0] == "SQ"
    )


class _Repaired(io.RawIOBase):
    """A file that reads as if it had been written right."""

    def __init__(self, path: Path, repairs: Repairs) -> None:
        super().__init__()
        self.name = str(path)  # pydicom asks every buffered file for it
        self._file = path.open("rb", buffering=0)
        self._bytes = {place + n: vr[n] for place, vr in repairs for n in range(2)}
        self._places = sorted(self._bytes)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: object) -> int:
        start = self._file.tell()
        view = memoryview(cast(bytearray, buffer)).cast("B")
        count = self._file.readinto(view) or 0
        for place in self._places[bisect_left(self._places, start) :]:
            if place >= start + count:
                break
            view[place - start] = self._bytes[place]
        return count
