"""All that is known of one analysis, gathered for a page: from the ledger, or from a run without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.domain.job import Job, StageTime, Transition
from worker.domain.model import ModelIdentity
from worker.domain.result import Check, Delivery, ResultKind
from worker.domain.volume import Volume


@dataclass(frozen=True, slots=True)
class KeptObject:
    """A result object; ``content`` is None when its bytes are not there any more, and ``note`` says why."""

    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    sha256: str
    size_bytes: int
    destinations: tuple[str, ...] | None
    content: bytes | None = field(repr=False)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """One time that a destination was asked whether it keeps the results."""

    destination: str
    asked_at: str
    outcome: str
    transaction_uid: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnalysisRecord:
    """What the page tells.

    ``summary`` is what the model concluded, as plain data (``pipeline.summary``): read with care, an older version may
    have written it. ``volume`` is None when there is none to draw on; ``notices`` say why, and what else is missing.
    ``evidence_digest`` is that of the evidence that the ledger names, empty when it is gone; ``job`` is None for a run
    without a ledger. ``hidden``: the images may have a patient's name in their pixels, and nothing of them is shown.
    """

    model: ModelIdentity
    study_instance_uid: str
    series_instance_uid: str
    objects: Sequence[KeptObject]
    summary: Mapping[str, Any]
    checks: Sequence[Check]
    config_digest: str
    provider: str = ""
    title: str = ""
    job: Job | None = None
    volume: Volume | None = None
    hidden: bool = False
    evidence_count: int = 0
    evidence_digest: str = ""
    timeline: Sequence[Transition] = ()
    stages: Sequence[StageTime] = ()
    deliveries: Sequence[Delivery] = ()
    asked: Sequence[Asked] = ()
    notices: Sequence[str] = ()
    older_picture: bytes | None = field(default=None, repr=False)
