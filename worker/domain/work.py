"""What the ledger, the use-cases and the broker tell each other of work: arriving, planned, and due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from worker.domain.job import JobId, JobKind
from worker.domain.model import ModelIdentity
from worker.domain.result import DeliveryId
from worker.domain.study import Digest, StoredInstance, StudyInstanceUID


@dataclass(frozen=True, slots=True)
class StudyActivity:
    """How a study is arriving, for the route job that waits for it. Times are of the database's clock.

    ``largest_gap_s`` is the longest pause between two instances of this revision so far. ``open_associations``
    counts associations that brought instances of it and have not been released yet.
    """

    job_id: JobId
    study_instance_uid: StudyInstanceUID
    modalities: tuple[str, ...]
    instance_count: int
    first_received_at: datetime
    last_received_at: datetime
    largest_gap_s: float
    open_associations: int
    now: datetime


@dataclass(frozen=True, slots=True)
class PlannedAnalysis:
    """An analyse job that routing asks for.

    ``key`` is derived from the evidence, the model's digest and the configuration's digest: a key that the ledger
    knows already is the same work, and no second job is made. Of ``priority`` 9 is the most urgent.
    """

    key: Digest
    rule: str
    model: ModelIdentity
    config_digest: Digest
    priority: int
    destinations: tuple[str, ...]
    evidence: tuple[StoredInstance, ...]


@dataclass(frozen=True, slots=True)
class DueWork:
    """One message: exactly one of the ids is set. ``label`` is for people (model, stage, destination)."""

    job_id: JobId | None
    delivery_id: DeliveryId | None
    kind: JobKind | None
    label: str
    priority: int


@dataclass(frozen=True, slots=True)
class Retired:
    """What was deleted, or would be. ``jobs`` are those of the studies: their history stays, its pictures need not."""

    studies: tuple[StudyInstanceUID, ...]
    jobs: tuple[JobId, ...]
    instances: int
    size_bytes: int
    histories: int
    refusals: int
    orphans: int
