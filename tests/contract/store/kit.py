"""The store's parts on one database and one spool, with clocks that a test moves, and short ways to tell a story."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from worker.domain.job import Claim, Job, JobId, JobKind, JobState
from worker.domain.model import ModelIdentity
from worker.domain.result import Check, DeliveryId, DeliveryState, EncodedObject, GateReport, ResultKind, SendOutcome
from worker.domain.routing import Decision
from worker.domain.study import (
    Digest,
    IndexedHeader,
    OfferedInstance,
    PatientIdentity,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StoredInstance,
    StudyInstanceUID,
    TransferSyntaxUID,
)
from worker.domain.work import PlannedAnalysis
from worker.store.commitment.scu import LedgerCommitments
from worker.store.custody.admission import InstanceStore
from worker.store.database.database import Database
from worker.store.reading.queries import Queries
from worker.store.spool.spool import Spool
from worker.store.work.evidence import LedgerEvidence
from worker.store.work.jobs import LedgerJobs, Limits
from worker.store.work.operations import Operations
from worker.store.work.outbox import LedgerOutbox
from worker.store.work.products import LedgerProducts
from worker.store.work.routings import LedgerRoutings
from worker.store.work.sweep import LedgerSweep

CT = SOPClassUID("1.2.840.10008.5.1.4.1.1.2")
EXPLICIT = TransferSyntaxUID("1.2.840.10008.1.2.1")
SR = SOPClassUID("1.2.840.10008.5.1.4.1.1.88.34")
SEG = SOPClassUID("1.2.840.10008.5.1.4.1.1.66.4")
STUDY = StudyInstanceUID("1.2.826.0.1.1")
MODEL = ModelIdentity("lungs", "1.0", Digest("a" * 64))
PASSED = GateReport((Check("identity", passed=True, detail="equal"),))
BEGAN = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)

_FILES = itertools.count(1)


@dataclass
class DatabaseClock:
    """The database's clock, as a test wants it. It also ticks a millisecond with each look.

    ``dies``: the next look ends the thread that takes it, whatever that thread catches of errors.
    """

    now: datetime = BEGAN
    dies: bool = False

    def __call__(self, _connection: object) -> datetime:
        if self.dies:
            self.dies = False
            raise SystemExit
        self.now += timedelta(milliseconds=1)
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Monotonic:
    """A clock that never jumps."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Kit:
    """Everything on one database."""

    database: Database
    folder: Path
    clock: DatabaseClock
    monotonic: Monotonic = field(default_factory=Monotonic)
    limits: Limits = field(default_factory=lambda: Limits(lease_s=60, max_attempts=3, delivery_lease_s=60))
    committing: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.spool = Spool(self.folder / "spool", reserve_bytes=0)
        self.store = self.new_store()
        self.jobs = LedgerJobs(self.database, limits=self.limits)
        self.evidence = LedgerEvidence(self.database, self.spool)
        self.routings = LedgerRoutings(self.database)
        self.products = LedgerProducts(self.database, self.spool)
        self.queries = Queries(self.database, self.spool)
        self.offer_committing(self.committing)

    def offer_committing(self, names: frozenset[str]) -> None:
        """Let these destinations offer storage commitment."""
        self.committing = names
        self.outbox = LedgerOutbox(self.database, self.spool, limits=self.limits, committing=names)
        self.operations = Operations(self.database, limits=self.limits, committing=names)
        self.commitments = LedgerCommitments(self.database, self.spool, committing=names)
        self.sweep = self.new_sweep()

    def new_sweep(self) -> LedgerSweep:
        """The sweeper of a process of its own."""
        return LedgerSweep(
            self.database,
            limits=self.limits,
            committing=self.committing,
            monotonic=self.monotonic,
        )

    def new_store(self, listener_id: str = "listener") -> InstanceStore:
        """The store of a listener's new run."""
        return InstanceStore(
            database=self.database, spool=self.spool, listener_id=listener_id, own_equipment=("Overread", "overread")
        )

    def close(self) -> None:
        self.store.close()
        self.spool.close()
        self.database.close()

    # ---- instances

    def offer(
        self,
        number: int = 1,
        *,
        study: str = STUDY,
        series: str | None = None,
        patient_id: str = "P-1",
        content: bytes | None = None,
        manufacturer: str = "Example Imaging",
        model_name: str = "Scanner",
        uid: str | None = None,
        association: str = "a1",
        patient_name: str = "Doe^Jane",
        transfer_syntax_uid: TransferSyntaxUID = EXPLICIT,
    ) -> OfferedInstance:
        """An instance as the listener offers it: a file in the temporary folder, and what the scan read."""
        return an_offer(
            self.store.temporary_folder,
            number,
            study=study,
            series=series,
            patient_id=patient_id,
            content=content,
            manufacturer=manufacturer,
            model_name=model_name,
            uid=uid,
            association=association,
            patient_name=patient_name,
            transfer_syntax_uid=transfer_syntax_uid,
        )

    def receive(self, count: int, *, study: str = STUDY, first: int = 1, patient_id: str = "P-1") -> None:
        """Store instances of a study."""
        for number in range(first, first + count):
            self.store.admit(self.offer(number, study=study, patient_id=patient_id))

    # ---- jobs

    def route_job(self, study: str = STUDY) -> Job:
        """The study's latest route job."""
        found = [job for job in self.queries.list_jobs(study=StudyInstanceUID(study)) if job.kind is JobKind.ROUTE]
        return max(found, key=lambda job: job.revision)

    def state(self, job_id: JobId) -> JobState:
        return self.queries.job(job_id).state

    def complete(self, study: str = STUDY) -> JobId:
        """Judge a study complete; returns its route job, READY."""
        job = self.route_job(study)
        activity = next(one for one in self.sweep.arriving() if one.job_id == job.job_id)
        assert self.sweep.complete(activity, reason="quiet")
        return job.job_id

    def publish(self) -> list[JobId]:
        """Mark what is due QUEUED."""
        return [due.job_id for due in self.sweep.due(limit=100) if due.job_id is not None]

    def due_deliveries(self) -> list[DeliveryId]:
        """Deliveries that are published."""
        return [due.delivery_id for due in self.sweep.due(limit=100) if due.delivery_id is not None]

    def claim(self, job_id: JobId, worker: str = "w1") -> Claim:
        """Publish and claim."""
        self.publish()
        claim = self.jobs.claim(job_id, worker=worker)
        assert claim is not None
        return claim

    def routed(
        self,
        *,
        study: str = STUDY,
        key: str = "k1",
        destinations: tuple[str, ...] = ("PACS",),
        model: ModelIdentity = MODEL,
        rule: str = "chest",
    ) -> JobId:
        """Route a complete study to one analysis of all of its instances; returns that job."""
        claim = self.claim(self.complete(study))
        self.routings.record(
            claim,
            [a_decision()],
            [a_plan(self.evidence.of_route(claim.job), key, destinations=destinations, model=model, rule=rule)],
        )
        return self.job_of_key(key)

    def job_of_key(self, key: str) -> JobId:
        """The analysis with this key that was made last."""
        return next(
            job.job_id
            for job in self.queries.list_jobs()
            if job.kind is JobKind.ANALYSE and job.config_digest == f"c-{key}"
        )

    def produced(self, job_id: JobId, *, tag: str = "1") -> Claim:
        """Run an analysis to PRODUCED."""
        claim = self.claim(job_id)
        self.products.produce(claim, self.products.keep(results_of(tag)), PASSED, json.dumps({"tag": tag}))
        return claim

    def delivered(self, job_id: JobId) -> None:
        """Send all due deliveries of a job."""
        for delivery_id in self.due_deliveries():
            claim = self.outbox.claim(delivery_id, worker="d1")
            assert claim is not None
            if claim.delivery.job_id != job_id:
                raise AssertionError("another job's delivery was due")
            for item in claim.delivery.items:
                self.outbox.note(claim, stored(item.result.sop_instance_uid))
            self.outbox.settle(claim, DeliveryState.SENT, reason="all stored")


def an_offer(
    folder: Path,
    number: int = 1,
    *,
    study: str = STUDY,
    series: str | None = None,
    patient_id: str = "P-1",
    content: bytes | None = None,
    manufacturer: str = "Example Imaging",
    model_name: str = "Scanner",
    uid: str | None = None,
    association: str = "a1",
    size: int = 300,
    patient_name: str = "Doe^Jane",
    transfer_syntax_uid: TransferSyntaxUID = EXPLICIT,
) -> OfferedInstance:
    uid = uid or f"{study}.9.{number}"
    content = (
        content
        if content is not None
        else (uid.encode() + b"|" + patient_id.encode("utf-8", "surrogateescape")).ljust(size, b".")
    )
    path = folder / f"{next(_FILES)}-{number}.part"
    path.write_bytes(b"\0" * 128 + b"DICM" + content)
    return OfferedInstance(
        temporary=path,
        header=IndexedHeader(
            sop_class_uid=CT,
            sop_instance_uid=SOPInstanceUID(uid),
            study_instance_uid=StudyInstanceUID(study),
            series_instance_uid=SeriesInstanceUID(series or f"{study}.5"),
            patient=PatientIdentity(patient_id, "HOSP", patient_name, "19700101"),
            accession_number="ACC",
            modality="CT",
            manufacturer=manufacturer,
            manufacturer_model_name=model_name,
            device_serial_number="1",
        ),
        transfer_syntax_uid=transfer_syntax_uid,
        sha256=Digest(hashlib.sha256(content).hexdigest()),
        size_bytes=len(content),
        calling_ae_title="MODALITY",
        association_id=association,
    )


def a_decision(series: str = f"{STUDY}.5", *, chosen: bool = True) -> Decision:
    return Decision("chest", "lungs", SeriesInstanceUID(series), chosen, 1.0, ("It is a chest CT.",))


def a_plan(
    evidence: Sequence[StoredInstance],
    key: str,
    *,
    destinations: tuple[str, ...] = ("PACS",),
    model: ModelIdentity = MODEL,
    rule: str = "chest",
    priority: int = 5,
) -> PlannedAnalysis:
    return PlannedAnalysis(
        key=Digest(hashlib.sha256(key.encode()).hexdigest()),
        rule=rule,
        model=model,
        config_digest=Digest(f"c-{key}"),
        priority=priority,
        destinations=destinations,
        evidence=tuple(evidence),
    )


def results_of(tag: str = "1") -> tuple[EncodedObject, EncodedObject]:
    """A SEG and an SR."""
    return tuple(  # type: ignore[return-value]
        EncodedObject(
            kind,
            sop_class,
            SOPInstanceUID(f"1.2.826.0.7.{tag}.{n}"),
            SeriesInstanceUID(f"1.2.826.0.6.{tag}.{n}"),
            f"{kind.value} {tag}".encode() * 50,
        )
        for n, (kind, sop_class) in enumerate(((ResultKind.SEG, SEG), (ResultKind.SR, SR)), start=1)
    )


def stored(uid: SOPInstanceUID) -> SendOutcome:
    return SendOutcome(uid, 0x0000, stored=True, transient=False, detail="")


def refused(uid: SOPInstanceUID, status: int = 0xA700, *, transient: bool = True) -> SendOutcome:
    return SendOutcome(uid, status, stored=False, transient=transient, detail=f"0x{status:04X}")
