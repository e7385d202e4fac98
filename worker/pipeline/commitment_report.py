"""Answer those who asked us for storage commitment: honestly, on a new association, until they have heard it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.domain.errors import OverreadError
from worker.domain.result import Destination
from worker.pipeline.backoff import Backoff
from worker.pipeline.ports import CommitmentRequests, Reporter

log = logging.getLogger(__name__)

REPORT_BACKOFF = Backoff(first_s=10.0, factor=2.0, cap_s=3600.0)
"""A requester that is away for days hears our report when it is back."""


@dataclass(frozen=True, slots=True)
class ReportCommitments:
    """The use-case behind our N-EVENT-REPORTs; ``requesters`` by AE title."""

    ledger: CommitmentRequests
    reporter: Reporter
    requesters: Mapping[str, Destination]
    backoff: Backoff = field(default=REPORT_BACKOFF)
    batch: int = 20

    def report(self, ae_title: str) -> int:
        """Send what is due to one requester, until it cannot be reached; returns how many reports it took."""
        told = 0
        while told < self.batch and (report := self.ledger.take(ae_title)) is not None:
            kept = sum(1 for one in report.instances if one.failure_reason is None)
            ids = {"calling_ae_title": ae_title, "attempt": report.attempt, "instances": kept}
            try:
                self.reporter.report(self.requesters[ae_title], report)
            except OverreadError as error:
                again_in_s = self.backoff.delay_s(report.attempt)
                log.warning("promise-not-told", extra={**ids, "code": error.code, "seconds": round(again_in_s)})
                self.ledger.not_told(
                    report.request_id,
                    attempt=report.attempt,
                    reason=f"{error.code}: {error}",
                    again_in_s=again_in_s,
                    in_doubt=error.code == "report-in-doubt",
                )
                break
            self.ledger.told(report.request_id, attempt=report.attempt)
            told += 1
            log.info("promise-told", extra={**ids, "count": len(report.instances)})
        return told
