"""Storage commitment as SCU (PS3.4 Annex J, push model): ask for the promise, and hear the report.

The answer to N-ACTION only says that the request arrived. The promise is the N-EVENT-REPORT, which the PACS sends on
the same association or, more often, on a new one that it opens to our listener. Both come through ``on_report``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context

from worker.deliver.association import Timeouts, associated, check_ae_title, context_for
from worker.deliver.commitment_reports import CrossingReports, hears_reports
from worker.deliver.commitment_scp import (
    PUSH_MODEL,
    TRANSFER_SYNTAXES,
    WELL_KNOWN_INSTANCE,
    OnRequest,
    hears_requests,
)
from worker.domain.commitment import OnReport
from worker.domain.errors import PermanentError, TransientError
from worker.domain.result import Destination, ResultObject
from worker.domain.study import SOPInstanceUID

log = logging.getLogger(__name__)

_REQUEST = 1

FAILURE_REASONS: Mapping[int, str] = {
    0x0110: "processing failure",
    0x0112: "no such object instance",
    0x0119: "class-instance conflict",
    0x0122: "SOP class not supported",
    0x0131: "duplicate Transaction UID",
    0x0213: "resource limitation",
}
"""PS3.3 C.14.1.1."""

_TRANSIENT_REFUSALS = frozenset({0x0110, 0x0210, 0x0213})
_OF_THE_OBJECTS = frozenset({0x0110, 0x0112, 0x0115, 0x0119, 0x0131})
"""Refusals that may mean this request alone: another one may well be taken."""


@dataclass(frozen=True, slots=True)
class CommitmentSupport:
    """What a listener adds to hear reports: the presentation context with both roles, and event handlers.

    ``ae.add_supported_context(abstract_syntax, transfer_syntaxes, scu_role=True, scp_role=True)``: the PACS that opens
    a new association proposes itself as SCP (role reversal, PS3.4 J.3.3).
    """

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    handlers: tuple[tuple[Any, Any], ...]

    @property
    def context(self) -> PresentationContext:
        """The presentation context that the listener supports."""
        context = build_context(self.abstract_syntax, list(self.transfer_syntaxes))
        context.scu_role = True
        context.scp_role = True
        return context


def commitment_support(
    on_report: OnReport | None = None, *, on_request: OnRequest | None = None, requesters: Collection[str] = ()
) -> CommitmentSupport:
    """Presentation context and event handlers for the listener. ``requesters`` are the AE titles that may ask us.

    Without ``on_request``, N-ACTION (somebody wants a promise from us) is answered 0x0124 *not authorised*: we promise
    nothing by default. So is N-EVENT-REPORT without ``on_report``: we have asked nobody.
    """
    return CommitmentSupport(
        abstract_syntax=str(PUSH_MODEL),
        transfer_syntaxes=TRANSFER_SYNTAXES,
        handlers=(
            (evt.EVT_N_EVENT_REPORT, hears_reports(on_report) if on_report else _asked_nobody),
            (evt.EVT_N_ACTION, hears_requests(on_request, requesters) if on_request else _promises_nothing),
        ),
    )


class CommitmentRequester:
    """Asks destinations to promise safe-keeping.

    Parameters
    ----------
    ae_title:
        Our AE title: the PACS looks up by it where to send its report.
    timeouts:
        How long a destination may take.
    wait_for_report_s:
        How long to keep the association open for a report on it; 0 releases at once.
    """

    def __init__(self, *, ae_title: str, timeouts: Timeouts | None = None, wait_for_report_s: float = 0.0) -> None:
        self._ae_title = check_ae_title(ae_title)
        self._timeouts = timeouts or Timeouts()
        self._wait_for_report_s = wait_for_report_s

    def request(
        self,
        destination: Destination,
        results: Sequence[ResultObject],
        *,
        transaction_uid: str,
        on_report: OnReport,
    ) -> bool:
        """Send N-ACTION; tell whether the report came on the same association already.

        Each request needs a Transaction UID of its own, a repeated one included.

        Raises
        ------
        TransientError
            No association, no answer, or a refusal that time can cure.
        PermanentError
            ``commitment-not-offered`` (no presentation context), ``commitment-refused``, or
            ``commitment-objects-refused`` when that may mean this request alone.
        """
        came = threading.Event()
        information = _request(results, transaction_uid)

        def heard(
            reported_uid: str, committed: frozenset[SOPInstanceUID], failed: Mapping[SOPInstanceUID, int]
        ) -> None:
            on_report(reported_uid, committed, failed)
            if reported_uid == transaction_uid:
                came.set()

        crossing = CrossingReports()
        try:
            with associated(
                destination,
                [context_for(PUSH_MODEL, *TRANSFER_SYNTAXES)],
                calling_ae_title=self._ae_title,
                timeouts=self._timeouts,
                handlers=[(evt.EVT_N_EVENT_REPORT, hears_reports(heard)), *crossing.handlers],
            ) as association:
                status = association.status_of(
                    lambda: association.raw.send_n_action(information, _REQUEST, PUSH_MODEL, WELL_KNOWN_INSTANCE)[0],
                    seconds=self._timeouts.response_s,
                )
                _judge(status, destination)
                if self._wait_for_report_s:
                    came.wait(self._wait_for_report_s)
                crossing.before_release(association, seconds=self._timeouts.response_s)
        except PermanentError as error:
            if error.code != "no-presentation-context":
                raise
            raise PermanentError(
                f"Destination {destination.name} does not offer storage commitment.",
                next_step="Switch storage_commitment off for it, or enable the service there.",
                code="commitment-not-offered",
            ) from error
        crossing.take_in(heard)
        log.info(
            "commitment-requested",
            extra={"destination": destination.name, "transaction_uid": transaction_uid, "instances": len(results)},
        )
        return came.is_set()


def _request(results: Sequence[ResultObject], transaction_uid: str) -> Dataset:
    """Action Information (PS3.4 Table J.3-1)."""
    information = Dataset()
    information.TransactionUID = transaction_uid
    information.ReferencedSOPSequence = []
    for result in results:
        item = Dataset()
        item.ReferencedSOPClassUID = result.sop_class_uid
        item.ReferencedSOPInstanceUID = result.sop_instance_uid
        information.ReferencedSOPSequence.append(item)
    return information


def _judge(status: int | None, destination: Destination) -> None:
    if status is None:
        raise TransientError(
            f"Destination {destination.name} gave no answer to the commitment request.",
            next_step="Nothing: it is asked again with a new Transaction UID.",
            code="commitment-unanswered",
        )
    if status == 0x0000:
        return
    kind = TransientError if status in _TRANSIENT_REFUSALS else PermanentError
    reason = FAILURE_REASONS.get(status, "see PS3.7 Annex C")
    raise kind(
        f"Destination {destination.name} refused the commitment request: 0x{status:04X} {reason}.",
        next_step="Look into the log of the destination.",
        code="commitment-objects-refused" if status in _OF_THE_OBJECTS else "commitment-refused",
    )


def _promises_nothing(event: Any) -> tuple[int, None]:
    log.info("commitment-request-refused", extra={"calling_ae_title": event.assoc.requestor.ae_title})
    return 0x0124, None


def _asked_nobody(event: Any) -> tuple[int, None]:
    log.info("commitment-report-not-awaited", extra={"calling_ae_title": event.assoc.requestor.ae_title})
    return 0x0124, None
