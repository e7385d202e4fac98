"""Train the tilt estimator for frontal chest radiographs from projected CTs. About 4 minutes on one idle CPU core.

    python models/chest-tilt-cr/train.py --cache ~/.cache/overread/samples

The projection of CTs is that of models/lungs-cr: the angles of every training image are
known, because they were chosen: the tilt in the image, and the rotation about the long axis, which is not learned.
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
from torch.nn import functional

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lungs-cr"), str(HERE)]

from augment import Pool, draw  # noqa: E402
from pools import Pools  # noqa: E402
from radiograph_net import RadiographEncoder  # noqa: E402

SEED = 20260225
STEPS = 400
BATCH = 16
PEAK_RATE = 1e-3
DEGREES = 10.0
"""The net answers in units of this many degrees."""


def train(pool: Pool) -> RadiographEncoder:
    """Optimise; returns the exponential moving average of the weights, in eval mode."""
    torch.manual_seed(SEED)
    random = np.random.default_rng(SEED)
    model = RadiographEncoder(2).train()
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=STEPS, pct_start=0.3)
    started = time.monotonic()
    for step in range(1, STEPS + 1):
        images, _, angles = draw(pool, BATCH, random)
        truth = torch.stack([angles.tilt, angles.yaw], dim=1)
        # Mirrored, a patient who is turned to the left is turned to the right, and the heart is on the other side:
        # so that the net learns rotation, not the heart.
        flips = torch.from_numpy(random.random(BATCH) < 0.5)
        images = torch.where(flips[:, None, None, None], images.flip(-1), images)
        truth = torch.where(flips[:, None], -truth, truth)
        value = functional.smooth_l1_loss(model(images), truth / DEGREES, beta=0.1)
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
    model = train(Pools(arguments.cache, arguments.work).frontal())
    save_file(model.state_dict(), arguments.out, metadata={"recipe": json.dumps({"steps": STEPS, "seed": SEED})})
    print(f"{arguments.out}: {sum(p.numel() for p in model.parameters())} parameters")


if __name__ == "__main__":
    main()
