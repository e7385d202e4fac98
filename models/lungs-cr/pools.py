"""The projected images that the three radiograph models share, made once and kept in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from augment import Pool, pool_of
from drr import Chest, body_of, held_out_chest, many, training_chests
from volumes import load_ct

SEED = 20260215
TRAINING_FRONTAL, TRAINING_LATERAL, TRAINING_OTHER = 120, 60, 60
HELD_OUT = 40


class Pools:
    """Frontal chests, lateral chests, and what is neither; ``work`` keeps them from one training to the next."""

    def __init__(self, cache: Path, work: Path) -> None:
        self._cache, self._work = cache, work
        self._chests: dict[str, list[Chest]] = {}

    def frontal(self) -> Pool:
        """Of the two training chests."""
        return self._kept("frontal", lambda: many(self._bodies("chests"), TRAINING_FRONTAL, SEED))

    def lateral(self) -> Pool:
        """Of the two training chests; the patient's back is on the right of the image."""
        return self._kept("lateral", lambda: many(self._bodies("chests"), TRAINING_LATERAL, SEED + 1, lateral=True))

    def other(self) -> Pool:
        """A head and an abdomen from the front and from the side."""
        half = TRAINING_OTHER // 2
        return self._kept(
            "other",
            lambda: (
                many(self._bodies("others"), half, SEED + 2)
                + many(self._bodies("others"), half, SEED + 3, lateral=True)
            ),
        )

    def held_out_frontal(self) -> Pool:
        """Of a chest that no training image comes from."""
        return self._kept("held-out-frontal", lambda: many(self._bodies("held-out"), HELD_OUT, SEED + 10))

    def held_out_lateral(self) -> Pool:
        """Of that chest from the side."""
        return self._kept("held-out-lateral", lambda: many(self._bodies("held-out"), HELD_OUT, SEED + 11, lateral=True))

    def held_out_other(self) -> Pool:
        """Of a head that no training image comes from, from the front and from the side."""
        half = HELD_OUT // 2
        return self._kept(
            "held-out-other",
            lambda: (
                many(self._bodies("other-held-out"), half, SEED + 12)
                + many(self._bodies("other-held-out"), half, SEED + 13, lateral=True)
            ),
        )

    def _bodies(self, which: str) -> list[Chest]:
        if which not in self._chests:
            self._chests[which] = list(self._made(which))
        return self._chests[which]

    def _made(self, which: str) -> Iterator[Chest]:
        if which == "chests":
            yield from training_chests(self._cache)
        elif which == "held-out":
            yield held_out_chest(self._cache)
        else:
            for name in ("head-ct-4mm", "abdomen-ct") if which == "others" else ("head-ct",):
                ct = load_ct(name, self._cache)
                yield body_of(name, ct.values, np.zeros(ct.values.shape, np.uint8), ct.spacing_mm)

    def _kept(self, name: str, make: Callable[[], list]) -> Pool:  # type: ignore[type-arg]
        path = self._work / f"{name}.pt"
        if path.is_file():
            return Pool(**torch.load(path, weights_only=True))
        pool = pool_of(make())
        self._work.mkdir(parents=True, exist_ok=True)
        torch.save({"images": pool.images, "labels": pool.labels, "yaw": pool.yaw, "roll": pool.roll}, path)
        return pool
