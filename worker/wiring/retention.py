"""Retention: what is finished and old goes, with the pictures that were made of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.settings import Settings
from worker.store.custody.retention import Retention, Retired
from worker.wiring import stores

_OF_A_JOB = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was deleted, or would be."""

    retired: Retired
    pictures: int


def clean(settings: Settings, *, dry_run: bool = False) -> Cleaned:
    """Delete what may go now; with ``dry_run`` only say what that is. Any number of processes may do this."""
    retention: Retention = stores.existing(settings).retention
    retired = retention.run(dry_run=dry_run)
    pictures = {one.stem: one for one in _pictures(settings.node.data / "pictures")}
    # Looked for in the folder, not remembered: a crash between the study and its pictures leaves none behind.
    gone = {str(one) for one in retired.jobs} & pictures.keys()
    names = sorted(pictures.keys() - gone)
    for start in range(0, len(names), _CHUNK):
        gone.update(retention.without_images(names[start : start + _CHUNK]))
    if not dry_run:
        for name in gone:
            pictures[name].unlink(missing_ok=True)
    return Cleaned(retired, len(gone))


def _pictures(folder: Path) -> Iterator[Path]:
    """Files that are named after a job: others are not ours to delete."""
    return (path for path in folder.glob("*.png") if _OF_A_JOB.fullmatch(path.stem))
