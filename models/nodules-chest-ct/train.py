"""Train the nodule network on synthetic nodules in real lungs. About 6 minutes of one idle CPU core.

    python models/nodules-chest-ct/train.py --cache ~/.cache/overread/samples

The seed fixes every random choice; another CPU may round differently, so retrained weights agree in accuracy, not in
every bit.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import training
from nodule_net import NoduleNet
from synthetic_nodules import NoduleSampler, Scan, training_scans
from training import Schedule, optimise

HERE = Path(__file__).resolve().parent
SEED = 20260301
SCHEDULE = Schedule(steps=700, batch=12, peak_rate=2e-3, average_decay=0.99)


def loss(logits: Tensor, target: Tensor) -> Tensor:
    """Focal loss on middles of nodules (as for key points: arXiv:1808.01244, 3.2), and soft Dice of their bodies."""
    logits = logits[:, 0]
    probability = logits.sigmoid()
    middle = (target > 0.75).float()
    ignored = ((target > 0) & (target <= 0.75)).float()
    cross = functional.binary_cross_entropy_with_logits(logits, middle, reduction="none")
    hard = torch.where(middle > 0, (1 - probability) ** 2, probability**2)
    focal = (cross * hard * (1 - ignored)).sum() / middle.sum().clamp(min=30.0)
    body = (target > 0).float()
    overlap = (probability * body).sum()
    dice = 1 - (2 * overlap + 20) / (probability.sum() + body.sum() + 20)
    return focal + dice


def train(scans: list[Scan], schedule: Schedule = SCHEDULE) -> NoduleNet:
    """A net that marks nodules."""
    torch.manual_seed(SEED)
    return optimise(NoduleNet(), NoduleSampler(scans, SEED).draw, loss, schedule)


def main() -> None:
    arguments = training.parse(training.parser_of(HERE, __doc__))
    net = train(list(training_scans(arguments.cache)))
    recipe = {"steps": [SCHEDULE.steps], "batch": SCHEDULE.batch, "peak_rate": SCHEDULE.peak_rate, "seed": SEED}
    training.save(net, arguments.out, recipe)


if __name__ == "__main__":
    main()
