"""The bounded scan: what the network process reads of a data set, and all that it reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.data_elements.byte_source import ByteSource, FileBytes, InflatedBytes
from worker.data_elements.element_reader import ElementReader
from worker.data_elements.faults import ScanError
from worker.data_elements.limits import ScanLimits
from worker.domain.character_sets import StatedSet
from worker.domain.study import IndexedHeader
from worker.intake.scan.header import INDEX_TAGS, indexed_header
from worker.intake.scan.pixel_length import PIXEL_TAGS, check_pixels
from worker.intake.status import DOES_NOT_MATCH
from worker.intake.supported_syntaxes import DEFLATED, EXPLICIT_BIG, IMAGE_CLASSES, IMPLICIT_LITTLE, NATIVE, VIDEO

_WANTED: Final = INDEX_TAGS | PIXEL_TAGS


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What the C-STORE request said of the instance: the data set must say the same (PS3.4 B.2.2)."""

    sop_class_uid: str
    sop_instance_uid: str


def scan_data_set(
    descriptor: int,
    *,
    offset: int,
    length_bytes: int,
    transfer_syntax_uid: str,
    announced: Announced | None = None,
    limits: ScanLimits | None = None,
    stated: StatedSet | None = None,
) -> IndexedHeader:
    """Check the structure of one data set and read what the index needs.

    Parameters
    ----------
    descriptor:
        Open file that holds the data set.
    offset, length_bytes:
        Where it starts in the file, and how long it is.
    transfer_syntax_uid:
        How it is encoded. A deflated one is inflated as a stream, bounded in size and ratio.
    stated:
        What the site says of the sender's text.

    Raises
    ------
    ScanError
        For anything that is not a whole, well-formed data set with an unambiguous identity. Nothing else is raised,
        whatever the bytes are.
    """
    limits = limits or ScanLimits()
    window: ByteSource
    if transfer_syntax_uid in DEFLATED:
        window = InflatedBytes(descriptor, offset=offset, length_bytes=length_bytes, limits=limits)
    else:
        window = FileBytes(descriptor, offset=offset, length_bytes=length_bytes)
    big_endian = transfer_syntax_uid == EXPLICIT_BIG
    elements = ElementReader(
        window,
        implicit=transfer_syntax_uid == IMPLICIT_LITTLE,
        big_endian=big_endian,
        encapsulated=transfer_syntax_uid not in NATIVE,
        wanted=_WANTED,
        limits=limits,
    )
    elements.run()
    header = indexed_header(elements.values, stated)
    if announced is not None:
        _compare(header, announced)
    check_pixels(
        elements.values,
        elements.vrs,
        elements.lengths,
        fragments=elements.fragments,
        big_endian=big_endian,
        is_image=header.sop_class_uid in IMAGE_CLASSES,
        is_video=transfer_syntax_uid in VIDEO,
    )
    return header


def scan_file(
    path: Path,
    *,
    offset: int,
    transfer_syntax_uid: str,
    limits: ScanLimits | None = None,
    stated: StatedSet | None = None,
) -> IndexedHeader:
    """Scan the data set that starts at ``offset`` of a file. Raises ScanError and OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        length = os.fstat(descriptor).st_size - offset
        return scan_data_set(
            descriptor,
            offset=offset,
            length_bytes=length,
            transfer_syntax_uid=transfer_syntax_uid,
            limits=limits,
            stated=stated,
        )
    finally:
        os.close(descriptor)


def _compare(header: IndexedHeader, announced: Announced) -> None:
    if header.sop_class_uid != announced.sop_class_uid:
        raise ScanError(
            "The data set has another SOP class than the request.", code="sop-class-differs", status=DOES_NOT_MATCH
        )
    if header.sop_instance_uid != announced.sop_instance_uid:
        raise ScanError(
            "The data set has another SOP instance than the request.",
            code="sop-instance-differs",
            status=DOES_NOT_MATCH,
        )
