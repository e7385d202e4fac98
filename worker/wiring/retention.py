"""Retention of an installation that is there."""

from __future__ import annotations

from worker.pictures.job_pictures import JobPictures
from worker.pipeline import clean as cleaning
from worker.settings import Settings
from worker.wiring import stores


def job_pictures(settings: Settings) -> JobPictures:
    """The pictures of jobs in the data folder."""
    return JobPictures(settings.node.data / "pictures")


def clean(settings: Settings, *, dry_run: bool = False) -> cleaning.Cleaned:
    """Delete what may go now; raises as ``stores.existing``."""
    retention: cleaning.Retention = stores.existing(settings).retention
    pictures: cleaning.Pictures = job_pictures(settings)
    return cleaning.clean(retention, pictures, dry_run=dry_run)
