"""Train the view classifier for chest radiographs from projected CTs. About 4 minutes on one idle CPU core.

    python models/chest-view-cr/train.py --cache ~/.cache/overread/samples

The projection of CTs is that of models/lungs-cr. Frontal and lateral views come from it; what is neither
(a head, an abdomen, a drawn limb) is the third class.
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
sys.path[:0] = [str(HERE.parent / "lungs-cr"), str(HERE)]

from augment import Pool, draw  # noqa: E402
from limbs import joined, limb_pool  # noqa: E402
from pools import Pools  # noqa: E402
from radiograph_net import RadiographEncoder  # noqa: E402

SEED = 20260220
CLASSES = ("frontal", "lateral", "other")
LIMBS = 60
STEPS = 300
BATCH = 18
PEAK_RATE = 2e-3


def training_pools(pools: Pools) -> tuple[Pool, Pool, Pool]:
    """Frontal, lateral and other radiographs."""
    others = pools.other()
    limbs = limb_pool(LIMBS, SEED)
    return pools.frontal(), pools.lateral(), joined(others, limbs)


def batch(pools: tuple[Pool, Pool, Pool], random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Equal shares of the three classes; a lateral view may look either way."""
    share = BATCH // len(pools)
    images, classes = [], []
    for number, pool in enumerate(pools):
        drawn, _, _ = draw(pool, share, random)
        if number != 0:
            flips = torch.from_numpy(random.random(share) < 0.5)
            drawn = torch.where(flips[:, None, None, None], drawn.flip(-1), drawn)
        images.append(drawn)
        classes += [number] * share
    return torch.cat(images), torch.tensor(classes)


def train(pools: tuple[Pool, Pool, Pool]) -> RadiographEncoder:
    """Optimise; returns the exponential moving average of the weights, in eval mode."""
    torch.manual_seed(SEED)
    random = np.random.default_rng(SEED)
    model = RadiographEncoder(len(CLASSES)).train()
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=STEPS, pct_start=0.15)
    started = time.monotonic()
    for step in range(1, STEPS + 1):
        images, classes = batch(pools, random)
        value = functional.cross_entropy(model(images), classes, label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        if step % 25 == 0 or step == 1:
            print(f"step {step}/{STEPS} loss {value.item():.4f} {time.monotonic() - started:.0f} s", flush=True)
    result = average.module.eval()
    assert isinstance(result, RadiographEncoder)
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
    model = train(training_pools(Pools(arguments.cache, arguments.work)))
    save_file(model.state_dict(), arguments.out, metadata={"recipe": json.dumps({"steps": STEPS, "seed": SEED})})
    print(f"{arguments.out}: {sum(p.numel() for p in model.parameters())} parameters")


if __name__ == "__main__":
    main()
