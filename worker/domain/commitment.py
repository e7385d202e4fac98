"""Storage commitment (PS3.4 Annex J): what is asked of destinations, and what we report to those who ask us."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from worker.domain.result import DeliveryId, ResultObject
from worker.domain.study import SOPClassUID, SOPInstanceUID

OnReport = Callable[[str, frozenset[SOPInstanceUID], Mapping[SOPInstanceUID, int]], None]
"""``on_report(transaction_uid, committed, failed)``: the committed instances, and the failed ones with their Failure
Reason (0008,1197). It must have made this durable when it returns; it may be called twice for one transaction, from any
thread, and with a Transaction UID that nobody asked for."""


@dataclass(frozen=True, slots=True)
class UnconfirmedDelivery:
    """A delivery whose objects were stored, and whose destination has not confirmed yet that it keeps them.

    ``attempt`` is the one that sent ``objects``. ``fruitless`` counts the latest requests in a row that did not even
    reach the destination.
    """

    delivery_id: DeliveryId
    destination: str
    attempt: int
    objects: tuple[ResultObject, ...]
    fruitless: int


@dataclass(frozen=True, slots=True)
class ReportedInstance:
    """One instance of a request: committed when ``failure_reason`` is None, else failed (0008,1197, PS3.3 C.14.1.1).

    The UIDs are as the requester gave them.
    """

    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID
    failure_reason: int | None


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What we answer to a request for storage commitment: every instance of it (PS3.4 J.3.3).

    ``transaction_uid`` is the requester's. ``attempt`` counts reports of this request from 1, and fences them.
    """

    request_id: str
    transaction_uid: str
    attempt: int
    instances: tuple[ReportedInstance, ...]


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """One time that a destination was asked whether it keeps our results; ``answered_at`` None: it has not said."""

    destination: str
    transaction_uid: str
    requested_at: datetime
    answer_by: datetime
    answered_at: datetime | None
    outcome: str
