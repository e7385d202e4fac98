"""Deliver the results of one job to one destination: only send what is on disk, and write down every answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from worker.domain.errors import LeaseLostError, OverreadError, ShutdownError, TransientError
from worker.domain.job import HANDED_BACK
from worker.domain.profile import BUILT_IN, Profile, sop_classes
from worker.domain.result import DeliveryClaim, DeliveryId, DeliveryState, Destination, ResultObject, SendOutcome
from worker.domain.store_status import is_stored
from worker.pipeline.attempt import Heartbeat, never
from worker.pipeline.backoff import Backoff
from worker.pipeline.ports import Outbox, Sender

log = logging.getLogger(__name__)

NOT_TAKEN = "sop-class-not-taken"
DELIVERY_BACKOFF = Backoff(first_s=5.0, factor=2.0, cap_s=1800.0)
"""A PACS that is down for days costs time, not results: nothing expires, the pause grows to half an hour."""


def left_to_the_sweeper(destination: str) -> None:
    """For a delivery whose end publishes nothing."""
    del destination


@dataclass(frozen=True, slots=True)
class DeliverResults:
    """The use-case behind a delivery.

    ``profiles`` are those of the destinations, by name; ``further_profiles`` are all that a destination could have.
    ``publish_next`` is told the destination whenever a delivery has ended, and so has made place for another.
    ``stopping`` tells whether this process was asked to stop.
    """

    outbox: Outbox
    sender: Sender
    destinations: Mapping[str, Destination]
    backoff: Backoff = field(default=DELIVERY_BACKOFF)
    heartbeat_s: float = 15.0
    deadline_s: float = 3600.0
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    further_profiles: Sequence[Profile] = BUILT_IN
    publish_next: Callable[[str], None] = left_to_the_sweeper
    stopping: Callable[[], bool] = never

    def run(self, delivery_id: DeliveryId, *, worker: str) -> DeliveryState | None:
        """Claim the delivery and send; None when there was nothing to claim or the lease was lost."""
        claim = self.outbox.claim(delivery_id, worker=worker)
        if claim is None:
            return None
        state = self._carry_out(claim)
        self.publish_next(claim.delivery.destination)
        return state

    def _carry_out(self, claim: DeliveryClaim) -> DeliveryState | None:
        ids = {"delivery_id": claim.delivery.delivery_id}
        try:
            # A PACS may take its time with one object: the heartbeat tells that from a worker that is dead.
            with Heartbeat(self.outbox, claim, every_s=self.heartbeat_s, deadline_s=self.deadline_s):
                end = self._send(claim)
            self.outbox.settle(
                claim, end.state, reason=end.reason, retry_in_s=end.retry_in_s, unanswered=end.unanswered
            )
        except LeaseLostError:
            log.warning("delivery-superseded", extra=ids)
            return None
        except (KeyboardInterrupt, SystemExit, ShutdownError):
            self._hand_back(claim)
            raise
        log.info("delivery-attempted", extra={**ids, "state": end.state.value, "reason": end.reason})
        return end.state

    def _hand_back(self, claim: DeliveryClaim) -> None:
        """The process is asked to stop: what was answered is noted, and the rest is due at once for another worker."""
        ids = {"delivery_id": claim.delivery.delivery_id, "attempt": claim.attempt}
        try:
            self.outbox.put_back(claim, reason=HANDED_BACK, again_in_s=0.0)
        except OverreadError as error:
            log.warning("attempt-not-handed-back", extra={**ids, "code": error.code})
        else:
            log.info("attempt-handed-back", extra=ids)

    def _send(self, claim: DeliveryClaim) -> _End:
        name = claim.delivery.destination
        destination = self.destinations.get(name)
        if destination is None:
            return _End(DeliveryState.PARKED, f"unknown-destination: no destination {name!r} is configured.")
        try:
            return self._transfer(claim, destination)
        except _AwayError as away:
            return self._again(claim, away.reason, unanswered=True)
        except TransientError as error:  # of our own side: the database
            return self._again(claim, f"{error.code}: {error}")
        except LeaseLostError:
            raise
        except OverreadError as error:
            return _End(DeliveryState.PARKED, f"{error.code}: {error}")

    def _transfer(self, claim: DeliveryClaim, destination: Destination) -> _End:
        waiting = [item.result for item in claim.delivery.items if not is_stored(item.status)]
        left: list[ResultObject] = []
        unsent = len(waiting)
        for outcome in _heard(self.sender.send(destination, waiting)):
            self.outbox.note(claim, outcome)
            if outcome.not_taken:
                left += [one for one in waiting if one.sop_instance_uid == outcome.sop_instance_uid]
            elif not outcome.stored:
                return self._refused(claim, outcome)
            unsent -= 1
            if unsent and self.stopping():  # between two objects: none is sent twice
                raise ShutdownError
        if left:
            return _End(DeliveryState.PARKED, self._not_taken(claim, left))
        return _End(DeliveryState.SENT, f"{len(claim.delivery.items)} object(s) stored at {destination.name}")

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
        count = len(claim.delivery.items)
        rest = ", the rest is" if len(left) < count else ""
        return (
            f"{NOT_TAKEN}: {name} takes no {kinds}: {len(left)} of {count} object(s) are not there{rest}. {profile}; "
            f"{advice}. Enable the class there and `overread retry`, or change the destination's profile and "
            "`overread rerun`."
        )

    def _refused(self, claim: DeliveryClaim, outcome: SendOutcome) -> _End:
        if outcome.transient:
            return self._again(claim, outcome.detail, unanswered=not outcome.answered)
        return _End(DeliveryState.PARKED, outcome.detail)

    def _again(self, claim: DeliveryClaim, reason: str, *, unanswered: bool = False) -> _End:
        pause_s = self.backoff.delay_s(claim.failures + 1)
        return _End(DeliveryState.PENDING, reason, retry_in_s=pause_s, unanswered=unanswered)


@dataclass(frozen=True, slots=True)
class _End:
    """How an attempt ended, as ``Outbox.settle`` wants it."""

    state: DeliveryState
    reason: str
    retry_in_s: float | None = None
    unanswered: bool = False


class _AwayError(Exception):
    """The destination could not be reached."""

    def __init__(self, error: TransientError) -> None:
        self.reason = f"{error.code}: {error}"
        super().__init__(self.reason)


def _heard(outcomes: Iterator[SendOutcome]) -> Iterator[SendOutcome]:
    """Tell a destination that is away from a ledger that is, which raises in the loop over these."""
    try:
        yield from outcomes
    except TransientError as error:
        raise _AwayError(error) from error
