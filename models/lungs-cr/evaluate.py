"""Measure model.onnx on projections of a chest that training never saw, and on the real radiographs of the samples.

    python models/lungs-cr/evaluate.py --cache ~/.cache/overread/samples

The projections are judged exactly, because the CT says where its lungs are; of the real radiographs there is no
reference: what is written is what was found.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from radiographs import evaluation
from radiographs.batches import draw, straight
from radiographs.evaluation import DRAWN, SEED, Figures
from radiographs.pools import Pools
from sample_volumes import radiograph

from worker.domain.findings import Conclusion, Segmentation

if TYPE_CHECKING:
    import onnxruntime

HERE = Path(__file__).resolve().parent


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


def on_held_out(session: onnxruntime.InferenceSession, pools: Pools) -> Figures:
    """Dice on the projections of chest-ct-lung2."""
    pool = pools.held_out_frontal()
    images, labels, _ = draw(pool, DRAWN, np.random.default_rng(SEED))
    return {"as_projected": scores(session, *straight(pool)), "other_exposures": scores(session, images, labels)}


def outlined(conclusion: Conclusion) -> Figures:
    """Of each lung its share of the image."""
    segmentation = conclusion.findings[0]
    assert isinstance(segmentation, Segmentation)
    percent = {one.label: 100 * float((segmentation.labels == one.number).mean()) for one in segmentation.segments}
    return {label: {"percent_of_image": round(value, 1)} for label, value in percent.items()}


def on_real(cache: Path) -> dict[str, Figures]:
    """What the package finds on the real radiographs: the leg passes here, because only its header refuses it."""
    return evaluation.on_real(HERE, {name: radiograph(name, cache) for name in ("chest-cr", "leg-cr")}, outlined)


if __name__ == "__main__":
    evaluation.main(HERE, __doc__, on_real, on_held_out)
