"""Train the lung network for frontal chest radiographs from projected CTs. About 4 minutes on one idle CPU core.

    python models/lungs-cr/train.py --cache ~/.cache/overread/samples

The seed fixes every random choice; another CPU may round differently, so retrained weights agree in accuracy, not in
every bit.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from augment import Pool, draw  # noqa: E402
from pools import Pools  # noqa: E402
from radiograph_net import RadiographUNet  # noqa: E402

SEED = 20260215
STEPS = 240
BATCH = 8
PEAK_RATE = 3e-3


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice of the lungs over the batch."""
    truth = functional.one_hot(labels, 3).movedim(-1, 1).to(logits.dtype)
    probability = logits.softmax(dim=1)
    overlap = (probability * truth).sum(dim=(0, 2, 3))
    total = probability.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
    return functional.cross_entropy(logits, labels) + (1 - (2 * overlap + 1) / (total + 1))[1:].mean()


def train(pool: Pool) -> RadiographUNet:
    """Optimise; returns the exponential moving average of the weights, in eval mode."""
    torch.manual_seed(SEED)
    random = np.random.default_rng(SEED)
    model = RadiographUNet().train()
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=STEPS, pct_start=0.15)
    started = time.monotonic()
    for step in range(1, STEPS + 1):
        images, labels, _ = draw(pool, BATCH, random)
        value = loss(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        if step % 25 == 0 or step == 1:
            print(f"step {step}/{STEPS} loss {value.item():.4f} {time.monotonic() - started:.0f} s", flush=True)
    result = average.module.eval()
    assert isinstance(result, RadiographUNet)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "overread" / "samples")
    parser.add_argument("--out", type=Path, default=HERE / "weights.safetensors")
    parser.add_argument("--work", type=Path, default=Path("build/projected"), help="keeps the projected images")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(mode=True)
    pool = Pools(arguments.cache, arguments.work).frontal()
    model = train(pool)
    recipe = {"radiographs": len(pool.images), "steps": STEPS, "batch": BATCH, "peak_rate": PEAK_RATE, "seed": SEED}
    save_file(model.state_dict(), arguments.out, metadata={"recipe": json.dumps(recipe)})
    print(f"{arguments.out}: {sum(p.numel() for p in model.parameters())} parameters")


if __name__ == "__main__":
    main()
