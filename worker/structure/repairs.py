"""Files in which a value representation is none, for readers that would take what follows for something else.

pydicom takes an element whose VR is spaces, NUL or question marks for one in implicit VR, and reads on behind a length
that is not there. The listener's reader knows what was meant; a reader sees its two bytes instead, and nothing moves.
"""

from __future__ import annotations

import io
import os
import struct
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final, cast

from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.tag import Tag

from worker.structure.byte_source import FileWindow, InflatingWindow, Window
from worker.structure.element_reader import Walk
from worker.structure.faults import ScanError
from worker.structure.limits import ScanLimits

_IMPLICIT: Final = "1.2.840.10008.1.2"
_BIG: Final = "1.2.840.10008.1.2.2"
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_NATIVE: Final = frozenset({_IMPLICIT, _BIG, _DEFLATED, "1.2.840.10008.1.2.1"})
_META: Final = struct.Struct("<HH2sHI")
_META_AT: Final = 132
_TRANSFER_SYNTAX: Final = b"\x02\x00\x10\x00UI"

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
    limits = ScanLimits()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        length = os.fstat(descriptor).st_size - offset
        deflated = transfer_syntax_uid == _DEFLATED
        window: Window = (
            InflatingWindow(descriptor, offset=offset, length_bytes=length, limits=limits)
            if deflated
            else FileWindow(descriptor, offset=offset, length_bytes=length)
        )
        walk = Walk(
            window,
            implicit=False,
            big_endian=transfer_syntax_uid == _BIG,
            encapsulated=transfer_syntax_uid not in _NATIVE,
            wanted=(),
            limits=limits,
        )
        walk.run()
    except ScanError:
        return NONE
    finally:
        os.close(descriptor)
    start = 0 if deflated else offset
    return tuple((start + place, vr) for place, vr in sorted(walk.repairs.items()))


def open_repaired(path: Path, repairs: Repairs) -> BinaryIO:
    """Open a file, with the repairs in what is read of it."""
    if not repairs:
        return path.open("rb")
    return cast(BinaryIO, io.BufferedReader(_Repaired(path, repairs)))


def read_header(path: Path, tags: Sequence[int] | Sequence[str]) -> Dataset:
    """Read a Part 10 file (PS3.10 7.1) up to its pixels, so that pydicom finds the elements that the listener found.

    Parameters
    ----------
    path:
        A file of the spool.
    tags:
        What to read; the rest is skipped.

    Raises
    ------
    OSError, and what pydicom raises.
    """
    status = path.stat()
    with open_repaired(path, _known(path, status.st_mtime_ns, status.st_size)) as file:
        ds = dcmread(file, stop_before_pixels=True, specific_tags=[Tag(tag) for tag in tags])
    without_text_for_sequences(ds)
    return ds


def without_text_for_sequences(ds: Dataset) -> None:
    """Drop what has the tag of a sequence and is none (Implicit VR: only the dictionary says what it should be)."""
    for tag, element in list(ds.items()):
        if (
            isinstance(element, RawDataElement)
            and element.VR in (None, "SQ")
            and isinstance(element.value, bytes)
            and element.value[:4] not in (b"", b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
            and DicomDictionary.get(tag, ("",))[0] == "SQ"
        ):
            del ds[tag]


@lru_cache(maxsize=4096)
def _known(path: Path, _changed_ns: int, _size: int) -> Repairs:
    with path.open("rb") as file:
        file.seek(_META_AT - 4)
        head = file.read(4 + _META.size)
        if len(head) < 4 + _META.size or head[:4] != b"DICM" or _META.unpack_from(head, 4)[:2] != (2, 0):
            return NONE
        length = int(_META.unpack_from(head, 4)[4])
        meta = file.read(min(length, 1 << 16))
    _, _, found = meta.partition(_TRANSFER_SYNTAX)
    size = int.from_bytes(found[:2], "little")
    uid = found[2 : 2 + size].rstrip(b"\0 ").decode("ascii", "replace")
    return repairs_of(path, offset=_META_AT + _META.size + length, transfer_syntax_uid=uid)


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
