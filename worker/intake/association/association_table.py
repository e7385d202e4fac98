"""Who is inside: counts by peer, and who must go when a newcomer finds the house full."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from worker.intake.limits import Limits


class Guest(Protocol):
    """A running association, as the roster sees it.

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


GuestT = TypeVar("GuestT", bound=Guest)


class Roster(Generic[GuestT]):
    """Running associations, within the limits.

    A newcomer is never kept out by peers that do nothing: one that has never brought a message, else the one that has
    been still for the longest time, makes room. Only when everybody is at work is there none.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._empty = threading.Condition(self._lock)
        self._guests: dict[str, GuestT] = {}
        self._leaving = 0

    def __len__(self) -> int:
        """How many are inside."""
        return len(self._guests)

    def make_room(self, peer_address: str, calling_ae_title: str) -> bool:
        """Evict somebody still where a limit is reached; False when a limit is reached and nobody is still."""
        limits = self._limits
        scopes: tuple[tuple[int, Callable[[GuestT], bool]], ...] = (
            (limits.associations_per_calling_ae, lambda g: g.calling_ae_title == calling_ae_title),
            (limits.associations_per_peer, lambda g: g.peer_address == peer_address),
            (limits.associations, lambda _: True),
        )
        victims: list[GuestT] = []
        with self._lock:
            for limit, belongs in scopes:
                inside = [guest for guest in self._guests.values() if belongs(guest) and guest not in victims]
                if len(inside) < limit:
                    continue
                victim = self._stillest(inside)
                if victim is None:
                    return False  # nobody goes for a newcomer that does not come in
                victims.append(victim)
            for victim in victims:
                del self._guests[victim.association_id]
                self._leaving += 1
        for victim in victims:
            victim.evict("evicted")
        return True

    def _stillest(self, guests: list[GuestT]) -> GuestT | None:
        before = time.monotonic() - self._limits.evictable_after_s
        still = [guest for guest in guests if not guest.busy and guest.still_since < before]
        return min(still, key=lambda guest: (guest.answered > 0, guest.still_since), default=None)

    def enter(self, guest: GuestT) -> int:
        """Let a guest in, and tell how many are inside now."""
        with self._lock:
            self._guests[guest.association_id] = guest
            return len(self._guests)

    def leave(self, guest: GuestT) -> None:
        """A guest has gone by itself, or as a victim."""
        with self._lock:
            if self._guests.pop(guest.association_id, None) is None:
                self._leaving -= 1
            if not self._guests and not self._leaving:
                self._empty.notify_all()

    def overdue(self, after_s: float) -> list[GuestT]:
        """Those that have shown nothing for longer than any deadline allows: their thread is stuck."""
        before = time.monotonic() - after_s
        with self._lock:
            return [guest for guest in self._guests.values() if not guest.busy and guest.still_since < before]

    def everybody(self) -> list[GuestT]:
        """All that are inside."""
        with self._lock:
            return list(self._guests.values())

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Wait for the last to leave; False when the time is over."""
        with self._lock:
            return self._empty.wait_for(lambda: not self._guests and not self._leaving, timeout_s)
