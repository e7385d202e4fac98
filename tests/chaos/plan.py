"""What happens in each round, drawn from a seed before anything runs, so that a failure can be repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.pacs import MISBEHAVIOURS
from tests.chaos.system import VICTIMS

NUISANCES = ("none", "cut", "flush", "disk-reserve", "disk-brim")
_GOOD_DAYS = 3


@dataclass(frozen=True, slots=True)
class Round:
    """One round: studies are being sent, the PACS behaves in one way, and then things happen in this order."""

    pacs: str
    steps: tuple[tuple[str, str, float], ...]
    """(kind, what, seconds to wait before), kind being ``kill`` or ``nuisance``."""
    tail_s: float

    def __str__(self) -> str:
        steps = ", ".join(f"+{wait_s:.1f}s {what}" for _, what, wait_s in self.steps)
        return f"pacs {self.pacs}; {steps}; +{self.tail_s:.1f}s"


CALM = Round(pacs="ok", steps=(), tail_s=2.0)


def drawn(rng: random.Random, rounds: int, *, lies: bool) -> list[Round]:
    """Draw rounds from shuffled decks: every victim and every misbehaviour comes before any comes twice.

    With ``lies`` the PACS also answers 0x0000 and keeps nothing: only for a worker that was told to ask again.
    """
    victims = _deck(VICTIMS, rng)
    nuisances = _deck(NUISANCES, rng)
    behaviours = _deck((*MISBEHAVIOURS, *(("lie",) if lies else ()), *("ok",) * _GOOD_DAYS), rng)
    found = []
    for _ in range(rounds):
        steps = [
            ("kill", next(victims), rng.uniform(0.2, 2.5)),
            ("nuisance", next(nuisances), rng.uniform(0.1, 1.5)),
        ]
        rng.shuffle(steps)
        kept = tuple(step for step in steps if step[1] != "none")
        found.append(Round(next(behaviours), kept, rng.uniform(0.5, 3.0)))
    return found


def _deck(cards: Sequence[str], rng: random.Random) -> Iterator[str]:
    while True:
        left = list(cards)
        rng.shuffle(left)
        yield from left
