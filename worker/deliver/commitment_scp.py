"""Storage commitment as SCP (PS3.4 Annex J): hear who asks us, and report what we keep.

The answer to N-ACTION says no more than that the request is kept. The report goes out on an association that we open
to the requester, as the SCP of the service (role reversal, PS3.4 J.3.3): its address comes from the configuration
alone, never from the request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_role

from worker.deliver.association import Timeouts, associated, check_ae_title, context_for
from worker.domain.commitment import CommitmentReport
from worker.domain.errors import OverreadError, TransientError
from worker.domain.result import Destination
from worker.domain.study import SOPClassUID, SOPInstanceUID

log = logging.getLogger(__name__)

PUSH_MODEL = UID("1.2.840.10008.1.20.1")
WELL_KNOWN_INSTANCE = UID("1.2.840.10008.1.20.1.1")
TRANSFER_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")

_REQUEST = 1
_ALL_COMMITTED, _SOME_FAILED = 1, 2
_MOST_INSTANCES = 50_000
"""Of one request; the listener bounds its bytes as well."""

OK = 0x0000
PROCESSING_FAILURE = 0x0110
NO_SUCH_INSTANCE = 0x0112
INVALID_ARGUMENT_VALUE = 0x0115
NO_SUCH_ACTION = 0x0123
NOT_AUTHORISED = 0x0124
DUPLICATE_TRANSACTION = 0x0131
RESOURCE_LIMITATION = 0x0213


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """What somebody wants us to keep: (SOP class, SOP instance) for each object."""

    calling_ae_title: str
    transaction_uid: str
    wanted: tuple[tuple[SOPClassUID, SOPInstanceUID], ...]


OnRequest = Callable[[CommitmentRequest], int]
"""``on_request(request)`` returns the status of the N-ACTION; OK means that it is durable. It runs on any thread."""


def hears_requests(on_request: OnRequest, requesters: Collection[str]) -> Callable[[Any], tuple[int, None]]:
    """Make the N-ACTION handler. Who is not among the AE titles ``requesters`` is refused before anything is parsed."""

    def on_action(event: Any) -> tuple[int, None]:
        calling_ae_title = str(event.assoc.requestor.ae_title).strip()
        status = _wrong_service(event) if calling_ae_title in requesters else NOT_AUTHORISED
        if status == OK:
            try:
                request = _parsed(event.action_information, calling_ae_title)
            except (AttributeError, KeyError, TypeError, ValueError):
                status = INVALID_ARGUMENT_VALUE
            else:
                status = _handed_on(on_request, request)
        level = logging.INFO if status == OK else logging.WARNING
        event_name = "commitment-request-taken" if status == OK else "commitment-request-refused"
        log.log(level, event_name, extra={"calling_ae_title": calling_ae_title, "status": f"0x{status:04X}"})
        return status, None

    return on_action


class CommitmentReporter:
    """Reports to requesters; the port ``Reporter`` of the pipeline.

    Parameters
    ----------
    ae_title:
        Our AE title: calling, and where the instances can be asked for (Retrieve AE Title is left out: we offer no
        Query/Retrieve).
    timeouts:
        How long a requester may take.
    """

    def __init__(self, *, ae_title: str, timeouts: Timeouts | None = None) -> None:
        self._ae_title = check_ae_title(ae_title)
        self._timeouts = timeouts or Timeouts()

    def report(self, requester: Destination, report: CommitmentReport) -> None:
        """Send N-EVENT-REPORT on a new association.

        Raises
        ------
        TransientError
            No association; ``report-in-doubt`` when it was sent and no answer came; ``report-refused`` when the
            requester could not take it.
        PermanentError
            ``no-presentation-context``: it does not hear reports.
        """
        information, event_type = _information(report)
        with associated(
            requester,
            [context_for(PUSH_MODEL, *TRANSFER_SYNTAXES)],
            calling_ae_title=self._ae_title,
            timeouts=self._timeouts,
            roles=[build_role(PUSH_MODEL, scp_role=True)],
        ) as association:
            status = association.status_of(
                lambda: association.raw.send_n_event_report(information, event_type, PUSH_MODEL, WELL_KNOWN_INSTANCE)[
                    0
                ],
                seconds=self._timeouts.response_s,
            )
        if status is None:
            raise TransientError(
                f"Requester {requester.ae_title} gave no answer to our storage commitment report.",
                next_step="Nothing: it is reported again.",
                code="report-in-doubt",
            )
        if status != OK:
            raise TransientError(
                f"Requester {requester.ae_title} did not take our storage commitment report: 0x{status:04X}.",
                next_step="Look into its log; it is reported again.",
                code="report-refused",
            )


def _wrong_service(event: Any) -> int:
    if event.action_type != _REQUEST:
        return NO_SUCH_ACTION
    return OK if event.request.RequestedSOPInstanceUID == WELL_KNOWN_INSTANCE else NO_SUCH_INSTANCE


def _parsed(information: Dataset, calling_ae_title: str) -> CommitmentRequest:
    """Action Information (PS3.4 Table J.3-1)."""
    transaction_uid = _uid(information.TransactionUID)
    items = information.ReferencedSOPSequence
    if not 0 < len(items) <= _MOST_INSTANCES:
        raise ValueError("no instances, or too many")
    wanted = tuple(
        (SOPClassUID(_uid(item.ReferencedSOPClassUID)), SOPInstanceUID(_uid(item.ReferencedSOPInstanceUID)))
        for item in items
    )
    return CommitmentRequest(calling_ae_title, transaction_uid, wanted)


def _uid(value: Any) -> str:
    text = str(value)
    if not 0 < len(text) <= 64 or not text.isascii() or not text.isprintable():
        raise ValueError("not a UID")
    return text


def _handed_on(on_request: OnRequest, request: CommitmentRequest) -> int:
    try:
        return on_request(request)
    except TransientError as error:
        log.warning("commitment-request-not-kept", extra={"code": error.code})
        return RESOURCE_LIMITATION
    except OverreadError as error:
        log.warning("commitment-request-not-kept", extra={"code": error.code})
        return PROCESSING_FAILURE
    except Exception:  # the requester must hear that nothing was kept, and the association must live
        log.exception("commitment-request-not-kept")
        return PROCESSING_FAILURE


def _information(report: CommitmentReport) -> tuple[Dataset, int]:
    """Event Information (PS3.4 Table J.3-2): every instance of the request is in one of the two lists."""
    committed, failed = [], []
    for one in report.instances:
        item = Dataset()
        item.ReferencedSOPClassUID = one.sop_class_uid
        item.ReferencedSOPInstanceUID = one.sop_instance_uid
        if one.failure_reason is None:
            committed.append(item)
        else:
            item.FailureReason = one.failure_reason
            failed.append(item)
    information = Dataset()
    information.TransactionUID = report.transaction_uid
    if committed:
        information.ReferencedSOPSequence = committed
    if failed:
        information.FailedSOPSequence = failed
    return information, _SOME_FAILED if failed else _ALL_COMMITTED
