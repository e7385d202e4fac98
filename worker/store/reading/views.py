"""What questions to the ledger are answered with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from worker.domain.job import Job, JobId, JobState
from worker.domain.result import DeliveryState
from worker.domain.study import SeriesInstanceUID, SOPInstanceUID, StudyInstanceUID


@dataclass(frozen=True, slots=True)
class JobDetails:
    """A job, and what the ledger knows beside it. Times are of the database's clock."""

    job: Job
    worker: str
    lease_until: datetime | None
    not_before: datetime
    destinations: tuple[str, ...]
    superseded_by: JobId | None
    evidence_count: int


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """An analysis that a revision asked for; ``is_new`` False: the same work was known already, nothing was done."""

    revision: int
    job_id: JobId
    is_new: bool


@dataclass(frozen=True, slots=True)
class Conflict:
    """A second content under a known SOP Instance UID. ``path`` is where it is kept apart."""

    sop_instance_uid: SOPInstanceUID
    study_instance_uid: StudyInstanceUID
    identity_differs: bool
    times: int
    size_bytes: int
    calling_ae_title: str
    received_at: datetime
    path: Path


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was refused on arrival; ``path`` None when it was not kept."""

    at: datetime
    code: str
    detail: str
    size_bytes: int
    calling_ae_title: str
    path: Path | None


@dataclass(frozen=True, slots=True)
class SeriesCount:
    """A series as the index knows it."""

    series_instance_uid: SeriesInstanceUID
    modality: str
    instances: int


@dataclass(frozen=True, slots=True)
class StudyDetails:
    """A study as the index knows it. Own results and conflicting copies are counted apart.

    ``receiving_s`` is the time from its first instance to its last.
    """

    study_instance_uid: StudyInstanceUID
    created_at: datetime
    last_received_at: datetime
    revision: int
    instance_count: int
    receiving_s: float
    size_bytes: int
    own_results: int
    missing: int
    conflicts: int
    series: tuple[SeriesCount, ...]
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """The whole store in numbers."""

    jobs: Mapping[JobState, int]
    deliveries: Mapping[DeliveryState, int]
    studies: int
    instances: int
    instance_bytes: int
    results: int
    result_bytes: int
    conflicts: int
    refusals: int
    missing: int
    oldest_unfinished_at: datetime | None
