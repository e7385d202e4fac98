"""Train the body region classifier from the CTs of the samples. A minute or two of one idle CPU core.

    python models/body-region-ct/train.py --cache ~/.cache/overread/samples

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
from region_net import RegionNet
from region_slices import TRAINING, Scan, SliceSampler, scans
from training import Schedule, optimise

HERE = Path(__file__).resolve().parent
SEED = 20260310
SCHEDULE = Schedule(steps=700, batch=32, peak_rate=3e-3, weight_decay=1e-2)


def loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy that is content with 95 %."""
    return functional.cross_entropy(logits, classes, label_smoothing=0.05)


def train(labelled: list[Scan], schedule: Schedule = SCHEDULE) -> RegionNet:
    """A net that names the region of a slice."""
    torch.manual_seed(SEED)
    return optimise(RegionNet(), SliceSampler(labelled, SEED).draw, loss, schedule)


def main() -> None:
    arguments = training.parse(training.parser_of(HERE, __doc__))
    net = train(list(scans(TRAINING, arguments.cache)))
    recipe = {"steps": SCHEDULE.steps, "batch": SCHEDULE.batch, "peak_rate": SCHEDULE.peak_rate, "seed": SEED}
    training.save(net, arguments.out, recipe)


if __name__ == "__main__":
    main()
