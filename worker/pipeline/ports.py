"""What the use-cases need from the outside, in their own words. ``wiring`` assigns adapters to these names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

from worker.domain.commitment import CommitmentReport, OnReport, UnconfirmedDelivery
from worker.domain.errors import PermanentError
from worker.domain.findings import Conclusion, Refusal
from worker.domain.job import Claim, Job, JobId, JobState, StageTime
from worker.domain.model import Algorithm, ModelIdentity
from worker.domain.result import (
    DeliveryClaim,
    DeliveryId,
    DeliveryState,
    Destination,
    EncodedObject,
    GateReport,
    ResultContext,
    ResultObject,
    SendOutcome,
    Withdrawal,
)
from worker.domain.routing import Decision
from worker.domain.study import (
    InstanceHeader,
    SeriesSummary,
    SOPInstanceUID,
    StoredInstance,
)
from worker.domain.volume import Volume
from worker.domain.work import DueWork, PlannedAnalysis, StudyActivity


class Jobs(Protocol):
    """Claims and their ends. Each call is one transaction, with its time, reason and attempt in the timeline."""

    def claim(self, job_id: JobId, *, worker: str) -> Claim | None:
        """Take a queued job by compare-and-set, counting the attempt first; None when there is nothing to take.

        A job whose attempts are used up is quarantined instead.
        """

    def extend(self, claim: Claim) -> None:
        """Heartbeat. Raises LeaseLostError when another attempt holds the job."""

    def settle(self, claim: Claim, state: JobState, *, reason: str, retry_in_s: float | None = None) -> None:
        """End the attempt in ``state`` (READY with ``retry_in_s`` for a transient failure). LeaseLostError as above."""

    def record_stages(self, claim: Claim, stages: Sequence[StageTime]) -> None:
        """Keep how long the stages of this attempt took."""


class Evidence(Protocol):
    """The stored instances that jobs work on. Conflicting copies and own results are never among them."""

    def of_route(self, job: Job) -> tuple[StoredInstance, ...]:
        """Every analysable instance of the study, this and earlier revisions; raises IdentityError on conflicts."""

    def of_analysis(self, job: Job) -> tuple[StoredInstance, ...]:
        """Exactly the instances that the job was planned with."""

    def of_each_series(self, job: Job) -> tuple[StoredInstance, ...]:
        """One instance of each series that the study had with the job's revision; those that are gone are left out."""


class Routings(Protocol):
    """Where routing decisions, and the jobs that follow from them, are kept."""

    def record(
        self,
        claim: Claim,
        decisions: Sequence[Decision],
        planned: Sequence[PlannedAnalysis],
        *,
        waits_for: str = "",
        again_in_s: float = 0.0,
    ) -> int:
        """In one transaction: decisions, new analyse jobs (READY), the superseding of unfinished jobs of earlier
        revisions whose model is planned again with another key, and the route job's end (ROUTED, or
        NO_MODEL_APPLIES when nothing was planned; WAITING when there is something that it ``waits_for``, at most so
        long). Returns how many analyse jobs are new.
        """  # noqa: D205


class Products(Protocol):
    """Where results are kept, with the outbox rows of their deliveries."""

    def keep(self, objects: Sequence[EncodedObject]) -> tuple[ResultObject, ...]:
        """Make the objects durable in the spool, whole or not at all."""

    def produce(
        self,
        claim: Claim,
        results: Sequence[ResultObject],
        report: GateReport,
        summary: str,
        *,
        withdrawals: Sequence[Withdrawal] = (),
        reason: str = "",
    ) -> None:
        """In one transaction, for the attempt that holds the lease: results, gate report, one outbox row per
        destination that gets something, and PRODUCED with ``reason`` (or DELIVERED when nobody gets anything).

        ``summary`` is JSON without PHI: findings with units, notes, input and output digests. ``withdrawals`` are
        those of the context, in the order of their rejection notes among ``results``; TransientError when a
        destination has got more of the replaced results since the context was made.
        """  # noqa: D205

    def context(self, job: Job) -> ResultContext:
        """What the result says of its own making."""


class Outbox(Protocol):
    """The deliveries that are due: each is leased to one attempt, as jobs are."""

    def claim(self, delivery_id: DeliveryId, *, worker: str) -> DeliveryClaim | None:
        """Take a due delivery; None when there is nothing to take, or its destination has no place for it now."""

    def extend(self, claim: DeliveryClaim) -> None:
        """Heartbeat. Raises LeaseLostError when another attempt holds the delivery."""

    def note(self, claim: DeliveryClaim, outcome: SendOutcome) -> None:
        """Record one object's DIMSE status at once (what was stored is not sent again), and extend the lease."""

    def settle(
        self,
        claim: DeliveryClaim,
        state: DeliveryState,
        *,
        reason: str,
        retry_in_s: float | None = None,
        unanswered: bool = False,
    ) -> None:
        """End the attempt; the job follows (DELIVERING, DELIVERED, FAILED) in the same transaction.

        ``unanswered`` counts for the destination's circuit: while that is open, nothing is claimed for it.
        """

    def put_back(self, claim: DeliveryClaim, *, reason: str, again_in_s: float) -> None:
        """Not tried, or broken off in good order: due again later, and no failure. LeaseLostError as above."""


class Sweepable(Protocol):
    """What the sweeper asks of the ledger. All of it may be called by many processes at once."""

    def arriving(self) -> tuple[StudyActivity, ...]:
        """Route jobs in RECEIVED, with how their studies arrive."""

    def complete(self, activity: StudyActivity, *, reason: str) -> bool:
        """RECEIVED -> READY, unless an instance came after ``activity`` was read. Tells whether it did."""

    def take_back_overdue(self) -> int:
        """Jobs and deliveries whose lease ran out: READY again or quarantined. Returns how many."""

    def holders(self) -> tuple[str, ...]:
        """Workers that hold a lease now."""

    def take_back_from(self, worker: str) -> int:
        """What a worker held that is known to be dead: due again at once, or quarantined. Returns how many."""

    def due_to(self, destination: str) -> tuple[DueWork, ...]:
        """The same for deliveries to one destination, where one has just ended."""

    def release(self, *, mended: bool, reason: str) -> int:
        """WAITING jobs: READY again, all of them when a model was mended, else those that waited long enough."""

    def forget_published(self, due: Sequence[DueWork]) -> None:
        """Forget that these were published: the broker was away, and they are due again at once."""

    def forget_all_published(self) -> int:
        """The same for everything that was published and not claimed: the broker began anew. Returns how many."""

    def due(self, *, limit: int) -> tuple[DueWork, ...]:
        """Mark due jobs QUEUED, and name them and the due deliveries, for the publisher; what was published long ago
        and was not claimed is named again.
        """  # noqa: D205


class Publisher(Protocol):
    """The broker: tells a worker that there is something to claim. It may forget, repeat and reorder."""

    def publish(self, due: DueWork) -> None:
        """Send the id. Raises TransientError when the broker is away."""


class SeriesReader(Protocol):
    """Headers: from stored bytes to the domain."""

    def headers(self, instances: Sequence[StoredInstance]) -> tuple[InstanceHeader, ...]:
        """Parse each instance once; raises PermanentError with the SOP Instance UID of the unreadable one."""

    def survey(
        self, instances: Sequence[StoredInstance]
    ) -> tuple[tuple[InstanceHeader, ...], tuple[PermanentError, ...]]:
        """Parse each instance once; what cannot be read is marked ``unreadable``, and its errors are beside."""

    def series(self, headers: Sequence[InstanceHeader]) -> tuple[SeriesSummary, ...]:
        """Group by series and summarize geometry."""


class VolumeReader(Protocol):
    """Pixels: from stored bytes to a volume."""

    def volume(self, series: SeriesSummary) -> Volume:
        """Decode and stack; raises PermanentError with a named outcome for gaps, mixed orientations, ..."""


class Predictor(Protocol):
    """Inference with installed model packages."""

    def inputs(self, model: ModelIdentity) -> tuple[str, ...]:
        """The names of the model's inputs, the reference first; ConfigurationError when it is gone."""

    def predict(self, model: ModelIdentity, volume: Volume, *further: Volume) -> Conclusion:
        """Run the model; NotApplicableError when a guard refuses the input, ConfigurationError when it is gone.

        ``further`` are its other inputs in their order; the findings lie on the grid of ``volume``.
        """

    def algorithm(self, model: ModelIdentity) -> Algorithm:
        """What results say of the model, also of one that did not run; ConfigurationError as above."""


class Encoder(Protocol):
    """Makes DICOM objects of what a model concluded."""

    def examine(self, evidence: Sequence[StoredInstance], context: ResultContext) -> tuple[str, ...]:
        """Before anything is analysed: notes on what results will not copy from the images, without PHI.

        Raises IdentityError and PermanentError for images that no result could be made of.
        """

    def encode(
        self, conclusion: Conclusion, evidence: Sequence[StoredInstance], context: ResultContext
    ) -> tuple[EncodedObject, ...]:
        """Result objects in the order in which they must be sent (SEG before the SR that refers to it, notes last)."""

    def refuse(
        self, refusal: Refusal, evidence: Sequence[StoredInstance], context: ResultContext
    ) -> tuple[EncodedObject, ...]:
        """Statements that the series was not analysed, for the destinations that want them; notes last."""


class Gate(Protocol):
    """The last look at the encoded bytes."""

    def check(
        self,
        objects: Sequence[EncodedObject],
        conclusion: Conclusion,
        evidence: Sequence[StoredInstance],
        context: ResultContext,
    ) -> GateReport:
        """Re-read the objects and the evidence from their bytes and compare, also with what they replace."""

    def check_refusal(
        self,
        objects: Sequence[EncodedObject],
        refusal: Refusal,
        evidence: Sequence[StoredInstance],
        context: ResultContext,
    ) -> GateReport:
        """The same for statements that a series was not analysed."""


class Sender(Protocol):
    """The C-STORE SCU: stores result objects at a destination."""

    def send(self, destination: Destination, results: Sequence[ResultObject]) -> Iterator[SendOutcome]:
        """Over one association, in order, one outcome each; stops after the first that was not stored.

        Raises TransientError when no association could be had.
        """


class Confirmations(Protocol):
    """Which deliveries wait to be confirmed, and what was answered. Safe to call from many processes at once."""

    def wanted(self, *, destination: str, limit: int, min_age_s: float = 0.0) -> Sequence[UnconfirmedDelivery]:
        """Deliveries that are due to be asked about, sent at least ``min_age_s`` ago, the oldest first."""

    def request(self, delivery_id: DeliveryId, *, transaction_uid: str, answer_within_s: float) -> bool:
        """Write a request down before it is sent; False when another process asks about this delivery already."""

    def give_up(self, transaction_uid: str, *, reason: str, again_in_s: float) -> None:
        """The request never got through: nothing is sent again, and it is asked again later."""

    def postpone(self, destination: str, *, reason: str, again_in_s: float) -> None:
        """Nobody at this destination can be asked now: let all that waits for it wait at least so long."""

    def answered(
        self, transaction_uid: str, *, committed: Collection[SOPInstanceUID], failed: Mapping[SOPInstanceUID, int]
    ) -> bool:
        """Take in a report: COMMITTED, or what is missing is sent again. False: nobody waits for it (any more)."""

    def looked(
        self, delivery_id: DeliveryId, *, attempt: int, transaction_uid: str, found: Collection[SOPInstanceUID]
    ) -> bool:
        """Take in what a query found, as ``answered`` does; False when the delivery is not that attempt's any more."""

    def expire_unanswered(self) -> int:
        """Requests that nobody answered in time: their objects are sent again. Returns how many."""

    def let_go(self) -> int:
        """End jobs that wait for a destination which is not asked any more (the site changed its mind)."""


class CommitmentScu(Protocol):
    """Storage commitment of a destination (PS3.4 Annex J)."""

    def request(
        self, destination: Destination, results: Sequence[ResultObject], *, transaction_uid: str, on_report: OnReport
    ) -> bool:
        """Ask; True when the report came on the same association.

        TransientError when it could not be asked, PermanentError when it refuses or does not offer the service.
        """


class Finder(Protocol):
    """The query service of a destination (PS3.4 Annex C)."""

    def found(self, destination: Destination, results: Sequence[ResultObject]) -> frozenset[SOPInstanceUID]:
        """Which of the results it finds. TransientError, PermanentError as above."""


class CommitmentRequests(Protocol):
    """Requests for storage commitment that others made of us. Safe to call from many processes at once."""

    def take(self, ae_title: str) -> CommitmentReport | None:
        """Judge the oldest request of ``ae_title`` whose report is due; what it commits holds from now on."""

    def told(self, request_id: str, *, attempt: int) -> None:
        """The requester has taken the report."""

    def not_told(self, request_id: str, *, attempt: int, reason: str, again_in_s: float, in_doubt: bool) -> None:
        """Report again later. What was surely not heard binds nobody; what is ``in_doubt`` does."""


class Reporter(Protocol):
    """N-EVENT-REPORT to a requester, on an association that we open."""

    def report(self, requester: Destination, report: CommitmentReport) -> None:
        """Tell it. TransientError ``report-in-doubt`` when no answer came, other errors when it surely did not hear."""
