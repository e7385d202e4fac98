"""From the bytes of one instance to a pydicom data set without pixels, bounded and strict.

pydicom returns what it has when a file ends early, and inflates a deflated data set whatever its size. Here a short
read is an error, every read and every inflation has a limit, and any failure becomes an ``UnreadableInstanceError``.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from worker.data_elements.repairs import NONE, Repairs, open_repaired, repaired, repairs_of, without_text_for_sequences
from worker.domain.errors import TransientError
from worker.domain.study import StoredInstance
from worker.headers.bounded import ReadLimits, ShortReadError, StrictFile, TooMuchHeaderError, inflate, truncated
from worker.headers.errors import UnreadableInstanceError

PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
"""Float Pixel Data, Double Float Pixel Data, Pixel Data."""

DEFLATED = "1.2.840.10008.1.2.1.99"
IMPLICIT = "1.2.840.10008.1.2"
GE_PRIVATE_IMPLICIT = "1.2.840.113619.5.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

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
    representations that are none. Elements of ``dataset`` are as they stand until somebody asks for a value.
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

    def excerpt(self, tags: Iterable[BaseTag]) -> Dataset:
        """Only these elements, as they stand: what is kept of thousands of instances at once."""
        whole = self.dataset
        kept = Dataset({tag: whole.get_item(tag, keep_deferred=True) for tag in tags if tag in whole})
        implicit, little = whole.original_encoding
        kept.set_original_encoding(implicit, little, whole.original_character_set)
        return kept


def parse_stored(instance: StoredInstance, limits: ReadLimits) -> ParsedInstance:
    """``parse`` an instance of the spool; messages call it by its SOP Instance UID."""
    return parse(
        instance.path,
        name=instance.sop_instance_uid,
        limits=limits,
        transfer_syntax_uid=instance.transfer_syntax_uid,
    )


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
    """Read the meta information, and the data set with the repairs that the listener's walk finds for it."""
    with path.open("rb") as file:
        source = StrictFile(file, limit_bytes=limits.header_bytes)
        uid = str(read_meta(source.binary, name=name).get("TransferSyntaxUID", "") or given)
        start = source.tell()
        repairs = repairs_of(path, offset=start, transfer_syntax_uid=uid) if uid else NONE
        make = partial(ParsedInstance, name=name, path=path, data_set_offset=start, repairs=repairs)
        if uid == DEFLATED:
            return _parse_inflated(make, repaired(inflate(file, name=name, limits=limits), repairs), limits)
        if not repairs:
            return _parse_data_set(make, source, uid, size=os.fstat(file.fileno()).st_size)
    with open_repaired(path, repairs) as file:
        source = StrictFile(file, limit_bytes=limits.header_bytes)
        source.seek(start)
        return _parse_data_set(make, source, uid, size=os.fstat(file.fileno()).st_size)


def _parse_inflated(make: Callable[..., ParsedInstance], inflated: bytes, limits: ReadLimits) -> ParsedInstance:
    source = StrictFile(io.BytesIO(inflated), limit_bytes=limits.header_bytes)
    dataset = read_dataset(source.binary, is_implicit_VR=False, is_little_endian=True, stop_when=_at_pixels)
    without_text_for_sequences(dataset)
    return make(
        dataset=dataset,
        transfer_syntax_uid=DEFLATED,
        implicit_vr=False,
        little_endian=True,
        pixel_offset=source.offset_of_pixels(len(inflated)),
        inflated=inflated,
    )


def _parse_data_set(make: Callable[..., ParsedInstance], source: StrictFile, uid: str, *, size: int) -> ParsedInstance:
    if uid:
        implicit, little = uid in (IMPLICIT, GE_PRIVATE_IMPLICIT), uid != BIG_ENDIAN
    else:
        implicit, little, uid = _recognise(source.binary)
    dataset = read_dataset(source.binary, implicit, little, stop_when=_at_pixels)
    # pydicom corrects files whose bytes are not what their meta information says; the pixels follow the bytes
    found_implicit = dataset.original_encoding[0]
    offset = source.offset_of_pixels(size)
    without_text_for_sequences(dataset)
    return make(
        dataset=dataset,
        transfer_syntax_uid=uid,
        implicit_vr=implicit if found_implicit is None else found_implicit,
        little_endian=little,
        pixel_offset=offset,
    )


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
