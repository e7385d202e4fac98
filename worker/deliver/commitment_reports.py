"""Reports of storage commitment (PS3.4 J.3.3) as they are heard: at any time, even while we release the association."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.dimse_messages import N_EVENT_REPORT_RQ, N_EVENT_REPORT_RSP
from pynetdicom.dsutils import decode
from pynetdicom.pdu import P_DATA_TF

from worker.deliver.association import OpenAssociation
from worker.domain.commitment import OnReport
from worker.domain.study import SOPInstanceUID

log = logging.getLogger(__name__)

_ALL_COMMITTED, _SOME_FAILED = 1, 2
_OK = 0x0000
_PROCESSING_FAILURE = 0x0110
_NO_SUCH_EVENT_TYPE = 0x0113
_INVALID_ARGUMENT_VALUE = 0x0115


def hears_reports(on_report: OnReport) -> Callable[[Any], tuple[int, None]]:
    """Make the N-EVENT-REPORT handler: only a report that was understood and kept is answered with success."""

    def on_event_report(event: Any) -> tuple[int, None]:
        return _taken_in(on_report, event.event_type, lambda: event.event_information), None

    return on_event_report


@dataclass(frozen=True, slots=True)
class _Report:
    event_type: int
    encoded: bytes
    context_id: int | None


class CrossingReports:
    """Reports that a PACS begins just when we release the association.

    After our A-RELEASE-RQ data may still come, and we may not answer it (PS3.8 9.2, state 7), so pynetdicom throws it
    away: the promise would be lost, the PACS would wait for an answer, and we for the end of the release. Here such a
    report is kept, and the connection is cut: the PACS, without an answer, may report again on a new association, which
    does no harm, and if it does not we have its word all the same.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._unanswered = 0
        self._answering = False
        self._over = False
        self._association: OpenAssociation | None = None
        self._syntaxes: dict[int | None, UID] = {}
        self._crossed: list[_Report] = []

    @property
    def handlers(self) -> tuple[tuple[Any, Any], ...]:
        """To bind to the association."""
        return (
            (evt.EVT_DIMSE_RECV, self._on_received),
            (evt.EVT_DIMSE_SENT, self._on_answer),
            (evt.EVT_PDU_SENT, self._on_sent),
            (evt.EVT_CONN_CLOSE, self._on_close),
        )

    def before_release(self, association: OpenAssociation, *, seconds: float) -> None:
        """Let what came before be answered, for so long at most; from here on, what comes crosses the release."""
        with self._lock:
            self._association = association
            self._syntaxes = {one.context_id: one.transfer_syntax[0] for one in association.raw.accepted_contexts}
            self._changed.wait_for(lambda: self._over or not self._unanswered, seconds)

    def take_in(self, on_report: OnReport) -> None:
        """Hand on what crossed the release, once the association is over."""
        with self._lock:
            crossed, self._crossed = self._crossed, []
        for one in crossed:
            log.info("commitment-report-crossed-release")
            _taken_in(on_report, one.event_type, partial(_decoded, one.encoded, self._syntaxes[one.context_id]))

    # ---- in the thread of the association's upper layer

    def _on_received(self, event: Any) -> None:
        message = event.message
        if not isinstance(message, N_EVENT_REPORT_RQ):
            return
        with self._lock:
            if self._association is None:
                self._unanswered += 1
                return
            event_type, data_set = message.command_set.get("EventTypeID", 0), message.data_set
            encoded = data_set.getvalue() if data_set is not None else b""
            self._crossed.append(_Report(int(event_type), encoded, message.context_id))
        self._association.cut()

    def _on_answer(self, event: Any) -> None:
        if isinstance(event.message, N_EVENT_REPORT_RSP):
            self._answering = True

    def _on_sent(self, event: Any) -> None:
        """The answer has no data set, so it is one PDU: only now may a release follow it."""
        if self._answering and isinstance(event.pdu, P_DATA_TF):
            with self._lock:
                self._answering = False
                self._unanswered -= 1
                self._changed.notify_all()

    def _on_close(self, _event: Any) -> None:
        with self._lock:
            self._over = True
            self._changed.notify_all()


def _taken_in(on_report: OnReport, event_type: int, information: Callable[[], Dataset]) -> int:
    """Hand a report on; the status of the answer."""
    if event_type not in (_ALL_COMMITTED, _SOME_FAILED):
        return _NO_SUCH_EVENT_TYPE  # PS3.7 10.1.1.1.8
    try:
        transaction_uid, committed, failed = _parsed(information())
    except Exception:  # noqa: BLE001 - whatever the parser meets in foreign bytes
        log.warning("commitment-report-malformed")
        return _INVALID_ARGUMENT_VALUE
    ids = {"transaction_uid": transaction_uid}
    log.info("commitment-reported", extra={**ids, "committed": len(committed), "failed": len(failed)})
    try:
        on_report(transaction_uid, committed, failed)
    except Exception:  # the PACS must hear that its report was not kept, and send it again
        log.exception("commitment-report-not-kept", extra=ids)
        return _PROCESSING_FAILURE
    return _OK


def _decoded(encoded: bytes, syntax: UID) -> Dataset:
    return decode(BytesIO(encoded), syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)


def _parsed(
    information: Dataset,
) -> tuple[str, frozenset[SOPInstanceUID], dict[SOPInstanceUID, int]]:
    """Event Information (PS3.4 Table J.3-2). An instance in both lists counts as failed."""
    transaction_uid = str(information.TransactionUID)
    failed = {
        SOPInstanceUID(str(item.ReferencedSOPInstanceUID)): int(item.get("FailureReason", 0x0110) or 0x0110)
        for item in information.get("FailedSOPSequence") or []
    }
    committed = frozenset(
        SOPInstanceUID(str(item.ReferencedSOPInstanceUID)) for item in information.get("ReferencedSOPSequence") or []
    )
    if not transaction_uid:
        raise ValueError("no Transaction UID")
    return transaction_uid, frozenset(committed - failed.keys()), failed
