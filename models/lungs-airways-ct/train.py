"""Train the lung and airway network from pinned public data. About 20 minutes on two idle CPU cores.

    python models/lungs-airways-ct/train.py --cache ~/.cache/overread/samples

Data (see README.md): LIDC-IDRI-0001 and an abdomen CT with TotalSegmentator labels, one head CT without
any of our structures, and synthetic slices. The seed fixes every random choice; another CPU may still
round differently, so retrained weights agree in accuracy, not in every bit.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from augment import Batcher, Source, mark_outside  # noqa: E402
from net import CLASSES, LungNet  # noqa: E402
from volumes import Case, abdomen_case, chest_case, empty_case  # noqa: E402

SEED = 20260201
BATCH = 12


@dataclass(frozen=True)
class Phase:
    """One run of the optimiser; the second starts from the averaged weights of the first."""

    seed: int
    steps: int
    peak_rate: float
    mass_probability: float


PHASES = (
    Phase(seed=SEED, steps=1000, peak_rate=4e-3, mass_probability=0.0),
    # Anatomy first, then tumours: masses from the beginning blur what a lung is.
    Phase(seed=SEED + 1, steps=350, peak_rate=1.5e-3, mass_probability=0.5),
)
SYNTHETIC_WEIGHT = 0.08
CLASS_WEIGHTS = (1.0, 1.0, 1.0, 6.0)
"""The trachea has one voxel for 150 of the lungs: unweighted, the network never begins to learn it."""


def sources(cache: Path) -> list[Source]:
    """Training cases with their share of the batches."""
    return [
        _source(chest_case(cache), weight=0.62, scale=(0.75, 1.3)),
        _source(abdomen_case(cache), weight=0.15, scale=(0.75, 1.3)),
        _source(empty_case("head-ct-4mm", cache), weight=0.15, scale=(0.8, 1.8)),
    ]


def _source(case: Case, weight: float, scale: tuple[float, float]) -> Source:
    assert case.labels is not None
    slice_mm, row_mm, column_mm = case.grid.spacing_mm
    return Source(
        hu=torch.from_numpy(case.grid.values),
        labels=torch.from_numpy(mark_outside(case.grid.values, case.labels)),
        row_mm=row_mm,
        column_mm=column_mm,
        slice_mm=slice_mm,
        weight=weight,
        scale=scale,
    )


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice of the foreground classes over the whole batch."""
    cross_entropy = functional.cross_entropy(logits, labels, weight=torch.tensor(CLASS_WEIGHTS))
    truth = functional.one_hot(labels, len(CLASSES)).movedim(-1, 1).to(logits.dtype)
    probability = logits.softmax(dim=1)
    overlap = (probability * truth).sum(dim=(0, 2, 3))
    total = probability.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
    dice = (2 * overlap + 1) / (total + 1)
    return cross_entropy + (1 - dice[1:]).mean()


def train(model: LungNet, data: Sequence[Source], phase: Phase) -> LungNet:
    """Optimise `model`; returns the exponential moving average of its weights, in eval mode."""
    torch.manual_seed(phase.seed)
    batcher = Batcher(data, SYNTHETIC_WEIGHT, phase.seed, phase.mass_probability)
    model = model.train().to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=phase.peak_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, phase.peak_rate, total_steps=phase.steps, pct_start=0.15)
    started = time.monotonic()
    for step in range(1, phase.steps + 1):
        images, labels = batcher.draw(BATCH)
        value = loss(model(images.contiguous(memory_format=torch.channels_last)), labels)
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        if step % 25 == 0 or step == 1:
            print(f"step {step}/{phase.steps} loss {value.item():.4f} {time.monotonic() - started:.0f} s", flush=True)
    result = average.module.to(memory_format=torch.contiguous_format).eval()
    assert isinstance(result, LungNet)
    return result


def new_net() -> LungNet:
    """Fresh weights, the same on every call."""
    torch.manual_seed(SEED)
    return LungNet()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "overread" / "samples")
    parser.add_argument("--out", type=Path, default=HERE / "weights.safetensors")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", type=Path, help="weights that some phases have made already")
    parser.add_argument("--done", type=int, default=0, help="how many phases have made them")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(mode=True)
    started = time.monotonic()
    data, model = sources(arguments.cache), new_net()
    if arguments.resume is not None:
        model.load_state_dict(load_file(arguments.resume))
    for phase in PHASES[arguments.done :]:
        print(phase, flush=True)
        model = train(model, data, phase)
        recipe = {"phases": [asdict(p) for p in PHASES[: PHASES.index(phase) + 1]], "batch": BATCH}
        save_file(model.state_dict(), arguments.out, metadata={"recipe": json.dumps(recipe)})
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{arguments.out}: {count} parameters, {time.monotonic() - started:.0f} s in all")


if __name__ == "__main__":
    main()
