"""Make sure that destinations keep what they took: storage commitment, or a look by C-FIND where none is offered.

0x0000 is no proof. Only a confirmation ends a delivery to such a destination; whatever is not confirmed is sent again.
Every call does a bounded amount of work for one destination, so that each can have a thread of its own and a dead one
keeps nobody waiting. Any number of processes may do this at once: the ledger lets one of them ask.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from worker.domain.commitment import UnconfirmedDelivery
from worker.domain.errors import OverreadError, TransientError
from worker.domain.result import Destination
from worker.domain.study import SOPInstanceUID
from worker.pipeline.backoff import Backoff
from worker.pipeline.ports import CommitmentScu, Confirmations, Finder

log = logging.getLogger(__name__)

AWAY_BACKOFF = Backoff(first_s=10.0, factor=2.0, cap_s=1800.0)
"""The destination cannot be asked now: nothing is sent again, and the pause grows to half an hour."""
REFUSED_BACKOFF = Backoff(first_s=900.0, factor=2.0, cap_s=86400.0)
"""It says that it does not do this: a person has to look, and it is asked again in case one did."""

OF_THE_OBJECTS = frozenset({"commitment-objects-refused", "read-back-refused", "result-unreadable"})
"""Errors that say nothing of the destination, only of what it was asked about."""


@dataclass(frozen=True, slots=True)
class ConfirmDeliveries:
    """The use-case behind *delivered* becoming *committed*.

    ``new_uid`` makes Transaction UIDs: each request has its own, a repeated one included (PS3.4 J.3.2).
    ``read_back_after_s`` is how long a destination may take until a query finds what it stored.
    """

    ledger: Confirmations
    requester: CommitmentScu
    finder: Finder
    destinations: Mapping[str, Destination]
    new_uid: Callable[[], str]
    answer_within_s: float = 3600.0
    read_back_after_s: float = 10.0
    batch: int = 20
    away: Backoff = field(default=AWAY_BACKOFF)
    refused: Backoff = field(default=REFUSED_BACKOFF)

    def confirm(self, name: str) -> int:
        """Ask one destination about what it has taken and not confirmed; returns about how many deliveries."""
        destination = self.destinations[name]
        min_age_s = self.read_back_after_s if destination.read_back else 0.0
        asked = 0
        for waiting in self.ledger.wanted(destination=name, limit=self.batch, min_age_s=min_age_s):
            try:
                asked += self._ask(destination, waiting)
            except _NotAskedError as error:
                if error.code in OF_THE_OBJECTS:
                    continue  # it waits alone: the others must not wait behind it for ever
                # The others would meet the same: let them wait as well, and say why.
                self.ledger.postpone(name, reason=error.reason, again_in_s=error.again_in_s)
                break
        return asked

    def expire(self) -> int:
        """Treat requests without a report as refused, and end what waits for nobody; returns how many."""
        return self.ledger.expire_unanswered() + self.ledger.let_go()

    def reported(
        self, transaction_uid: str, committed: frozenset[SOPInstanceUID], failed: Mapping[SOPInstanceUID, int]
    ) -> None:
        """Take in an N-EVENT-REPORT, on whichever association it came; raises when it could not be kept."""
        take_report(self.ledger, transaction_uid, committed, failed)

    def _ask(self, destination: Destination, waiting: UnconfirmedDelivery) -> int:
        if not destination.storage_commitment:
            return self._look(destination, waiting)
        uid = self.new_uid()
        if not self.ledger.request(waiting.delivery_id, transaction_uid=uid, answer_within_s=self.answer_within_s):
            return 0
        try:
            self.requester.request(destination, waiting.objects, transaction_uid=uid, on_report=self.reported)
        except OverreadError as error:
            not_asked = self._not_asked(waiting, error)
            if error.code == "commitment-not-offered" and destination.read_back:
                self.ledger.give_up(uid, reason=f"{not_asked.reason} Asked by C-FIND instead.", again_in_s=0.0)
                return self._look(destination, waiting)
            self.ledger.give_up(uid, reason=not_asked.reason, again_in_s=not_asked.again_in_s)
            raise not_asked from error
        return 1

    def _look(self, destination: Destination, waiting: UnconfirmedDelivery) -> int:
        # Looking twice does no harm, so nothing is written down before.
        uid, delivery_id = self.new_uid(), waiting.delivery_id
        try:
            found = self.finder.found(destination, waiting.objects)
        except OverreadError as error:
            not_asked = self._not_asked(waiting, error)
            if self.ledger.request(delivery_id, transaction_uid=uid, answer_within_s=self.answer_within_s):
                self.ledger.give_up(uid, reason=not_asked.reason, again_in_s=not_asked.again_in_s)
            raise not_asked from error
        return int(self.ledger.looked(delivery_id, attempt=waiting.attempt, transaction_uid=uid, found=found))

    def _not_asked(self, waiting: UnconfirmedDelivery, error: OverreadError) -> _NotAskedError:
        backoff = self.away if isinstance(error, TransientError) else self.refused
        again_in_s = backoff.delay_s(waiting.fruitless + 1)
        log.warning(
            "delivery-not-confirmed",
            extra={"delivery_id": waiting.delivery_id, "code": error.code, "seconds": round(again_in_s)},
        )
        return _NotAskedError(error, again_in_s)


class _NotAskedError(Exception):
    """The destination could not be asked; ``reason`` is for people."""

    def __init__(self, error: OverreadError, again_in_s: float) -> None:
        self.code = error.code
        self.reason = f"{error.code}: {error}"
        self.again_in_s = again_in_s
        super().__init__(self.reason)


def take_report(
    ledger: Confirmations,
    transaction_uid: str,
    committed: frozenset[SOPInstanceUID],
    failed: Mapping[SOPInstanceUID, int],
) -> None:
    """Take in an N-EVENT-REPORT. One that nobody waits for (repeated, late, never asked for) changes nothing."""
    if not ledger.answered(transaction_uid, committed=committed, failed=failed):
        log.info("commitment-report-not-awaited", extra={"count": len(committed) + len(failed)})
