"""Retention: what is finished and old goes, with the pictures that were made of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.domain.job import JobId
from worker.domain.work import Retired

_CHUNK = 500


class Retention(Protocol):
    """What the ledger and the spool keep."""

    def run(self, *, dry_run: bool = False) -> Retired:
        """Delete what may go now; with ``dry_run`` only say what that is."""

    def without_images(self, job_ids: Sequence[str]) -> tuple[JobId, ...]:
        """Those among some ids that are of no job, or of one whose study was deleted: nothing made of it may stay."""


class Pictures(Protocol):
    """The pictures that were made of jobs."""

    def jobs(self) -> frozenset[str]:
        """Ids of the jobs that one was made of."""

    def delete(self, job_ids: Collection[str]) -> None:
        """Delete the pictures of these jobs, as far as there are any."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was deleted, or would be."""

    retired: Retired
    pictures: int


def clean(retention: Retention, pictures: Pictures, *, dry_run: bool = False) -> Cleaned:
    """Delete what may go now; with ``dry_run`` only say what that is. Any number of processes may do this."""
    retired = retention.run(dry_run=dry_run)
    # Looked for in the folder, not remembered: a crash between the study and its pictures leaves none behind.
    there = pictures.jobs()
    gone = {str(one) for one in retired.jobs} & there
    names = sorted(there - gone)
    for start in range(0, len(names), _CHUNK):
        gone.update(retention.without_images(names[start : start + _CHUNK]))
    if not dry_run:
        pictures.delete(gone)
    return Cleaned(retired, len(gone))
