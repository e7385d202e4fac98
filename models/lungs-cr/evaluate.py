"""Measure model.onnx on projections of a chest that training never saw, and on the real radiographs of the samples.

    python models/lungs-cr/evaluate.py --cache ~/.cache/overread/samples

The projections are judged exactly, because the CT says where its lungs are; of the real radiographs there is no
reference: what is written is what was found.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from worker.inference.runtime.providers import runtime

if TYPE_CHECKING:
    import onnxruntime

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from augment import draw, straight  # noqa: E402
from pools import Pools  # noqa: E402
from real import radiograph, run  # noqa: E402

SEED = 20260401
DRAWN = 80
"""Held-out images with a random exposure, framing and lesions, as in training."""


def dice(found: np.ndarray, truth: np.ndarray, side: int) -> np.ndarray:
    """Overlap of one side, image by image."""
    a, b = found == side, truth == side
    return 2 * (a & b).sum(axis=(1, 2)) / np.maximum(1, a.sum(axis=(1, 2)) + b.sum(axis=(1, 2)))


def scores(session: onnxruntime.InferenceSession, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Mean and worst Dice of each side, and how much of the lungs got the other side's label."""
    truth = labels.numpy()
    found = session.run(None, {"image": images.numpy()})[0].argmax(axis=1)
    swapped = ((found == 1) & (truth == 2)) | ((found == 2) & (truth == 1))
    left, right = dice(found, truth, 1), dice(found, truth, 2)
    return {
        "images": len(images),
        "dice_left_mean": round(float(left.mean()), 3),
        "dice_left_least": round(float(left.min()), 3),
        "dice_right_mean": round(float(right.mean()), 3),
        "dice_right_least": round(float(right.min()), 3),
        "sides_swapped_percent": round(100 * float(swapped.sum() / (truth > 0).sum()), 2),
    }


def on_held_out(session: onnxruntime.InferenceSession, pools: Pools) -> dict[str, object]:
    """Dice on the projections of chest-ct-lung2."""
    pool = pools.held_out_frontal()
    images, labels, _ = draw(pool, DRAWN, np.random.default_rng(SEED))
    return {"as_projected": scores(session, *straight(pool)), "other_exposures": scores(session, images, labels)}


def on_real(cache: Path) -> dict[str, object]:
    """What the package finds on the real radiographs: the leg passes here, because only its header refuses it."""
    results: dict[str, object] = {}
    for name in ("chest-cr", "leg-cr"):
        one = run(HERE, radiograph(name, cache))
        found: dict[str, object] = {"refused": one.refused, "seconds": one.seconds, "peak_mb": one.peak_mb}
        if one.conclusion is not None:
            segmentation = one.conclusion.findings[0]
            for segment in segmentation.segments:
                mask = segmentation.labels == segment.number
                found[segment.label] = {"percent_of_image": round(100 * float(mask.mean()), 1)}
        results[name] = found
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "overread" / "samples")
    parser.add_argument("--work", type=Path, default=Path("build/projected"), help="keeps the projected images")
    parser.add_argument("--out", type=Path, default=HERE / "evaluation.json")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    session = runtime().InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])
    # Real images first: peak memory is that of the process.
    results = {"real": on_real(arguments.cache)}
    results["held_out"] = on_held_out(session, Pools(arguments.cache, arguments.work))
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
