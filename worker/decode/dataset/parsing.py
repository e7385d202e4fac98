"""From the bytes of one instance to a pydicom data set without pixels, bounded and strict.

pydicom returns what it has when a file ends early, and inflates a deflated data set whatever its size. Here a short
read is an error, every read and every inflation has a limit, and any failure becomes an ``UnreadableInstanceError``.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import VR

from worker.decode.dataset.bounded import ReadLimits, ShortReadError, StrictFile, TooMuchHeaderError, inflate, truncated
from worker.decode.outcomes import UnreadableInstanceError
from worker.domain.errors import TransientError
from worker.structure.repairs import NONE, Repairs, open_repaired, repairs_of, without_text_for_sequences

PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
"""Float Pixel Data, Double Float Pixel Data, Pixel Data."""

DEFLATED = "1.2.840.10008.1.2.1.99"
IMPLICIT = "1.2.840.10008.1.2"
GE_PRIVATE_IMPLICIT = "1.2.840.113619.5.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

_VRS = frozenset(str(vr) for vr in VR)

PARSE_FAILURES = (
    InvalidDicomError, BytesLengthException, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError,
    NotImplementedError, OverflowError, LookupError, struct.error, RecursionError,
)  # fmt: skip
"""What pydicom raises for bytes that it cannot make sense of. Anything else is a bug and travels up."""


@dataclass(frozen=True, slots=True)
class ParsedInstance:
    """An instance without its pixels.

    ``pixel_offset`` is where the pixel data *element* starts in the source, None when there is none. The source is
    the file, or the inflated bytes of a deflated data set (``inflated``). ``repairs`` are what to read instead of value
    representations that are none.
    """

    name: str
    path: Path
    dataset: Dataset
    transfer_syntax_uid: str
    implicit_vr: bool
    little_endian: bool
    data_set_offset: int
    pixel_offset: int | None
    inflated: bytes | None = None
    repairs: Repairs = NONE

    def open(self) -> BinaryIO:
        """Open the source that ``pixel_offset`` counts in."""
        return io.BytesIO(self.inflated) if self.inflated is not None else open_repaired(self.path, self.repairs)


def parse(path: Path, *, name: str, limits: ReadLimits, transfer_syntax_uid: str = "") -> ParsedInstance:
    """Parse a DICOM file up to its pixel data.

    Parameters
    ----------
    path:
        A Part 10 file (PS3.10), or a bare data set (then implicit or explicit VR is recognised).
    name:
        What messages call it: a SOP Instance UID, or a file's number. Never a patient.
    limits:
        Bounds of size.
    transfer_syntax_uid:
        For a file without file meta information: its encoding, when it is known.

    Raises
    ------
    UnreadableInstanceError
        The bytes cannot be parsed; TransientError when the operating system could not give them.
    """
    try:
        return _parse(path, name=name, limits=limits, given=transfer_syntax_uid)
    except FileNotFoundError as error:
        raise UnreadableInstanceError(
            f"The file of instance {name} is gone.",
            next_step="Send the study again, or restore the spool from its backup.",
        ) from error
    except ShortReadError as error:
        raise truncated(name, str(error)) from error
    except TooMuchHeaderError as error:
        raise UnreadableInstanceError(
            f"Instance {name} has more than {limits.header_bytes} bytes before its pixel data.",
            next_step="If the object is genuine, raise the limit for headers.",
            code="header-too-large",
        ) from error
    except RecursionError as error:
        raise _too_deep(name) from error
    except OSError as error:
        if error.errno is None:  # pydicom's own, for a sequence without its end
            raise truncated(name, "a sequence has no end") from error
        raise TransientError(
            f"The file of instance {name} could not be read (errno {error.errno}).",
            next_step="Check the spool's file system.",
            code="spool-unreadable",
        ) from error
    except PARSE_FAILURES as error:
        raise _unreadable(name, error) from error


def _parse(path: Path, *, name: str, limits: ReadLimits, given: str) -> ParsedInstance:
    """Parse, and once more with repairs when what comes out looks as if they were needed and there are any."""
    failure: Exception | None = None
    try:
        parsed = _parse_with(NONE, path, name=name, limits=limits, given=given)
    except (ShortReadError, TooMuchHeaderError, *PARSE_FAILURES) as error:
        failure = error
    else:
        if _looks_sound(parsed):
            return parsed
    with path.open("rb") as file:
        source = StrictFile(file, limit_bytes=limits.header_bytes)
        uid = str(read_meta(source.binary, name=name).get("TransferSyntaxUID", "") or given)
        start = source.tell()
    if repairs := repairs_of(path, offset=start, transfer_syntax_uid=uid) if uid else NONE:
        if uid == DEFLATED:
            return _parse_with(NONE, path, name=name, limits=limits, given=given, inflated_repairs=repairs)
        return _parse_with(repairs, path, name=name, limits=limits, given=given)
    if failure is not None:
        raise failure
    return parsed


def _looks_sound(parsed: ParsedInstance) -> bool:
    """Tell whether every element has a VR of the standard, and the encoding is the one that was announced."""
    if parsed.implicit_vr:
        return parsed.transfer_syntax_uid in (IMPLICIT, GE_PRIVATE_IMPLICIT)
    return all(element.VR in _VRS for element in parsed.dataset.values())


def _parse_with(
    repairs: Repairs,
    path: Path,
    *,
    name: str,
    limits: ReadLimits,
    given: str,
    inflated_repairs: Repairs = NONE,
) -> ParsedInstance:
    with open_repaired(path, repairs) as file:
        parsed = _parse_open(file, path, name=name, limits=limits, given=given, inflated_repairs=inflated_repairs)
    if parsed.implicit_vr:
        without_text_for_sequences(parsed.dataset)
    return replace(parsed, repairs=repairs)


def _parse_open(
    file: BinaryIO, path: Path, *, name: str, limits: ReadLimits, given: str, inflated_repairs: Repairs
) -> ParsedInstance:
    source = StrictFile(file, limit_bytes=limits.header_bytes)
    meta = read_meta(source.binary, name=name)
    uid = str(meta.get("TransferSyntaxUID", "") or given)
    start = source.tell()
    if uid == DEFLATED:
        inflated = _repaired(inflate(file, name=name, limits=limits), inflated_repairs)
        strict = StrictFile(io.BytesIO(inflated), limit_bytes=limits.header_bytes)
        dataset = read_dataset(strict.binary, is_implicit_VR=False, is_little_endian=True, stop_when=_at_pixels)
        offset = strict.offset_of_pixels(len(inflated))
        return ParsedInstance(
            name=name,
            path=path,
            dataset=dataset,
            transfer_syntax_uid=uid,
            implicit_vr=False,
            little_endian=True,
            data_set_offset=start,
            pixel_offset=offset,
            inflated=inflated,
        )
    size = os.fstat(file.fileno()).st_size
    if uid:
        implicit, little = uid in (IMPLICIT, GE_PRIVATE_IMPLICIT), uid != BIG_ENDIAN
    else:
        implicit, little, uid = _recognise(source.binary)
    source.seek(start)
    dataset = read_dataset(source.binary, implicit, little, stop_when=_at_pixels)
    # pydicom corrects files whose bytes are not what their meta information says; the pixels follow the bytes
    found_implicit = dataset.original_encoding[0]
    implicit = implicit if found_implicit is None else found_implicit
    offset = source.offset_of_pixels(size)
    return ParsedInstance(
        name=name,
        path=path,
        dataset=dataset,
        transfer_syntax_uid=uid,
        implicit_vr=implicit,
        little_endian=little,
        data_set_offset=start,
        pixel_offset=offset,
    )


def _repaired(content: bytes, repairs: Repairs) -> bytes:
    if not repairs:
        return content
    changed = bytearray(content)
    for place, vr in repairs:
        changed[place : place + 2] = vr
    return bytes(changed)


def read_meta(source: BinaryIO, *, name: str) -> FileMetaDataset:
    """Read preamble and file meta information (PS3.10 7.1); empty for a bare data set. Leaves ``source`` behind it.

    Raises
    ------
    UnreadableInstanceError
        When the meta information is broken.
    """
    head = source.read(132)
    if head[128:132] != b"DICM":
        source.seek(0)
    if not _starts_with_group_2(source):
        return FileMetaDataset()
    meta = read_dataset(source, is_implicit_VR=False, is_little_endian=True, stop_when=_after_meta)
    try:
        return FileMetaDataset(meta)
    except PARSE_FAILURES as error:
        raise UnreadableInstanceError(f"The file meta information of instance {name} cannot be read.") from error


def _starts_with_group_2(source: BinaryIO) -> bool:
    start = source.tell()
    group = source.read(2)
    source.seek(start)
    return group == b"\x02\x00"


def _after_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != 2


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag in PIXEL_TAGS


def _recognise(source: BinaryIO) -> tuple[bool, bool, str]:
    """Encoding of a bare data set: (implicit VR, little endian, transfer syntax UID)."""
    start = source.tell()
    head = source.read(6)
    source.seek(start)
    explicit = len(head) == 6 and head[4:6].isalpha() and head[4:6].isupper()
    little = len(head) < 2 or head[1] == 0 or head[0] != 0
    if not explicit:
        return True, True, IMPLICIT
    return False, little, EXPLICIT if little else BIG_ENDIAN


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Translate what pydicom raises while values of an already parsed data set are looked at."""
    try:
        yield
    except RecursionError as error:
        raise _too_deep(name) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _unreadable(name, error) from error  # pydicom's own, for a sequence without its end
    except PARSE_FAILURES as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> UnreadableInstanceError:
    return UnreadableInstanceError(
        f"Instance {name} is not a readable DICOM data set ({type(error).__name__}).",
        next_step="Check the file with dcmdump, and have the sender's software checked.",
    )


def _too_deep(name: str) -> UnreadableInstanceError:
    return UnreadableInstanceError(
        f"Instance {name} has sequences nested far deeper than any real object.",
        next_step="Have the sender's software checked: such data sets are made to crash readers.",
        code="nesting-too-deep",
    )
