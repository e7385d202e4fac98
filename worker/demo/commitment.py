"""Storage commitment of the demonstration PACS (PS3.4 Annex J as SCP): it promises what it has. DEMONSTRATION ONLY."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID
from pynetdicom import AE, build_role

from worker.demo.archive import Archive
from worker.domain.result import Destination

log = logging.getLogger(__name__)

PUSH_MODEL = UID("1.2.840.10008.1.20.1")
_WELL_KNOWN_INSTANCE = UID("1.2.840.10008.1.20.1.1")
_NO_SUCH_INSTANCE = 0x0112
_CLASS_INSTANCE_CONFLICT = 0x0119
_TRIES = 5


class Commitments:
    """Answers N-ACTION and reports afterwards, on the same association if it is still open, else on a new one.

    Parameters
    ----------
    archive:
        What it can promise.
    ae_title:
        Its own AE title.
    peer:
        Finds where an AE title listens; None when it is not known.
    delay_s:
        How long it lets pass before the report.
    """

    def __init__(
        self, archive: Archive, *, ae_title: str, peer: Callable[[str], Destination | None], delay_s: float
    ) -> None:
        self._archive = archive
        self._ae_title = ae_title
        self._peer = peer
        self._delay_s = delay_s
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def on_action(self, event: Any) -> tuple[int, None]:
        """EVT_N_ACTION: a request that can be read is taken, whatever the report will say."""
        try:
            information = event.action_information
            transaction_uid = str(information.TransactionUID)
            wanted = [
                (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
                for item in information.ReferencedSOPSequence
            ]
        except (AttributeError, TypeError, ValueError):
            return 0x0115, None
        if not transaction_uid or not wanted:
            return 0x0115, None
        thread = threading.Thread(target=self._report, args=(event.assoc, transaction_uid, wanted), daemon=True)
        self._threads.append(thread)
        thread.start()
        return 0x0000, None

    def stop(self) -> None:
        """Give up reports that are still to be sent."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=5)

    def _report(self, association: Any, transaction_uid: str, wanted: list[tuple[str, str]]) -> None:
        if self._stopping.wait(self._delay_s):
            return
        information = self._judged(transaction_uid, wanted)
        event_type = 2 if "FailedSOPSequence" in information else 1
        calling_ae_title = str(association.requestor.ae_title).strip()
        if association.is_established and _tell(association, information, event_type):
            log.info("demo-commitment-reported", extra={"transaction_uid": transaction_uid, "new_association": False})
            return
        for attempt in range(_TRIES):
            if self._stopping.wait(float(attempt)):
                return
            if self._tell_on_a_new_association(calling_ae_title, information, event_type):
                log.info(
                    "demo-commitment-reported", extra={"transaction_uid": transaction_uid, "new_association": True}
                )
                return
        log.warning("demo-commitment-not-reported", extra={"transaction_uid": transaction_uid})

    def _judged(self, transaction_uid: str, wanted: list[tuple[str, str]]) -> Dataset:
        """Event Information (PS3.4 Table J.3-2): every instance that was asked for is in one of the two lists."""
        committed, failed = [], []
        for sop_class_uid, sop_instance_uid in wanted:
            item = Dataset()
            item.ReferencedSOPClassUID = sop_class_uid
            item.ReferencedSOPInstanceUID = sop_instance_uid
            instance = self._archive.get(sop_instance_uid)
            if instance is not None and instance.sop_class_uid == sop_class_uid:
                committed.append(item)
                continue
            item.FailureReason = _NO_SUCH_INSTANCE if instance is None else _CLASS_INSTANCE_CONFLICT
            failed.append(item)
        information = Dataset()
        information.TransactionUID = transaction_uid
        information.RetrieveAETitle = self._ae_title
        if committed:
            information.ReferencedSOPSequence = Sequence(committed)
        if failed:
            information.FailedSOPSequence = Sequence(failed)
        return information

    def _tell_on_a_new_association(self, ae_title: str, information: Dataset, event_type: int) -> bool:
        peer = self._peer(ae_title)
        if peer is None:
            log.warning("demo-commitment-peer-unknown", extra={"ae_title": ae_title})
            return False
        ae = AE(ae_title=self._ae_title)
        ae.connection_timeout, ae.acse_timeout, ae.dimse_timeout = 5, 10, 10
        ae.add_requested_context(PUSH_MODEL)
        association = ae.associate(
            peer.host,
            peer.port,
            ae_title=peer.ae_title,
            # Role reversal: we open the association and are the SCP of the service (PS3.4 J.3.3).
            ext_neg=[build_role(PUSH_MODEL, scp_role=True)],
        )
        if not association.is_established:
            return False
        try:
            return _tell(association, information, event_type)
        finally:
            association.release()


def _tell(association: Any, information: Dataset, event_type: int) -> bool:
    try:
        response, _ = association.send_n_event_report(information, event_type, PUSH_MODEL, _WELL_KNOWN_INSTANCE)
    except (RuntimeError, ValueError):  # the association ended between the look and the sending
        return False
    return "Status" in response and int(response.Status) == 0x0000
