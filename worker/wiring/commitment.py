"""Storage commitment, both ways: we ask destinations for their promise, and answer those who want ours."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from worker.deliver.commitment_scp import DUPLICATE_TRANSACTION, OK, CommitmentReporter, CommitmentRequest
from worker.deliver.commitment_scu import CommitmentRequester, CommitmentSupport, commitment_support
from worker.deliver.read_back import ReadBack
from worker.domain.study import SOPInstanceUID
from worker.pipeline import ports
from worker.pipeline.commitment_report import ReportCommitments
from worker.pipeline.confirm import ConfirmDeliveries, take_report
from worker.settings import Settings
from worker.wiring import stores


def new_transaction_uid() -> str:
    """A Transaction UID that nobody can guess: whoever reports on it has been asked (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid4().int}"


def confirming(settings: Settings) -> ConfirmDeliveries:
    """The use-case that asks destinations."""
    entry = settings.confirmation
    requester: ports.CommitmentScu = CommitmentRequester(
        ae_title=settings.node.ae_title, wait_for_report_s=entry.wait_on_association_s
    )
    finder: ports.Finder = ReadBack(ae_title=settings.node.ae_title)
    return ConfirmDeliveries(
        stores.ledger(settings).confirmations,
        requester,
        finder,
        {one.name: one.to_domain() for one in settings.destinations},
        new_uid=new_transaction_uid,
        answer_within_s=entry.answer_within_s,
        read_back_after_s=entry.read_back_after_s,
    )


def reporting(settings: Settings) -> ReportCommitments:
    """The use-case that answers requesters."""
    promises: ports.CommitmentRequests = stores.ledger(settings).commitment_requests
    reporter: ports.Reporter = CommitmentReporter(ae_title=settings.node.ae_title)
    requesters = {one.ae_title: one.to_domain() for one in settings.listener.commitment_requesters}
    return ReportCommitments(promises, reporter, requesters)


def listening(settings: Settings) -> CommitmentSupport | None:
    """What the listener hears of storage commitment; None when this site neither asks nor promises."""
    asks = any(one.storage_commitment for one in settings.destinations)
    promises = settings.listener.offer_storage_commitment
    if not asks and not promises:
        return None
    ledger = stores.ledger(settings)

    def on_report(
        transaction_uid: str, committed: frozenset[SOPInstanceUID], failed: Mapping[SOPInstanceUID, int]
    ) -> None:
        take_report(ledger.confirmations, transaction_uid, committed, failed)

    def on_request(request: CommitmentRequest) -> int:
        taken = ledger.commitment_requests.accept(request.calling_ae_title, request.transaction_uid, request.wanted)
        return OK if taken else DUPLICATE_TRANSACTION

    return commitment_support(
        on_report if asks else None,
        on_request=on_request if promises else None,
        requesters=frozenset(one.ae_title for one in settings.listener.commitment_requesters),
    )
