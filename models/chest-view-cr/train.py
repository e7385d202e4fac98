"""Train the view classifier for chest radiographs from projected CTs. About 4 minutes on one idle CPU core.

    python models/chest-view-cr/train.py --cache ~/.cache/overread/samples

Frontal and lateral views are projected; what is neither (a head, an abdomen, a drawn limb) is the third class.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import training
from limbs import joined, limb_pool
from radiographs.batches import Pool, draw
from radiographs.encoder import RadiographEncoder
from radiographs.pools import Pools
from training import Schedule, optimise

HERE = Path(__file__).resolve().parent
SEED = 20260220
CLASSES = ("frontal", "lateral", "other")
LIMBS = 60
SCHEDULE = Schedule(steps=300, batch=18, peak_rate=2e-3)


def training_pools(pools: Pools) -> tuple[Pool, Pool, Pool]:
    """Frontal, lateral and other radiographs."""
    others = pools.other()
    limbs = limb_pool(LIMBS, SEED)
    return pools.frontal(), pools.lateral(), joined(others, limbs)


def batch(pools: tuple[Pool, Pool, Pool], count: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Equal shares of the three classes; a lateral view may look either way."""
    share = count // len(pools)
    images, classes = [], []
    for number, pool in enumerate(pools):
        drawn, _, _ = draw(pool, share, random)
        if number != 0:
            flips = torch.from_numpy(random.random(share) < 0.5)
            drawn = torch.where(flips[:, None, None, None], drawn.flip(-1), drawn)
        images.append(drawn)
        classes += [number] * share
    return torch.cat(images), torch.tensor(classes)


def loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy that is content with 95 %."""
    return functional.cross_entropy(logits, classes, label_smoothing=0.05)


def train(pools: tuple[Pool, Pool, Pool], schedule: Schedule = SCHEDULE) -> RadiographEncoder:
    """A net that names the view."""
    torch.manual_seed(SEED)
    random = np.random.default_rng(SEED)
    return optimise(RadiographEncoder(len(CLASSES)), lambda count: batch(pools, count, random), loss, schedule)


def main() -> None:
    arguments = training.parse(training.parser_of(HERE, __doc__, projections=True))
    net = train(training_pools(Pools(arguments.cache, arguments.work)))
    training.save(net, arguments.out, {"steps": SCHEDULE.steps, "seed": SEED})


if __name__ == "__main__":
    main()
