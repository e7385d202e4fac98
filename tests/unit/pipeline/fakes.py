"""Honest stand-ins for the ports: small, in memory, with the ledger's own rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from worker.domain.errors import LeaseLostError, TransientError
from worker.domain.job import Claim, Job, JobId, JobKind, JobState, StageTime, may_follow
from worker.domain.model import ModelIdentity
from worker.domain.result import (
    Delivery,
    DeliveryClaim,
    DeliveryId,
    DeliveryItem,
    DeliveryState,
    Destination,
    ResultKind,
    ResultObject,
    SendOutcome,
)
from worker.domain.study import (
    Digest,
    IndexedHeader,
    InstanceHeader,
    PatientIdentity,
    SeriesInstanceUID,
    SeriesSummary,
    SOPClassUID,
    SOPInstanceUID,
    StoredInstance,
    StudyInstanceUID,
    TransferSyntaxUID,
)
from worker.domain.work import DueWork, StudyActivity

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MODEL = ModelIdentity("lungs", "1.0.0", Digest("ab" * 32))


def a_job(kind: JobKind = JobKind.ROUTE, state: JobState = JobState.QUEUED, **changes: object) -> Job:
    job = Job(
        job_id=JobId("job-1"),
        kind=kind,
        state=state,
        study_instance_uid=StudyInstanceUID("2.25.1"),
        revision=1,
        rule="",
        model=MODEL if kind is JobKind.ANALYSE else None,
        series_instance_uid=None,
        config_digest=Digest("cd" * 32),
        attempt=0,
        priority=5,
        reason="",
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(job, **changes)  # type: ignore[arg-type]


def an_instance(number: int = 1, *, series: str = "2.25.10", sha256: str = "") -> StoredInstance:
    header = IndexedHeader(
        sop_class_uid=SOPClassUID("1.2.840.10008.5.1.4.1.1.2"),
        sop_instance_uid=SOPInstanceUID(f"{series}.{number}"),
        study_instance_uid=StudyInstanceUID("2.25.1"),
        series_instance_uid=SeriesInstanceUID(series),
        patient=PatientIdentity("P1", "", "Doe^Jane", "19700101"),
        accession_number="",
        modality="CT",
        manufacturer="ACME",
        manufacturer_model_name="",
        device_serial_number="",
    )
    return StoredInstance(
        header=header,
        transfer_syntax_uid=TransferSyntaxUID("1.2.840.10008.1.2.1"),
        sha256=Digest(sha256 or f"{number:064d}"),
        size_bytes=1000,
        path=Path("/nowhere"),
        calling_ae_title="CT",
        received_at=NOW,
    )


def a_series(
    uid: str = "2.25.10", *, count: int = 3, attributes: dict[str, str] | None = None, **changes: object
) -> SeriesSummary:
    values = {"Modality": "CT", "ImageType": "ORIGINAL\\PRIMARY\\AXIAL", "SeriesNumber": "2", **(attributes or {})}
    split = {keyword: tuple(value.split("\\")) for keyword, value in values.items()}
    headers = tuple(
        InstanceHeader(an_instance(n, series=uid), split, 512, 512, 1, None, None, None) for n in range(1, count + 1)
    )
    summary = SeriesSummary(
        series_instance_uid=SeriesInstanceUID(uid),
        study_instance_uid=StudyInstanceUID("2.25.1"),
        modality=values["Modality"],
        headers=headers,
        orientation="axial",
        slice_count=100,
        slice_spacing_mm=2.0,
        slice_thickness_mm=2.0,
        rows=512,
        columns=512,
    )
    return replace(summary, **changes)  # type: ignore[arg-type]


@dataclass
class FakeJobs:
    """One job, with the state machine and the fencing of the real ledger."""

    job: Job
    attempt: int = 0
    settled: list[tuple[JobState, str, float | None]] = field(default_factory=list)
    stages: tuple[StageTime, ...] = ()
    beats: int = 0
    lost: bool = False

    def claim(self, job_id: JobId, *, worker: str) -> Claim | None:
        if job_id != self.job.job_id or self.job.state is not JobState.QUEUED:
            return None
        self.attempt += 1
        self.job = replace(self.job, state=JobState.RUNNING, attempt=self.attempt)
        return Claim(self.job, self.attempt, worker)

    def extend(self, claim: Claim) -> None:
        self.beats += 1
        self._fence(claim)

    def settle(self, claim: Claim, state: JobState, *, reason: str, retry_in_s: float | None = None) -> None:
        self._fence(claim)
        assert may_follow(self.job.state, state), (self.job.state, state)
        self.job = replace(self.job, state=state, reason=reason)
        self.settled.append((state, reason, retry_in_s))

    def record_stages(self, claim: Claim, stages: Sequence[StageTime]) -> None:
        self._fence(claim)
        self.stages = tuple(stages)

    def _fence(self, claim: Claim) -> None:
        if self.lost or claim.attempt != self.attempt or self.job.state is not JobState.RUNNING:
            raise LeaseLostError("fenced")


@dataclass
class FakeOutbox:
    delivery: Delivery
    settled: list[tuple[DeliveryState, str, float | None]] = field(default_factory=list)
    attempt: int = 0
    failures: int = 0
    unanswered: list[bool] = field(default_factory=list)
    beats: int = 0

    def claim(self, delivery_id: DeliveryId, *, worker: str) -> DeliveryClaim | None:
        if delivery_id != self.delivery.delivery_id or self.delivery.state is not DeliveryState.PENDING:
            return None
        self.attempt += 1
        self.delivery = replace(self.delivery, state=DeliveryState.SENDING, attempt=self.attempt)
        return DeliveryClaim(self.delivery, self.attempt, worker, self.failures)

    def extend(self, claim: DeliveryClaim) -> None:
        self.beats += 1

    def note(self, claim: DeliveryClaim, outcome: SendOutcome) -> None:
        items = tuple(
            replace(item, status=outcome.status) if item.result.sop_instance_uid == outcome.sop_instance_uid else item
            for item in self.delivery.items
        )
        self.delivery = replace(self.delivery, items=items)

    def settle(
        self,
        claim: DeliveryClaim,
        state: DeliveryState,
        *,
        reason: str,
        retry_in_s: float | None = None,
        unanswered: bool = False,
    ) -> None:
        self.unanswered.append(unanswered)
        self.failures = self.failures + 1 if state is DeliveryState.PENDING else 0
        self._end(state, reason, retry_in_s)

    def put_back(self, claim: DeliveryClaim, *, reason: str, again_in_s: float) -> None:
        self._end(DeliveryState.PENDING, reason, again_in_s)

    def _end(self, state: DeliveryState, reason: str, retry_in_s: float | None) -> None:
        self.delivery = replace(self.delivery, state=state, reason=reason)
        self.settled.append((state, reason, retry_in_s))


@dataclass
class FakePacs:
    """Answers each object with the next status of the list; None stands for a broken association."""

    answers: list[int | None]
    offered: list[str] = field(default_factory=list)

    def send(self, destination: Destination, results: Sequence[ResultObject]) -> Iterator[SendOutcome]:
        for result in results:
            self.offered.append(result.sop_instance_uid)
            status = self.answers.pop(0)
            if status is None:
                raise TransientError("no association", code="association-failed")
            stored = status == 0 or status & 0xF000 == 0xB000
            transient, not_taken = status & 0xFF00 == 0xA700, status == 0x0122
            yield SendOutcome(result.sop_instance_uid, status, stored, transient, f"status {status:04X}", not_taken)
            if not stored and not not_taken:
                return


def a_result(number: int, kind: ResultKind) -> ResultObject:
    return ResultObject(
        kind=kind,
        sop_class_uid=SOPClassUID(f"1.2.840.10008.5.1.4.1.1.{'66.4' if kind is ResultKind.SEG else '88.34'}"),
        sop_instance_uid=SOPInstanceUID(f"2.25.9{number}"),
        series_instance_uid=SeriesInstanceUID("2.25.9"),
        path=Path("/nowhere"),
        sha256=Digest("ef" * 32),
        size_bytes=10,
    )


def a_delivery() -> Delivery:
    items = (DeliveryItem(a_result(1, ResultKind.SEG)), DeliveryItem(a_result(2, ResultKind.SR)))
    return Delivery(DeliveryId("delivery-1"), JobId("job-1"), "PACS", DeliveryState.PENDING, 0, items)


@dataclass
class FakeSweepable:
    activities: tuple[StudyActivity, ...] = ()
    dues: tuple[DueWork, ...] = ()
    held: tuple[str, ...] = ()
    unrung: list[DueWork] = field(default_factory=list)
    rings_forgotten: int = 0
    released: list[bool] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)

    def arriving(self) -> tuple[StudyActivity, ...]:
        return self.activities

    def complete(self, activity: StudyActivity, *, reason: str) -> bool:
        self.completed.append(reason)
        return True

    def take_back_overdue(self) -> int:
        return 0

    def holders(self) -> tuple[str, ...]:
        return self.held

    def take_back_from(self, worker: str) -> int:
        self.held = tuple(one for one in self.held if one != worker)
        return 1

    def release(self, *, mended: bool, reason: str) -> int:
        self.released.append(mended)
        return int(mended)

    def forget_published(self, due: Sequence[DueWork]) -> None:
        self.unrung.extend(due)

    def forget_all_published(self) -> int:
        self.rings_forgotten += 1
        return 1

    def due(self, *, limit: int) -> tuple[DueWork, ...]:
        return self.dues[:limit]


@dataclass
class FakePublisher:
    away: bool = False
    published: list[DueWork] = field(default_factory=list)

    def publish(self, due: DueWork) -> None:
        if self.away:
            raise TransientError("away", code="broker-away")
        self.published.append(due)
