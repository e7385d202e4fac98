"""Train the lung network for frontal chest radiographs from projected CTs. About 4 minutes on one idle CPU core.

    python models/lungs-cr/train.py --cache ~/.cache/overread/samples

The seed fixes every random choice; another CPU may round differently, so retrained weights agree in accuracy, not in
every bit.
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
from lung_net import RadiographUNet
from radiographs.batches import Pool, draw
from radiographs.pools import Pools
from training import Schedule, dice_loss, optimise

HERE = Path(__file__).resolve().parent
SEED = 20260215
SCHEDULE = Schedule(steps=240, batch=8, peak_rate=3e-3)


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice of the lungs over the batch."""
    return functional.cross_entropy(logits, labels) + dice_loss(logits, labels)


def train(pool: Pool, schedule: Schedule = SCHEDULE) -> RadiographUNet:
    """A net that outlines both lungs."""
    torch.manual_seed(SEED)
    random = np.random.default_rng(SEED)

    def batch(count: int) -> tuple[Tensor, Tensor]:
        images, labels, _ = draw(pool, count, random)
        return images, labels

    return optimise(RadiographUNet(), batch, loss, schedule)


def main() -> None:
    arguments = training.parse(training.parser_of(HERE, __doc__, projections=True))
    pool = Pools(arguments.cache, arguments.work).frontal()
    recipe = {
        "radiographs": len(pool.images),
        "steps": SCHEDULE.steps,
        "batch": SCHEDULE.batch,
        "peak_rate": SCHEDULE.peak_rate,
        "seed": SEED,
    }
    training.save(train(pool), arguments.out, recipe)


if __name__ == "__main__":
    main()
