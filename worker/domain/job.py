"""A job and its state machine: the only place that says what may follow what.

Two kinds of job share one machine. A *route* job is the life of one revision of a study until the decision which
models run on it; an *analyse* job is one model on one series of that revision, until its results are safe at every
destination. The picture in ``docs/architecture.md`` is drawn from ``TRANSITIONS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from worker.domain.model import ModelIdentity
from worker.domain.study import Digest, SeriesInstanceUID, StudyInstanceUID

JobId = NewType("JobId", str)


HANDED_BACK = "handed-back: the worker was asked to stop."
"""What the timeline says of an attempt that a planned stop ended."""


class JobKind(StrEnum):
    """What a job is for: to route a study, or to have one model analyse one of its series."""

    ROUTE = "route"
    ANALYSE = "analyse"


class JobState(StrEnum):
    """The states of a job; ``TRANSITIONS`` says which may follow which."""

    RECEIVED = "received"
    """Instances are arriving; nothing says yet that the study is complete."""
    READY = "ready"
    """May run as soon as ``not_before`` has passed."""
    QUEUED = "queued"
    """Its id has been published (the broker may have lost it: the sweeper publishes again)."""
    RUNNING = "running"
    """One attempt holds the lease."""
    WAITING = "waiting"
    """A model that is installed cannot be used now: tried again when it is mended. What other models do goes on."""
    ROUTED = "routed"
    """Route jobs: the decisions are stored and the analyse jobs exist."""
    PRODUCED = "produced"
    """Result objects passed the gate and are durable, and the outbox has their rows."""
    DELIVERING = "delivering"
    """At least one destination has not taken everything yet."""
    DELIVERED = "delivered"
    """Every destination answered success for every object."""
    COMMITTED = "committed"
    """Every destination that offers it has promised safe-keeping (storage commitment, PS3.4 Annex J)."""
    NO_MODEL_APPLIES = "no-model-applies"
    """Nothing to do for this study; the reasons are stored."""
    QUARANTINED = "quarantined"
    """Set aside with the reason: bad input, ambiguous identity, refused by the gate, or too many attempts."""
    FAILED = "failed"
    """Needs a person: a destination refused for good, or the installation is wrong."""
    SUPERSEDED = "superseded"
    """A newer revision of the same study replaced it."""
    CANCELLED = "cancelled"
    """A person stopped it."""


_S = JobState

TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    _S.RECEIVED: frozenset({_S.READY, _S.QUARANTINED, _S.SUPERSEDED, _S.CANCELLED}),
    # RECEIVED again: an instance came after the study was judged complete and before anybody began.
    _S.READY: frozenset({_S.RECEIVED, _S.QUEUED, _S.QUARANTINED, _S.SUPERSEDED, _S.CANCELLED}),
    _S.QUEUED: frozenset({_S.RECEIVED, _S.RUNNING, _S.QUARANTINED, _S.SUPERSEDED, _S.CANCELLED}),
    _S.RUNNING: frozenset(
        {
            _S.READY,  # handed back, lease expired, or a transient failure: runs again after not_before
            _S.WAITING,
            _S.ROUTED,
            _S.NO_MODEL_APPLIES,
            _S.PRODUCED,
            _S.QUARANTINED,
            _S.FAILED,
            _S.SUPERSEDED,
            _S.CANCELLED,
        }
    ),
    _S.WAITING: frozenset({_S.READY, _S.SUPERSEDED, _S.CANCELLED}),
    _S.ROUTED: frozenset(),
    _S.NO_MODEL_APPLIES: frozenset(),
    _S.PRODUCED: frozenset({_S.DELIVERING, _S.DELIVERED, _S.SUPERSEDED, _S.CANCELLED}),
    _S.DELIVERING: frozenset({_S.DELIVERED, _S.FAILED, _S.SUPERSEDED, _S.CANCELLED}),
    # DELIVERING again: a commitment was refused or never came, so the objects are sent again.
    _S.DELIVERED: frozenset({_S.COMMITTED, _S.DELIVERING, _S.SUPERSEDED}),
    _S.COMMITTED: frozenset({_S.SUPERSEDED}),
    # A person's retry: READY for work that never produced, DELIVERING for results that exist.
    _S.QUARANTINED: frozenset({_S.READY, _S.SUPERSEDED, _S.CANCELLED}),
    _S.FAILED: frozenset({_S.READY, _S.DELIVERING, _S.SUPERSEDED, _S.CANCELLED}),
    _S.SUPERSEDED: frozenset(),
    _S.CANCELLED: frozenset(),
}

UNFINISHED: frozenset[JobState] = frozenset(
    {_S.RECEIVED, _S.READY, _S.QUEUED, _S.RUNNING, _S.WAITING, _S.PRODUCED, _S.DELIVERING, _S.DELIVERED}
)
"""States in which the system itself still has something to do or to wait for; retention never touches these.

DELIVERED is among them only until its destinations' commitments are settled; a job whose destinations offer none
goes on to COMMITTED with the reason "no destination offers storage commitment".
"""


def may_follow(before: JobState, after: JobState) -> bool:
    """Tell whether the state machine allows this step."""
    return after in TRANSITIONS[before]


@dataclass(frozen=True, slots=True)
class Job:
    """Our ledger's record of a piece of work."""

    job_id: JobId
    kind: JobKind
    state: JobState
    study_instance_uid: StudyInstanceUID
    revision: int
    rule: str
    model: ModelIdentity | None
    series_instance_uid: SeriesInstanceUID | None
    config_digest: Digest
    attempt: int
    priority: int
    reason: str
    created_at: datetime
    updated_at: datetime

    @property
    def label(self) -> str:
        """What people see in Flower: stage and model, no UID, no patient."""
        return f"{self.kind.value} {self.model}" if self.model else self.kind.value


@dataclass(frozen=True, slots=True)
class Claim:
    """Proof that this attempt holds the job. Results are accepted only with the claim of the current attempt.

    ``attempt`` is the fencing token: it only grows. ``failures`` counts the attempts before this one that count
    against the job: what was handed back in good order, or forgiven by a person, is not among them.
    """

    job: Job
    attempt: int
    worker: str
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of a job's timeline."""

    at: datetime
    before: JobState | None
    after: JobState
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long one stage of an attempt took, in seconds ("decode", "inference", "encode", "gate", ...)."""

    stage: str
    seconds: float
