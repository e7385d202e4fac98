"""Result objects, what the gate says of them, and their way to a destination."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NewType

from worker.domain.job import JobId
from worker.domain.study import Digest, SeriesInstanceUID, SOPClassUID, SOPInstanceUID

DeliveryId = NewType("DeliveryId", str)


class ResultKind(StrEnum):
    """Which result object: by what it is in DICOM, and what it says."""

    SEG = "SEG"
    SR = "SR"
    KOS = "KOS"
    """Key Object Selection: the rejection note that withdraws what a revision replaces (IHE RAD TF-3 4.66)."""
    PM = "PM"
    """Parametric Map."""
    SC = "SC"
    """Secondary Capture: a key image with everything drawn into the pixels."""
    KEY = "KEY"
    """Key Object Selection that leads to the source images which matter."""
    PR = "PR"
    """Grayscale Softcopy Presentation State: outlines and text over source images."""


@dataclass(frozen=True, slots=True)
class EncodedObject:
    """A result object as the bytes of a Part 10 file (PS3.10), not yet stored.

    ``destinations`` are those that get it; None is every destination of the job.
    """

    kind: ResultKind
    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID
    series_instance_uid: SeriesInstanceUID
    content: bytes = field(repr=False)
    destinations: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ResultObject:
    """A result object that is durable in the spool; ``sha256`` is that of the whole file.

    ``destinations`` are those that get it; None is every destination of the job.
    """

    kind: ResultKind
    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID
    series_instance_uid: SeriesInstanceUID
    path: Path
    sha256: Digest
    size_bytes: int
    destinations: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the gate looked at."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class GateReport:
    """What was checked on the encoded bytes before they may leave."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """True when every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.passed)


@dataclass(frozen=True, slots=True)
class Predecessor:
    """A result object of an earlier revision, of the same study; ``destinations`` are those that have it."""

    kind: ResultKind
    series_instance_uid: SeriesInstanceUID
    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID
    destinations: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What a rejection note withdraws: exactly what each of ``destinations`` holds of the replaced results.

    One note for all destinations would name objects that some of them never got, and be refused there.
    """

    destinations: tuple[str, ...]
    instances: tuple[Predecessor, ...]


@dataclass(frozen=True, slots=True)
class ResultContext:
    """What a result says about its making that is not in its evidence.

    ``created_at`` is the job's; no result says it, for their dates are those of the images. ``predecessors`` are the
    results of an earlier revision that this one replaces and that somebody has. ``withdrawals`` are the rejection notes
    to make, for destinations that want them. ``generation`` counts how often the same work (evidence, model and
    configuration) was done before and replaced since: its UIDs are used up, they may even be withdrawn.
    ``destinations`` are the job's: each gets the objects that its profile asks for. ``series_numbers`` are those of the
    study's own series: no series of results has one of them.
    """

    created_at: datetime
    config_digest: Digest
    revision: int = 1
    predecessors: tuple[Predecessor, ...] = ()
    withdrawals: tuple[Withdrawal, ...] = ()
    generation: int = 0
    destinations: tuple[str, ...] = ()
    series_numbers: frozenset[int] = frozenset()


class DeliveryState(StrEnum):
    """Where the results of one job stand with one destination."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    COMMITTED = "committed"
    PARKED = "parked"
    """Refused for good, with the reason; a person's retry makes it pending again."""
    WITHDRAWN = "withdrawn"
    """Not sent any more: the job was superseded or cancelled before."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A PACS that takes results by C-STORE.

    ``storage_commitment``: it promises safe-keeping, and we ask for that promise (PS3.4 Annex J). ``read_back``: it
    can be asked by C-FIND whether it has our objects, which stands in where it makes no promise.
    """

    name: str
    ae_title: str
    host: str
    port: int
    storage_commitment: bool = False
    read_back: bool = False

    @property
    def confirms(self) -> bool:
        """True when a C-STORE success is not yet the end of our responsibility there."""
        return self.storage_commitment or self.read_back


@dataclass(frozen=True, slots=True)
class DeliveryItem:
    """One object of a delivery. ``status`` is the DIMSE status of its last C-STORE response, None before."""

    result: ResultObject
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """The results of one job for one destination; items in the order in which they are sent (SEG before SR)."""

    delivery_id: DeliveryId
    job_id: JobId
    destination: str
    state: DeliveryState
    attempt: int
    items: tuple[DeliveryItem, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What a destination answered for one object. ``transient`` tells whether a later attempt may do better.

    ``not_taken``: it takes no objects of this SOP class at all, which says nothing of the others of the delivery.
    """

    sop_instance_uid: SOPInstanceUID
    status: int | None
    stored: bool
    transient: bool
    detail: str
    not_taken: bool = False

    @property
    def answered(self) -> bool:
        """False when the destination gave no answer, so that the object is in doubt; every refusal is an answer."""
        return self.status is not None or not self.transient


@dataclass(frozen=True, slots=True)
class DeliveryClaim:
    """Proof that this attempt holds the delivery.

    ``attempt`` is the fencing token: it only grows. ``failures`` counts the failed sendings in a row before this one.
    """

    delivery: Delivery
    attempt: int
    worker: str
    failures: int = 0
