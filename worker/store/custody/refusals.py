"""What was refused on arrival: kept aside, within limits, for people to look at."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, func, insert, select

from worker.domain.errors import OutOfSpaceError
from worker.domain.study import RefusedInstance
from worker.store.database.tables import refusals
from worker.store.spool.spool import Spool


@dataclass(frozen=True, slots=True)
class SetAside:
    """A refusal, and the name in ``quarantine/`` of what was kept of it (empty: nothing)."""

    refused: RefusedInstance
    file_name: str
    size_bytes: int


def set_aside(spool: Spool, refused: RefusedInstance, *, room_bytes: int) -> SetAside:
    """Move the file to the quarantine folder when there is room; else only the record will be kept.

    A flood of rubbish must not fill the disk that the next good instance needs.
    """
    path = refused.temporary
    with suppress(OutOfSpaceError, OSError):
        if path is not None and (size := path.stat().st_size) <= room_bytes:
            spool.check_space(0)
            return quarantine(spool, path, refused, size)
    return SetAside(refused, "", 0)


def quarantine(spool: Spool, path: Path, refused: RefusedInstance, size_bytes: int) -> SetAside:
    """Move a file to the quarantine folder under a random name."""
    name = f"{uuid.uuid4().hex}.dcm"
    path.rename(spool.quarantine_path(name))
    return SetAside(refused, name, size_bytes)


def record(connection: Connection, aside: Sequence[SetAside], *, now: datetime) -> None:
    """Write the rows that people see."""
    for one in aside:
        connection.execute(
            insert(refusals).values(
                at=now,
                code=one.refused.code,
                detail=one.refused.detail,
                file_name=one.file_name or None,
                size_bytes=one.size_bytes,
                calling_ae_title=one.refused.calling_ae_title,
                association_id=one.refused.association_id,
            )
        )


def kept_bytes(connection: Connection) -> int:
    """How much refused material is kept now."""
    total = select(func.coalesce(func.sum(refusals.c.size_bytes), 0)).where(refusals.c.file_name.is_not(None))
    return int(connection.execute(total).scalar_one())
