"""Train the tilt estimator for frontal chest radiographs from projected CTs. About 4 minutes on one idle CPU core.

    python models/chest-tilt-cr/train.py --cache ~/.cache/overread/samples

The angles of every training image are known, because they were chosen: the tilt in the image, and the rotation about
the long axis, which is not learned.
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
from radiographs.batches import Pool, draw
from radiographs.encoder import RadiographEncoder
from radiographs.pools import Pools
from training import Schedule, optimise

HERE = Path(__file__).resolve().parent
SEED = 20260225
SCHEDULE = Schedule(steps=400, batch=16, peak_rate=1e-3, warm_up=0.3)
DEGREES = 10.0
"""The net answers in units of this many degrees."""


def batch(pool: Pool, count: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Images, and of each its tilt and its rotation about the long axis in degrees [n, 2]."""
    images, _, angles = draw(pool, count, random)
    truth = torch.stack([angles.tilt, angles.yaw], dim=1)
    # Mirrored, a patient who is turned to the left is turned to the right, and the heart is on the other side:
    # so that the net learns rotation, not the heart.
    flips = torch.from_numpy(random.random(count) < 0.5)
    images = torch.where(flips[:, None, None, None], images.flip(-1), images)
    return images, torch.where(flips[:, None], -truth, truth)


def loss(answers: Tensor, truth: Tensor) -> Tensor:
    """Absolute error, rounded off below one degree."""
    return functional.smooth_l1_loss(answers, truth / DEGREES, beta=0.1)


def train(pool: Pool, schedule: Schedule = SCHEDULE) -> RadiographEncoder:
    """A net that measures both angles."""
    torch.manual_seed(SEED)
    random = np.random.default_rng(SEED)
    return optimise(RadiographEncoder(2), lambda count: batch(pool, count, random), loss, schedule)


def main() -> None:
    arguments = training.parse(training.parser_of(HERE, __doc__, projections=True))
    net = train(Pools(arguments.cache, arguments.work).frontal())
    training.save(net, arguments.out, {"steps": SCHEDULE.steps, "seed": SEED})


if __name__ == "__main__":
    main()
