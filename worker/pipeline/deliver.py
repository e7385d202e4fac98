"""Deliver the results of one job to one destination: only send what is on disk, and write down every answer."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from worker.domain.errors import LeaseLostError, OverreadError, TransientError
from worker.domain.profile import BUILT_IN, Profile, sop_classes
from worker.domain.result import DeliveryClaim, DeliveryId, DeliveryState, Destination, ResultObject, SendOutcome
from worker.domain.store_status import is_stored
from worker.pipeline.attempt import Backoff, Heartbeat
from worker.pipeline.breaker import Breakers
from worker.pipeline.ports import Outbox, Sender

log = logging.getLogger(__name__)

NOT_TAKEN = "sop-class-not-taken"
DELIVERY_BACKOFF = Backoff(first_s=5.0, factor=2.0, cap_s=1800.0)
"""A PACS that is down for days costs time, not results: nothing expires, the pause grows to half an hour."""


@dataclass(frozen=True, slots=True)
class DeliverResults:
    """The use-case behind a delivery.

    ``profiles`` are those of the destinations, by name; ``further_profiles`` are all that a destination could have.
    """

    outbox: Outbox
    sender: Sender
    destinations: Mapping[str, Destination]
    backoff: Backoff = field(default=DELIVERY_BACKOFF)
    breakers: Breakers = field(default_factory=Breakers)
    heartbeat_s: float = 15.0
    deadline_s: float = 3600.0
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    further_profiles: Sequence[Profile] = BUILT_IN

    def run(self, delivery_id: DeliveryId, *, worker: str) -> DeliveryState | None:
        """Claim the delivery and send; None when there was nothing to claim or the lease was lost."""
        claim = self.outbox.claim(delivery_id, worker=worker)
        if claim is None:
            return None
        away_s = self.breakers.wait_s(claim.delivery.destination)
        if away_s > 0:
            return self._put_back(claim, away_s)
        try:
            # A PACS may take its time with one object: the heartbeat tells that from a worker that is dead.
            with Heartbeat(self.outbox, claim, every_s=self.heartbeat_s, deadline_s=self.deadline_s):
                state, reason, retry_in_s = self._send(claim)
            self.outbox.settle(claim, state, reason=reason, retry_in_s=retry_in_s)
        except LeaseLostError:
            log.warning("delivery-superseded", extra={"delivery_id": delivery_id})
            return None
        log.info("delivery-attempted", extra={"delivery_id": delivery_id, "state": state.value, "reason": reason})
        return state

    def _put_back(self, claim: DeliveryClaim, away_s: float) -> DeliveryState | None:
        """Wait with the others. Not an attempt: else the pauses would go on growing when the PACS is back."""
        name = claim.delivery.destination
        reason = f"circuit-open: {name} could not be reached a moment ago; one delivery at a time tries it."
        again_in_s = random.uniform(away_s, 1.25 * away_s)  # noqa: S311 - jitter
        try:
            self.outbox.put_back(claim, reason=reason, again_in_s=again_in_s)
        except LeaseLostError:
            return None
        return DeliveryState.PENDING

    def _send(self, claim: DeliveryClaim) -> tuple[DeliveryState, str, float | None]:
        name = claim.delivery.destination
        destination = self.destinations.get(name)
        if destination is None:
            return DeliveryState.PARKED, f"unknown-destination: no destination {name!r} is configured.", None
        waiting = [item.result for item in claim.delivery.items if not is_stored(item.status)]
        left: list[ResultObject] = []
        try:
            for outcome in self.sender.send(destination, waiting):
                self.breakers.answered(name)
                self.outbox.note(claim, outcome)
                if outcome.not_taken:
                    left += [one for one in waiting if one.sop_instance_uid == outcome.sop_instance_uid]
                elif not outcome.stored:
                    return self._refused(claim, outcome)
        except TransientError as error:
            self.breakers.failed(name)
            return DeliveryState.PENDING, f"{error.code}: {error}", self.backoff.delay_s(claim.failures + 1)
        except LeaseLostError:
            raise
        except OverreadError as error:
            return DeliveryState.PARKED, f"{error.code}: {error}", None
        if left:
            return DeliveryState.PARKED, self._not_taken(claim, left), None
        return DeliveryState.SENT, f"{len(claim.delivery.items)} object(s) stored at {name}", None

    def _not_taken(self, claim: DeliveryClaim, left: Sequence[ResultObject]) -> str:
        """Which kinds of objects the destination does not take, and what would fit it."""
        name, classes = claim.delivery.destination, {one.sop_class_uid for one in left}
        kinds = ", ".join(dict.fromkeys(one.kind.value for one in left))
        own = self.profiles.get(name)
        fitting = [one.name for one in self.further_profiles if one != own and not classes & sop_classes(one)]
        profile = f'Profile "{own.name}" of this destination sends it' if own else "Its profile sends it"
        advice = (
            f"{', '.join(fitting)} would not" if fitting else "no known profile does without, so make one of your own"
        )
        return (
            f"{NOT_TAKEN}: {name} takes no {kinds}: {len(left)} of {len(claim.delivery.items)} object(s) are "
            f"not there, the rest is. {profile}; {advice}. Enable the class there and `overread retry`, or change the "
            "destination's profile and `overread rerun`."
        )

    def _refused(self, claim: DeliveryClaim, outcome: SendOutcome) -> tuple[DeliveryState, str, float | None]:
        if outcome.transient:
            return DeliveryState.PENDING, outcome.detail, self.backoff.delay_s(claim.failures + 1)
        return DeliveryState.PARKED, outcome.detail, None
