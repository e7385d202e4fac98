"""The table of open associations: counts by peer, and which one ends when a new one finds the table full."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from worker.intake.limits import Limits


class OpenAssociation(Protocol):
    """A running association, as the association table sees it.

    ``still_since`` is when its last whole PDU came (monotonic); ``answered`` counts the messages it has brought.
    """

    association_id: str
    peer_address: str
    calling_ae_title: str
    busy: bool
    still_since: float
    answered: int

    def evict(self, reason: str) -> None:
        """End it from another thread."""

    def finish(self) -> None:
        """End it after the message it is working on."""


AssociationT = TypeVar("AssociationT", bound=OpenAssociation)


class AssociationTable(Generic[AssociationT]):
    """Running associations, within the limits.

    A new association is never kept out by peers that do nothing: one that has never brought a message, else the one
    that has been still for the longest time, makes room. Only when everybody is at work is there none.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._empty = threading.Condition(self._lock)
        self._associations: dict[str, AssociationT] = {}
        self._leaving = 0

    def __len__(self) -> int:
        """How many associations are open."""
        return len(self._associations)

    def make_room(self, peer_address: str, calling_ae_title: str) -> bool:
        """Evict somebody still where a limit is reached; False when a limit is reached and nobody is still."""
        limits = self._limits
        scopes: tuple[tuple[int, Callable[[AssociationT], bool]], ...] = (
            (limits.associations_per_calling_ae, lambda g: g.calling_ae_title == calling_ae_title),
            (limits.associations_per_peer, lambda g: g.peer_address == peer_address),
            (limits.associations, lambda _: True),
        )
        victims: list[AssociationT] = []
        with self._lock:
            for limit, belongs in scopes:
                inside = [
                    association
                    for association in self._associations.values()
                    if belongs(association) and association not in victims
                ]
                if len(inside) < limit:
                    continue
                victim = self._stillest(inside)
                if victim is None:
                    return False  # nobody goes for a new association that does not come in
                victims.append(victim)
            for victim in victims:
                del self._associations[victim.association_id]
                self._leaving += 1
        for victim in victims:
            victim.evict("evicted")
        return True

    def _stillest(self, associations: list[AssociationT]) -> AssociationT | None:
        before = time.monotonic() - self._limits.evictable_after_s
        still = [
            association for association in associations if not association.busy and association.still_since < before
        ]
        return min(still, key=lambda association: (association.answered > 0, association.still_since), default=None)

    def enter(self, association: AssociationT) -> int:
        """Let an association in, and tell how many are open now."""
        with self._lock:
            self._associations[association.association_id] = association
            return len(self._associations)

    def leave(self, association: AssociationT) -> None:
        """An association has gone by itself, or as a victim."""
        with self._lock:
            if self._associations.pop(association.association_id, None) is None:
                self._leaving -= 1
            if not self._associations and not self._leaving:
                self._empty.notify_all()

    def overdue(self, after_s: float) -> list[AssociationT]:
        """Those that have shown nothing for longer than any deadline allows: their thread is stuck."""
        before = time.monotonic() - after_s
        with self._lock:
            return [
                association
                for association in self._associations.values()
                if not association.busy and association.still_since < before
            ]

    def everybody(self) -> list[AssociationT]:
        """The associations that are open now; more may come and go meanwhile."""
        with self._lock:
            return list(self._associations.values())

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Wait for the last to leave; False when the time is over."""
        with self._lock:
            return self._empty.wait_for(lambda: not self._associations and not self._leaving, timeout_s)
