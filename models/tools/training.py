"""Training as all packages that were trained here do it: one loop, one command line, one way to keep weights.

A package's ``train.py`` says what is its own: the net, the batches, the loss and the schedule.
"""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import command_line
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

Net = TypeVar("Net", bound=torch.nn.Module)
Batch = tuple[Tensor, Tensor]
"""Images [n, ...] and what the net shall say of them."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Answers of the net and what it should have said, to one number."""


@dataclass(frozen=True)
class Schedule:
    """One run of AdamW with one cycle of the learning rate (arXiv:1708.07120)."""

    steps: int
    batch: int
    """Images of a step."""
    peak_rate: float
    warm_up: float = 0.15
    """Share of the steps in which the rate climbs to its peak."""
    weight_decay: float = 1e-3
    average_decay: float = 0.98
    """Of the exponential moving average of the weights, per step: it is what a training returns."""
    report_every: int = 25
    """Steps."""


def optimise(net: Net, draw: Callable[[int], Batch], loss: Loss, schedule: Schedule) -> Net:
    """Train ``net`` in place; returns the moving average of its weights, in eval mode.

    ``draw`` makes a batch of so many images for each step. Nothing here is random: the caller seeds the net and the
    batches.
    """
    net.train()
    average = torch.optim.swa_utils.AveragedModel(
        net,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(schedule.average_decay),  # type: ignore[no-untyped-call]
        use_buffers=True,
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=schedule.peak_rate, weight_decay=schedule.weight_decay)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.peak_rate, total_steps=schedule.steps, pct_start=schedule.warm_up
    )
    started = time.monotonic()
    for step in range(1, schedule.steps + 1):
        images, truth = draw(schedule.batch)
        value = loss(net(images), truth)
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        rate.step()
        average.update_parameters(net)
        if step % schedule.report_every == 0 or step == 1:
            seconds = time.monotonic() - started
            print(f"step {step}/{schedule.steps} loss {value.item():.4f} {seconds:.0f} s", flush=True)
    result = average.module.eval()
    assert isinstance(result, type(net))
    return result


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - soft Dice, mean of the classes but the first (background), each over the whole batch.

    ``logits`` [n, class, row, column], ``labels`` [n, row, column].
    """
    truth = functional.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    probability = logits.softmax(dim=1)
    overlap = (probability * truth).sum(dim=(0, 2, 3))
    total = probability.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
    # The 1 keeps a class that is nowhere finite, and right.
    dice = (2 * overlap + 1) / (total + 1)
    return (1 - dice[1:]).mean()


def parser_of(folder: Path, description: str | None, *, projections: bool = False) -> ArgumentParser:
    """The command line of a package's ``train.py``; ``projections`` adds the folder of projected radiographs."""
    parser = command_line.parser_of(description, folder / "weights.safetensors")
    command_line.add_samples(parser)
    if projections:
        command_line.add_projections(parser)
    parser.add_argument("--threads", type=int, default=2, help="of one operator")
    return parser


def parse(parser: ArgumentParser) -> Namespace:
    """Read the command line, and make torch repeatable: a seed, a machine and ``--threads`` give the same bits."""
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(mode=True)
    return arguments


def save(net: torch.nn.Module, path: Path, recipe: Mapping[str, object]) -> None:
    """Write the weights; the metadata of the file say by which recipe they were made."""
    save_file(net.state_dict(), path, metadata={"recipe": json.dumps(recipe)})
    print(f"{path}: {sum(parameter.numel() for parameter in net.parameters())} parameters")
