"""What a start after a crash puts right, without a hand.

A process that died between the rename and the commit leaves an object without a row: whole (it was synced before it got
its name), and acknowledged to nobody, but kept all the same. A row without its object is a loss by the disk or by hand:
it is shown, and its study gives no result until the instance is sent again.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, update

from worker.domain.errors import OverreadError
from worker.domain.study import OfferedInstance, RefusedInstance
from worker.store.custody.admission import InstanceStore
from worker.store.database.database import Database
from worker.store.database.tables import Kept, instances, results
from worker.store.spool.spool import Spool, object_key
from worker.store.work.damaged_objects import resume

log = logging.getLogger(__name__)

Reindex = Callable[[Path], OfferedInstance | None]
"""Reads an object of the spool again as the listener would; None when it is no instance that it would have taken."""

_PREFIXES = tuple(f"{n:02x}" for n in range(256))


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found and put right."""

    temporaries_removed: int
    reindexed: int
    quarantined: int
    missing: int
    healed: int


def recover(database: Database, spool: Spool, store: InstanceStore, reindex: Reindex) -> Recovered:
    """Compare spool and index. May run while instances arrive, and in several processes."""
    removed = spool.remove_stale_temporaries()
    reindexed = quarantined = missing = healed = 0
    associations: set[str] = set()
    for prefix in _PREFIXES:
        on_disk = dict(spool.keys("objects", prefix))
        rows = _rows(database, prefix)
        for key in sorted(on_disk.keys() - rows.keys()):
            offered = _adopt(database, spool, store, reindex, key)
            if offered is None:
                quarantined += 1
            else:
                reindexed += 1
                associations.add(offered.association_id)
        gone = [row for key, row in rows.items() if key not in on_disk and row.kept is Kept.PRESENT]
        back = [row for key, row in rows.items() if key in on_disk and row.kept is Kept.MISSING]
        if gone or back:
            with database.write() as connection:
                missing += _mark(connection, spool, gone, before=Kept.PRESENT, after=Kept.MISSING)
                healed += _mark(connection, spool, back, before=Kept.MISSING, after=Kept.PRESENT)
                resume(connection, [row.id for row in back], now=database.now(connection))
    for association_id in associations:
        store.association_released(association_id)
    missing += _mark_missing_results(database, spool)
    found = Recovered(removed, reindexed, quarantined, missing, healed)
    log.info(
        "store-recovered",
        extra={
            "temporaries_removed": removed,
            "reindexed": reindexed,
            "quarantined": quarantined,
            "missing": missing,
            "healed": healed,
        },
    )
    return found


def _rows(database: Database, prefix: str) -> dict[str, Any]:
    with database.read() as connection:
        rows: Sequence[Any] = connection.execute(
            select(instances.c.id, instances.c.object_key, instances.c.kept).where(
                instances.c.object_key >= prefix, instances.c.object_key < prefix + "g"
            )
        ).all()
    return {row.object_key: row for row in rows}


def _adopt(
    database: Database, spool: Spool, store: InstanceStore, reindex: Reindex, key: str
) -> OfferedInstance | None:
    """Index an object that has no row, admitted as everything else is; None when it was set aside."""
    path = spool.object_path(key)
    temporary = spool.new_temporary()
    try:
        _link(path, temporary)
    except FileNotFoundError:
        return None
    try:
        offered = reindex(path)
    except OverreadError as error:
        log.warning("orphan-unreadable", extra={"object_key": key, "error": error.code})
        offered = None
    # The name is a digest of the content: an object that does not answer to its name is damaged.
    if offered is None or object_key(offered.sha256, offered.transfer_syntax_uid) != key:
        store.refuse(RefusedInstance(temporary, "orphan-unreadable", "an object without a row cannot be read", "", ""))
        offered = None
    else:
        store.admit(replace(offered, temporary=temporary))
    _unlink_unreferenced(database, path, key)
    return offered


def _link(path: Path, temporary: Path) -> None:
    try:
        os.link(path, temporary)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        shutil.copyfile(path, temporary)


def _unlink_unreferenced(database: Database, path: Path, key: str) -> None:
    """Delete an object that was adopted elsewhere (as a conflict, or set aside): it must not be found at each start."""
    with database.write() as connection:
        if connection.execute(select(instances.c.id).where(instances.c.object_key == key)).first() is None:
            path.unlink(missing_ok=True)


def _mark(connection: Connection, spool: Spool, rows: Sequence[Any], *, before: Kept, after: Kept) -> int:
    count = 0
    for row in rows:
        if spool.object_path(row.object_key).exists() is (after is Kept.PRESENT):
            changed = connection.execute(
                update(instances).where(instances.c.id == row.id, instances.c.kept == before).values(kept=after)
            )
            count += changed.rowcount
            event = "object-missing" if after is Kept.MISSING else "object-healed"
            log.error(event, extra={"object_key": row.object_key})
    return count


def _mark_missing_results(database: Database, spool: Spool) -> int:
    with database.read() as connection:
        rows = connection.execute(select(results.c.id, results.c.sha256).where(results.c.kept == Kept.PRESENT)).all()
    gone = [row.id for row in rows if not spool.result_path(row.sha256).exists()]
    if not gone:
        return 0
    with database.write() as connection:
        for result_id in gone:
            connection.execute(
                update(results)
                .where(results.c.id == result_id, results.c.kept == Kept.PRESENT)
                .values(kept=Kept.MISSING)
            )
    log.error("results-missing", extra={"count": len(gone)})
    return len(gone)
