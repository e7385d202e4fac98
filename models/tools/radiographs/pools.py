"""The projected images that the three radiograph models share, made once and kept in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ct.samples import load_ct

from radiographs.batches import Pool, pool_of
from radiographs.projection import Chest, body_of, held_out_chest, random_radiographs, training_chests

SEED = 20260215
TRAINING_FRONTAL, TRAINING_LATERAL, TRAINING_OTHER = 120, 60, 60
HELD_OUT = 40


@dataclass(frozen=True)
class Views:
    """So many random projections of the bodies of one kind."""

    bodies: str
    count: int
    seed: int
    lateral: bool = False


class Pools:
    """Frontal chests, lateral chests, and what is neither; ``work`` keeps them from one training to the next."""

    def __init__(self, cache: Path, work: Path) -> None:
        self._cache, self._work = cache, work
        self._loaded: dict[str, list[Chest]] = {}

    def frontal(self) -> Pool:
        """Of the two training chests."""
        return self._kept("frontal", Views("chests", TRAINING_FRONTAL, SEED))

    def lateral(self) -> Pool:
        """Of the two training chests; the patient's back is on the right of the image."""
        return self._kept("lateral", Views("chests", TRAINING_LATERAL, SEED + 1, lateral=True))

    def other(self) -> Pool:
        """A head and an abdomen from the front and from the side."""
        half = TRAINING_OTHER // 2
        return self._kept("other", Views("others", half, SEED + 2), Views("others", half, SEED + 3, lateral=True))

    def held_out_frontal(self) -> Pool:
        """Of a chest that no training image comes from."""
        return self._kept("held-out-frontal", Views("held-out", HELD_OUT, SEED + 10))

    def held_out_lateral(self) -> Pool:
        """Of that chest from the side."""
        return self._kept("held-out-lateral", Views("held-out", HELD_OUT, SEED + 11, lateral=True))

    def held_out_other(self) -> Pool:
        """Of a head that no training image comes from, from the front and from the side."""
        half, head = HELD_OUT // 2, "other-held-out"
        return self._kept("held-out-other", Views(head, half, SEED + 12), Views(head, half, SEED + 13, lateral=True))

    def _bodies(self, which: str) -> list[Chest]:
        if which not in self._loaded:
            self._loaded[which] = list(self._made(which))
        return self._loaded[which]

    def _made(self, which: str) -> Iterator[Chest]:
        if which == "chests":
            yield from training_chests(self._cache)
        elif which == "held-out":
            yield held_out_chest(self._cache)
        else:
            for name in ("head-ct-4mm", "abdomen-ct") if which == "others" else ("head-ct",):
                ct = load_ct(name, self._cache)
                yield body_of(name, ct.values, np.zeros(ct.values.shape, np.uint8), ct.spacing_mm)

    def _kept(self, name: str, *parts: Views) -> Pool:
        path = self._work / f"{name}.pt"
        if path.is_file():
            return Pool(**torch.load(path, weights_only=True))
        made = [
            one
            for views in parts
            for one in random_radiographs(self._bodies(views.bodies), views.count, views.seed, lateral=views.lateral)
        ]
        pool = pool_of(made)
        self._work.mkdir(parents=True, exist_ok=True)
        torch.save({"images": pool.images, "labels": pool.labels, "yaw": pool.yaw, "roll": pool.roll}, path)
        return pool
