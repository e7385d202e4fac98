"""Result objects with their bytes, for whoever shows what was made."""

from __future__ import annotations

import hashlib

from worker.domain.analysis_record import KeptObject
from worker.domain.result import ResultObject


def kept_object(one: ResultObject) -> KeptObject:
    """A result with its bytes, unless they are gone or are not those that were made."""
    content: bytes | None = None
    try:
        content = one.path.read_bytes()
        note = ""
    except FileNotFoundError:
        note = "deleted"
    except OSError as error:
        note = f"cannot be read: {error.strerror or type(error).__name__}"
    if content is not None and hashlib.sha256(content).hexdigest() != one.sha256:
        content, note = None, "CHANGED: the file is not the one that was made"
    return KeptObject(
        kind=one.kind,
        sop_class_uid=one.sop_class_uid,
        sop_instance_uid=one.sop_instance_uid,
        series_instance_uid=one.series_instance_uid,
        sha256=one.sha256,
        size_bytes=one.size_bytes,
        destinations=one.destinations,
        content=content,
        note=note,
    )
