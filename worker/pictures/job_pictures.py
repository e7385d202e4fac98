"""Overlay pictures of jobs in a folder: ``JOB.png``."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from pathlib import Path

from worker.domain.errors import OverreadError
from worker.domain.findings import Conclusion
from worker.domain.job import JobId

log = logging.getLogger(__name__)

_OF_A_JOB = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class JobPictures:
    """A folder of them. A picture that fails costs nobody a result."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def illustrate(self, job_id: JobId, conclusion: Conclusion) -> None:
        """Write the picture of a job."""
        from worker.pictures.overlay import write_overlay

        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_overlay(conclusion, self._of(job_id))
        except (OSError, OverreadError) as error:
            log.warning("picture-failed", extra={"job_id": job_id, "error": type(error).__name__})

    def read(self, job_id: JobId) -> bytes | None:
        """The picture of a job (PNG); None when none was made, or it was deleted."""
        path = self._of(job_id)
        return path.read_bytes() if path.is_file() else None

    def jobs(self) -> frozenset[str]:
        """Ids of the jobs that one was made of; files that are not named after a job are not ours to delete."""
        return frozenset(path.stem for path in self._folder.glob("*.png") if _OF_A_JOB.fullmatch(path.stem))

    def delete(self, job_ids: Collection[str]) -> None:
        """Delete the pictures of these jobs, as far as there are any."""
        for job_id in job_ids:
            self._of(job_id).unlink(missing_ok=True)

    def _of(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.png"
