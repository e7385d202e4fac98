"""Read an object of the spool again, as the listener read it: for a start after a crash."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

from pydicom.filereader import read_file_meta_info

from worker.data_elements.faults import ScanError
from worker.domain.character_sets import StatedSet
from worker.domain.study import Digest, OfferedInstance, TransferSyntaxUID
from worker.intake.scan.scan import scan_file

_META_STARTS = 132
_GROUP_LENGTH = struct.Struct("<HH2sHI")
_BLOCK_BYTES = 1 << 20
ASSOCIATION = "recovered"
"""Stands for the association of an instance whose own is not known any more."""


def offered_again(path: Path, stated: StatedSet | None = None) -> OfferedInstance | None:
    """Scan a Part 10 file that this listener wrote; None when it is no instance that the listener would have taken.

    ``stated`` is what the site says of the text of everybody: who sent it is not known any more.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(_META_STARTS)
            group, element, _, _, length = _GROUP_LENGTH.unpack(stream.read(_GROUP_LENGTH.size))
            if (group, element) != (2, 0):
                return None
            offset = _META_STARTS + _GROUP_LENGTH.size + length
            stream.seek(offset)
            digest = hashlib.sha256()
            size_bytes = 0
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
                size_bytes += len(block)
        transfer_syntax_uid = str(read_file_meta_info(path).TransferSyntaxUID)
        header = scan_file(path, offset=offset, transfer_syntax_uid=transfer_syntax_uid, stated=stated)
    except (ScanError, OSError, struct.error, AttributeError):
        return None
    return OfferedInstance(
        temporary=path,
        header=header,
        transfer_syntax_uid=TransferSyntaxUID(transfer_syntax_uid),
        sha256=Digest(digest.hexdigest()),
        size_bytes=size_bytes,
        calling_ae_title="",
        association_id=ASSOCIATION,
    )
