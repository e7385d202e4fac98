"""Measure model.onnx on projections of a chest that training never saw, and on the real radiographs of the samples.

    python models/chest-tilt-cr/evaluate.py --cache ~/.cache/overread/samples

The projections are judged exactly, because the tilt was chosen; of the real radiographs nobody
measured it: what is written is what the model says.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from worker.inference.runtime.providers import runtime

if TYPE_CHECKING:
    import onnxruntime

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lungs-cr")]

from augment import draw  # noqa: E402
from pools import Pools  # noqa: E402
from real import radiograph, run  # noqa: E402

SEED = 20260401
DRAWN = 80
"""Held-out images with a random exposure, framing and lesions, as in training."""

DEGREES = 10.0


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


def on_held_out(session: onnxruntime.InferenceSession, pools: Pools) -> dict[str, object]:
    """Errors on the projections of chest-ct-lung2."""
    images, _, angles = draw(pools.held_out_frontal(), DRAWN, np.random.default_rng(SEED))
    answer = session.run(None, {"image": images.numpy()})[0] * DEGREES
    return {
        "tilt": errors(answer[:, 0], angles.tilt.numpy()),
        "rotation_about_long_axis": errors(answer[:, 1], angles.yaw.numpy()),
    }


def on_real(cache: Path) -> dict[str, object]:
    """What the package says of the real radiographs, and of the chest mirrored: that must turn the sign."""
    results: dict[str, object] = {}
    for name in ("chest-cr", "chest-cr mirrored", "leg-cr"):
        volume = radiograph(name.partition(" ")[0], cache)
        if name.endswith("mirrored"):
            volume = replace(volume, voxels=np.ascontiguousarray(volume.voxels[:, :, ::-1]))
        one = run(HERE, volume)
        found: dict[str, object] = {"refused": one.refused, "seconds": one.seconds, "peak_mb": one.peak_mb}
        if one.conclusion is not None:
            found["degrees"] = round(one.conclusion.findings[0].measurements[0].value, 1)
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
