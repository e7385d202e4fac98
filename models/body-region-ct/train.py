"""Train the body region classifier from the CTs of the samples. A minute or two of one idle CPU core.

    python models/body-region-ct/train.py --cache ~/.cache/overread/samples

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
from safetensors.torch import save_file
from torch.nn import functional

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from region_net import RegionNet  # noqa: E402
from slabs import TRAINING, Drawer, scans  # noqa: E402

SEED = 20260310
STEPS = 700
BATCH = 32
PEAK_RATE = 3e-3


def train(drawer: Drawer) -> RegionNet:
    """Optimise; returns the exponential moving average of the weights, in eval mode."""
    torch.manual_seed(SEED)
    model = RegionNet().train()
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=STEPS, pct_start=0.15)
    started = time.monotonic()
    for step in range(1, STEPS + 1):
        images, classes = drawer.draw(BATCH)
        value = functional.cross_entropy(model(images), classes, label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        if step % 50 == 0 or step == 1:
            print(f"step {step}/{STEPS} loss {value.item():.4f} {time.monotonic() - started:.0f} s", flush=True)
    result = average.module.eval()
    assert isinstance(result, RegionNet)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "overread" / "samples")
    parser.add_argument("--out", type=Path, default=HERE / "weights.safetensors")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(mode=True)
    model = train(Drawer(list(scans(TRAINING, arguments.cache)), SEED))
    recipe = {"steps": STEPS, "batch": BATCH, "peak_rate": PEAK_RATE, "seed": SEED}
    save_file(model.state_dict(), arguments.out, metadata={"recipe": json.dumps(recipe)})
    print(f"{arguments.out}: {sum(p.numel() for p in model.parameters())} parameters")


if __name__ == "__main__":
    main()
