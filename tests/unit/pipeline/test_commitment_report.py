from __future__ import annotations

from dataclasses import dataclass, field, replace

from worker.domain.commitment import CommitmentReport, ReportedInstance
from worker.domain.errors import OverreadError, TransientError
from worker.domain.result import Destination
from worker.domain.study import SOPClassUID, SOPInstanceUID
from worker.pipeline.commitment_report import ReportCommitments

MODALITY = Destination("MODALITY", "MODALITY", "127.0.0.1", 104)


KEPT = ReportedInstance(SOPClassUID("1.2"), SOPInstanceUID("1.2.3"), None)
GONE = replace(KEPT, failure_reason=0x0112)


def asked(request_id: str) -> CommitmentReport:
    return CommitmentReport(request_id, "2.25.1", 0, (KEPT, GONE))


@dataclass
class FakePromises:
    """Requests in memory; what is taken is held until it is settled."""

    asked: list[CommitmentReport]
    held: dict[str, CommitmentReport] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    later: list[tuple[str, float, bool]] = field(default_factory=list)

    def take(self, ae_title: str) -> CommitmentReport | None:
        if not self.asked:
            return None
        one = self.asked.pop(0)
        self.held[one.request_id] = replace(one, attempt=one.attempt + 1)
        return self.held[one.request_id]

    def told(self, request_id: str, *, attempt: int) -> None:
        assert self.held.pop(request_id).attempt == attempt
        self.done.append(request_id)

    def not_told(self, request_id: str, *, attempt: int, reason: str, again_in_s: float, in_doubt: bool) -> None:
        one = self.held.pop(request_id)
        assert one.attempt == attempt
        self.asked.append(one)
        self.later.append((reason, again_in_s, in_doubt))


@dataclass
class FakeReporter:
    error: OverreadError | None = None
    reports: list[str] = field(default_factory=list)

    def report(self, requester: Destination, report: CommitmentReport) -> None:
        if self.error is not None:
            raise self.error
        self.reports.append(report.request_id)


def report(ledger: FakePromises, reporter: FakeReporter) -> int:
    return ReportCommitments(ledger, reporter, {"MODALITY": MODALITY}).report("MODALITY")


def test_what_is_due_is_reported_in_order() -> None:
    ledger, reporter = FakePromises([asked("a"), asked("b")]), FakeReporter()
    assert report(ledger, reporter) == 2
    assert reporter.reports == ledger.done == ["a", "b"]


def test_a_requester_that_is_away_hears_it_when_it_is_back() -> None:
    ledger, reporter = FakePromises([asked("a"), asked("b")]), FakeReporter(TransientError("away", code="away"))
    for _ in range(20):
        assert report(ledger, reporter) == 0
    assert len(ledger.later) == 20  # one knock each time
    assert ledger.later[0][1] <= 10
    assert ledger.later[-1][1] >= 1800
    assert not any(in_doubt for _, _, in_doubt in ledger.later)
    reporter.error = None
    assert report(ledger, reporter) == 2
    assert sorted(ledger.done) == ["a", "b"]


def test_an_answer_that_never_came_leaves_doubt() -> None:
    ledger = FakePromises([asked("a")])
    report(ledger, FakeReporter(TransientError("no answer", code="report-in-doubt")))
    ((reason, _, in_doubt),) = ledger.later
    assert in_doubt
    assert reason.startswith("report-in-doubt")


def test_one_round_is_bounded() -> None:
    ledger = FakePromises([asked(str(n)) for n in range(50)])
    assert report(ledger, FakeReporter()) == 20
