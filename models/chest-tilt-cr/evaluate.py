"""Measure model.onnx on projections of a chest that training never saw, and on the real radiographs of the samples.

    python models/chest-tilt-cr/evaluate.py --cache ~/.cache/overread/samples

The projections are judged exactly, because the tilt was chosen; of the real radiographs nobody
measured it: what is written is what the model says.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from radiographs import evaluation
from radiographs.batches import draw
from radiographs.evaluation import DRAWN, SEED, Figures
from radiographs.pools import Pools
from sample_volumes import radiograph

from worker.domain.findings import Conclusion

if TYPE_CHECKING:
    import onnxruntime

HERE = Path(__file__).resolve().parent
DEGREES = 10.0
"""The net answers in units of this many degrees."""


def errors(said: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """In degrees; ``always_zero`` is what a model would reach that always says 0."""
    return {
        "images": len(truth),
        "mean_absolute_error": round(float(np.abs(said - truth).mean()), 2),
        "bias": round(float((said - truth).mean()), 2),
        "largest_error": round(float(np.abs(said - truth).max()), 2),
        "correlation": round(float(np.corrcoef(said, truth)[0, 1]), 3),
        "always_zero": round(float(np.abs(truth).mean()), 2),
    }


def on_held_out(session: onnxruntime.InferenceSession, pools: Pools) -> Figures:
    """Errors on the projections of chest-ct-lung2."""
    images, _, angles = draw(pools.held_out_frontal(), DRAWN, np.random.default_rng(SEED))
    answer = session.run(None, {"image": images.numpy()})[0] * DEGREES
    return {
        "tilt": errors(answer[:, 0], angles.tilt.numpy()),
        "rotation_about_long_axis": errors(answer[:, 1], angles.yaw.numpy()),
    }


def tilt(conclusion: Conclusion) -> Figures:
    """The angle that is measured."""
    return {"degrees": round(conclusion.findings[0].measurements[0].value, 1)}


def on_real(cache: Path) -> dict[str, Figures]:
    """What the package says of the real radiographs, and of the chest mirrored: that must turn the sign."""
    chest = radiograph("chest-cr", cache)
    mirrored = replace(chest, voxels=np.ascontiguousarray(chest.voxels[:, :, ::-1]))
    volumes = {"chest-cr": chest, "chest-cr mirrored": mirrored, "leg-cr": radiograph("leg-cr", cache)}
    return evaluation.on_real(HERE, volumes, tilt)


if __name__ == "__main__":
    evaluation.main(HERE, __doc__, on_real, on_held_out)
