"""The sweeper: whatever was forgotten, lost or became due is found here, in the database, and nowhere else."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from worker.domain.errors import TransientError
from worker.domain.routing import Condition, OneOf, Rule, Timing
from worker.pipeline.ports import Publisher, Sweepable
from worker.pipeline.study_completeness import judge, most_patient

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did: studies completed, leases taken back, ids published, and whether the broker was away."""

    completed: int
    taken_back: int
    published: int
    broker_away: bool


def never_known_dead(worker: str) -> bool:
    """For a sweeper that cannot see the workers' processes: only the leases tell."""
    del worker
    return False


def no_models() -> frozenset[str]:
    """For a sweeper that cannot see the model packages: work that waits for one is tried again after a while."""
    return frozenset()


def never_known_to_change() -> str:
    """For a broker that does not tell its incarnation: only the lapse of time shows that it forgot something."""
    return ""


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Run ``sweep`` again and again, in as many processes as you like.

    ``broker_incarnation`` names the broker's present incarnation: another name once it was started again or emptied,
    and an empty one while that is not known. ``models`` names the packages that can be used now; one that was mended,
    or went and came back, has another name than before.
    """

    ledger: Sweepable
    publisher: Publisher
    timing: Timing
    rules: Sequence[Rule]
    is_dead: Callable[[str], bool] = never_known_dead
    broker_incarnation: Callable[[], str] = never_known_to_change
    models: Callable[[], frozenset[str]] = no_models
    batch: int = 100
    evidence_s: float = 8.0
    clock: Callable[[], float] = time.monotonic
    _dead_since: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    _incarnations: list[str] = field(default_factory=list, init=False, repr=False)
    _look_again: list[float] = field(default_factory=list, init=False, repr=False)
    _sound: list[frozenset[str]] = field(default_factory=list, init=False, repr=False)

    def sweep(self) -> Swept:
        """Judge arriving studies, take back what is overdue, and publish what is due."""
        completed = 0
        for activity in self.ledger.arriving():
            completeness = judge(activity, self.timing_for(activity.modalities))
            if completeness.ready and self.ledger.complete(activity, reason=completeness.reason):
                completed += 1
                log.info("study-complete", extra={"job_id": activity.job_id, "reason": completeness.reason})
        taken_back = self.ledger.take_back_overdue() + self._take_back_from_the_dead()
        self._notice_new_incarnation()
        self._notice_mended_models()
        dues = self.ledger.due(limit=self.batch)
        published = 0
        try:
            for due in dues:
                self.publisher.publish(due)
                published += 1
        except TransientError as error:
            # Nothing is lost: what could not be published is due again, and the database remembers it.
            self.ledger.forget_published(dues[published:])
            log.warning("broker-away", extra={"reason": error.code})
            return Swept(completed, taken_back, published, broker_away=True)
        return Swept(completed, taken_back, published, broker_away=False)

    def _notice_new_incarnation(self) -> None:
        """Publish again at once for all that nobody claimed: when the broker began anew, and when we did.

        When we did, because what ended us may have ended workers that had fetched messages and not claimed their jobs
        yet: the broker counts those messages as delivered. Publishing twice does no harm.
        """
        incarnation = self.broker_incarnation()
        if self._incarnations and (not incarnation or incarnation == self._incarnations[-1]):
            return
        forgotten = self.ledger.forget_all_published()
        self._incarnations[:] = [incarnation]
        if forgotten:
            log.info("rung-again", extra={"count": forgotten})

    def _notice_mended_models(self) -> None:
        """Let go what waits for a model as soon as one is there that was not, and when we begin.

        When we begin, because we may have been started again with another configuration.
        """
        sound, now = self.models(), self.clock()
        mended = not self._sound or bool(sound - self._sound[-1])
        self._sound[:] = [sound]
        if mended:
            self._look_again[:] = [now + self.evidence_s]
        elif self._look_again and now >= self._look_again[0]:
            # For attempts that had looked before it was mended, and began to wait only afterwards.
            self._look_again.clear()
            mended = True
        reason = "the model packages have changed" if mended else "waited long enough for a model: tried again"
        released = self.ledger.release(mended=mended, reason=reason)
        if released:
            log.info("work-released", extra={"count": released, "reason": reason})

    def _take_back_from_the_dead(self) -> int:
        """A worker of this machine whose process is gone cannot come back: its lease need not run out first.

        Its parent, when it lives, knows more of why it died: it is given a moment to say so first.
        """
        now = self.clock()
        dead = {worker for worker in self.ledger.holders() if self.is_dead(worker)}
        for worker in self._dead_since.keys() - dead:
            del self._dead_since[worker]
        overdue = [worker for worker in dead if now - self._dead_since.setdefault(worker, now) >= self.evidence_s]
        return sum(self.ledger.take_back_from(worker) for worker in overdue)

    def timing_for(self, modalities: Sequence[str]) -> Timing:
        """Combine the general timing with that of every rule which these modalities leave possible."""
        own = [rule.timing for rule in self.rules if rule.timing is not None and _possible(rule, modalities)]
        return most_patient(own) if own else self.timing


@dataclass(frozen=True, slots=True)
class PublishNext:
    """When a delivery has ended, its place is free: publish the next to the same destination without a sweep."""

    ledger: Sweepable
    publisher: Publisher

    def __call__(self, destination: str) -> None:
        """Publish. What cannot be published now is left to the sweeper."""
        try:
            for due in self.ledger.due_to(destination):
                self.publisher.publish(due)
        except TransientError as error:
            log.info("next-not-rung", extra={"destination": destination, "code": error.code})


def _possible(rule: Rule, modalities: Sequence[str]) -> bool:
    """Any of the inputs may be among them: the others may still be on their way."""
    wanted = (rule.conditions, *(one.conditions for one in rule.further))
    return any(_of_modality(conditions, modalities) for conditions in wanted)


def _of_modality(conditions: Sequence[Condition], modalities: Sequence[str]) -> bool:
    wanted = [c.values for c in conditions if isinstance(c, OneOf) and c.attribute == "Modality"]
    return all(set(modalities) & set(values) for values in wanted)
