"""The loop that trains every package, and each package's own part of a training, on toy data and few steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.models.conftest import MODELS

if TYPE_CHECKING:
    import torch

pytestmark = pytest.mark.export


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads of torch wait in loops for each other: on a busy machine that takes longer than these small nets."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def one_cycle(steps: int, warm_up: float, first: float, peak: float, last: float) -> np.ndarray:
    """Of each step a value that goes on cosines from ``first`` to ``peak`` to ``last`` (arXiv:1708.07120)."""
    top, end = warm_up * steps - 1, steps - 1
    step = np.arange(steps)
    rising = peak + (first - peak) * (1 + np.cos(np.pi * step / top)) / 2
    falling = last + (peak - last) * (1 + np.cos(np.pi * (step - top) / (end - top))) / 2
    return np.where(step <= top, rising, falling)


def test_weights_take_the_steps_of_adam_along_one_cycle_and_their_moving_average_is_returned(model_script) -> None:
    """The gradient is always 1, so that the steps of AdamW can be told by hand."""
    import torch

    training = model_script("tools", "training")
    schedule = training.Schedule(40, batch=4, peak_rate=0.01, warm_up=0.25, weight_decay=0.1, average_decay=0.9)
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(net.weight, 2.0)
    drawn: list[int] = []

    def draw(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        drawn.append(count)
        return torch.ones(count, 1), torch.zeros(count, 1)

    found = training.optimise(net, draw, lambda answers, truth: (answers - truth).mean(), schedule)

    weight, average, momentum = 2.0, None, 0.0
    rates = one_cycle(40, 0.25, 0.01 / 25, 0.01, 0.01 / 25e4)
    betas = one_cycle(40, 0.25, 0.95, 0.85, 0.95)
    for step, (rate, beta) in enumerate(zip(rates, betas, strict=True), start=1):
        momentum = beta * momentum + (1 - beta)
        weight = weight * (1 - rate * 0.1) - rate * momentum / (1 - beta**step)
        average = weight if average is None else 0.9 * average + 0.1 * weight
    assert net.weight.item() == pytest.approx(weight, abs=1e-5)
    assert found.weight.item() == pytest.approx(average, abs=1e-5)
    assert drawn == [4] * 40
    assert not found.training


def test_the_average_keeps_the_statistics_of_normalisation_too(model_script) -> None:
    import torch

    training = model_script("tools", "training")
    values = iter([0.0, 1.0])

    def draw(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.full((count, 1, 1, 1), next(values))
        return images, images

    schedule = training.Schedule(steps=2, batch=2, peak_rate=1e-3, average_decay=0.9)
    net = training.optimise(torch.nn.BatchNorm2d(1), draw, lambda answers, _: answers.mean(), schedule)
    # Running mean with momentum 0.1: 0, then 0.1; of these the average.
    assert net.running_mean.item() == pytest.approx(0.1 * 0.1)


@pytest.mark.parametrize(
    ("labels", "loss"),
    [([[[1, 2], [0, 0]]], 0.0), ([[[0, 0], [0, 0]]], 0.5), ([[[2, 1], [0, 0]]], 2 / 3)],
    ids=["right", "found where there is none", "sides swapped"],
)
def test_dice_loss_is_the_mean_of_the_structures_without_the_background(model_script, labels, loss: float) -> None:
    import torch

    logits = torch.full((1, 3, 2, 2), -100.0)
    logits[0, 1, 0, 0] = logits[0, 2, 0, 1] = 100.0
    logits[0, 0, 1] = 100.0
    # (2 * overlap + 1) / (found + true + 1) of each structure
    found = model_script("tools", "training").dice_loss(logits, torch.tensor(labels))
    assert found.item() == pytest.approx(loss, abs=1e-6)


def test_weights_are_saved_with_their_recipe(model_script, tmp_path) -> None:
    import torch
    from safetensors import safe_open

    net = torch.nn.Linear(2, 1)
    model_script("tools", "training").save(net, tmp_path / "weights.safetensors", {"steps": 7, "seed": 1})
    with safe_open(tmp_path / "weights.safetensors", "pt") as file:
        assert json.loads(file.metadata()["recipe"]) == {"steps": 7, "seed": 1}
        assert torch.equal(file.get_tensor("weight"), net.weight)


def a_pool(train: ModuleType) -> Any:
    """Four radiographs of noise with two lungs."""
    import torch

    images = torch.rand(4, 1, 160, 160, generator=torch.Generator().manual_seed(3))
    labels = torch.zeros(4, 160, 160, dtype=torch.int64)
    labels[:, 40:120, 20:70], labels[:, 40:120, 90:140] = 2, 1
    return train.Pool(images, labels, torch.zeros(4), torch.zeros(4))


def few(train: ModuleType) -> Any:
    return replace(train.SCHEDULE, steps=2, batch=4)


def a_view(train: ModuleType) -> torch.nn.Module:
    return train.train((a_pool(train), a_pool(train), a_pool(train)), few(train))


def a_lung_or_tilt(train: ModuleType) -> torch.nn.Module:
    return train.train(a_pool(train), few(train))


def a_region(train: ModuleType) -> torch.nn.Module:
    """Six slices of noise, two of each region."""
    import torch

    planes = torch.randn(6, 192, 192, generator=torch.Generator().manual_seed(3)) * 300
    scan = train.Scan("toy", planes, np.repeat([0, 1, 2], 2), 5.0)
    return train.train([scan], few(train))


def a_nodule(train: ModuleType) -> torch.nn.Module:
    """A block of lung without nodules: training grows them."""
    hu = np.full((24, 80, 80), -850, np.float32)
    return train.train([train.Scan("toy", hu, np.ones(hu.shape, bool), np.zeros(hu.shape, bool))], few(train))


def a_lung_on_ct(train: ModuleType) -> torch.nn.Module:
    """A step of the last phase, which has masses too; a body with a lung on each side."""
    import torch

    hu = torch.full((4, 96, 96), -1000, dtype=torch.int16)
    labels = torch.full((4, 96, 96), 4, dtype=torch.uint8)
    hu[:, 10:86, 10:86], labels[:, 10:86, 10:86] = 40, 0
    for side, columns in ((2, slice(15, 45)), (1, slice(51, 81))):
        hu[:, 20:70, columns], labels[:, 20:70, columns] = -850, side
    source = train.Source(hu, labels, row_mm=4.0, column_mm=4.0, slice_mm=5.0, weight=0.9)
    return train.train(train.new_net(), [source], replace(train.PHASES[-1], steps=1), batch=3)


TRAININGS: dict[str, Callable[[ModuleType], Any]] = {
    "body-region-ct": a_region,
    "chest-tilt-cr": a_lung_or_tilt,
    "chest-view-cr": a_view,
    "lungs-airways-ct": a_lung_on_ct,
    "lungs-cr": a_lung_or_tilt,
    "nodules-chest-ct": a_nodule,
}


@pytest.mark.parametrize("folder", TRAININGS)
def test_a_training_repeats_to_the_bit_and_makes_what_export_takes(model_script, tmp_path, folder: str) -> None:
    import torch

    train = model_script(folder, "train")
    nets = [TRAININGS[folder](train) for _ in range(2)]
    first, again = (net.state_dict() for net in nets)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.isfinite(value).all() for value in first.values())
    assert not nets[0].training
    model_script("tools", "training").save(nets[0], tmp_path / "weights.safetensors", {})
    loaded = model_script(folder, "export").load_net(tmp_path / "weights.safetensors").state_dict()
    assert all(torch.equal(first[name], loaded[name]) for name in first)


def test_every_package_with_a_training_is_tested() -> None:
    assert {path.parent.name for path in MODELS.glob("*/train.py")} == set(TRAININGS)
