"""Train the nodule network on grown nodules in real lungs. About 6 minutes of one idle CPU core.

    python models/nodules-chest-ct/train.py --cache ~/.cache/overread/samples

The seed fixes every random choice; another CPU may round differently, so retrained weights agree in accuracy, not in
every bit.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from grown import Grower, training_scans  # noqa: E402
from nodule_net import NoduleNet  # noqa: E402

SEED = 20260301
PHASES = (700,)
"""Steps of each run of the optimiser; the next starts from the averaged weights of the one before."""
BATCH = 12
PEAK_RATE = 2e-3


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


def train(model: NoduleNet, grower: Grower, steps: int) -> NoduleNet:
    """Optimise; returns the exponential moving average of the weights, in eval mode."""
    model = model.train()
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.15)
    started = time.monotonic()
    for step in range(1, steps + 1):
        images, targets = grower.draw(BATCH)
        value = loss(model(images), targets)
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        if step % 25 == 0 or step == 1:
            print(f"step {step}/{steps} loss {value.item():.4f} {time.monotonic() - started:.0f} s", flush=True)
    result = average.module.eval()
    assert isinstance(result, NoduleNet)
    return result


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
    scans = list(training_scans(arguments.cache))
    torch.manual_seed(SEED)
    model = NoduleNet()
    if arguments.resume is not None:
        model.load_state_dict(load_file(arguments.resume))
    for phase, steps in list(enumerate(PHASES))[arguments.done :]:
        model = train(model, Grower(scans, SEED + phase), steps)
        recipe = {"steps": PHASES[: phase + 1], "batch": BATCH, "peak_rate": PEAK_RATE, "seed": SEED}
        save_file(model.state_dict(), arguments.out, metadata={"recipe": json.dumps(recipe)})
        print(f"{arguments.out}: phase {phase + 1} of {len(PHASES)}", flush=True)


if __name__ == "__main__":
    main()
