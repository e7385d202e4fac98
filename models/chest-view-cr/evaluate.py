"""Measure model.onnx on projections of a chest that training never saw, and on the real radiographs of the samples.

    python models/chest-view-cr/evaluate.py --cache ~/.cache/overread/samples

The projections are judged exactly, because the view was chosen; of the real radiographs the view is known
from the header of the one chest, and the other is a leg.
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
sys.path[:0] = [str(HERE.parent / "lungs-cr")]

from augment import draw  # noqa: E402
from pools import Pools  # noqa: E402
from real import radiograph, run  # noqa: E402

SEED = 20260401
DRAWN = 80
"""Held-out images with a random exposure, framing and lesions, as in training."""

THRESHOLD = 0.7
CLASSES = ("frontal", "lateral", "other")


def on_held_out(session: onnxruntime.InferenceSession, pools: Pools) -> dict[str, object]:
    """Of each class: how many were called which; "not known" is a probability below the threshold of the manifest."""
    results: dict[str, object] = {}
    random = np.random.default_rng(SEED)
    held_out = (pools.held_out_frontal(), pools.held_out_lateral(), pools.held_out_other())
    for name, pool in zip(CLASSES, held_out, strict=True):
        images, _, _ = draw(pool, DRAWN, random)
        if name != "frontal":  # a lateral view may look either way
            images[::2] = images[::2].flip(-1)
        logits = session.run(None, {"image": images.numpy()})[0]
        exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
        views = (exponent / exponent.sum(axis=1, keepdims=True))[:, :2]
        known = views.max(axis=1) >= THRESHOLD
        called = {view: int((known & (views.argmax(axis=1) == n)).sum()) for n, view in enumerate(CLASSES[:2])}
        results[name] = {"images": DRAWN, "called": {**called, "not known": int((~known).sum())}}
    return results


def on_real(cache: Path) -> dict[str, object]:
    """What the package says of the real radiographs."""
    results: dict[str, object] = {}
    for name in ("chest-cr", "leg-cr"):
        one = run(HERE, radiograph(name, cache))
        found: dict[str, object] = {"refused": one.refused, "seconds": one.seconds, "peak_mb": one.peak_mb}
        if one.conclusion is not None:
            said = one.conclusion.findings[0]
            found["view"] = said.evaluations[0].value.meaning if said.evaluations else "not known"
            found["probability"] = round(said.probability, 3)
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
