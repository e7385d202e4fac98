"""Measure model.onnx on projections of a chest that training never saw, and on the real radiographs of the samples.

    python models/chest-view-cr/evaluate.py --cache ~/.cache/overread/samples

The projections are judged exactly, because the view was chosen; of the real radiographs the view is known
from the header of the one chest, and the other is a leg.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from evaluation import softmax
from radiographs import evaluation
from radiographs.batches import draw
from radiographs.evaluation import DRAWN, SEED, Figures
from radiographs.pools import Pools
from sample_volumes import radiograph

from worker.domain.findings import Classification, Conclusion

if TYPE_CHECKING:
    import onnxruntime

HERE = Path(__file__).resolve().parent
THRESHOLD = 0.7
CLASSES = ("frontal", "lateral", "other")


def on_held_out(session: onnxruntime.InferenceSession, pools: Pools) -> Figures:
    """Of each class: how many were called which; "not known" is a probability below the threshold of the manifest."""
    results: Figures = {}
    random = np.random.default_rng(SEED)
    held_out = (pools.held_out_frontal(), pools.held_out_lateral(), pools.held_out_other())
    for name, pool in zip(CLASSES, held_out, strict=True):
        images, _, _ = draw(pool, DRAWN, random)
        if name != "frontal":  # a lateral view may look either way
            images[::2] = images[::2].flip(-1)
        views = softmax(session.run(None, {"image": images.numpy()})[0])[:, :2]
        known = views.max(axis=1) >= THRESHOLD
        called = {view: int((known & (views.argmax(axis=1) == n)).sum()) for n, view in enumerate(CLASSES[:2])}
        results[name] = {"images": DRAWN, "called": {**called, "not known": int((~known).sum())}}
    return results


def view(conclusion: Conclusion) -> Figures:
    """The view that is named, and its probability."""
    said = conclusion.findings[0]
    assert isinstance(said, Classification)
    return {
        "view": said.evaluations[0].value.meaning if said.evaluations else "not known",
        "probability": round(said.probability, 3),
    }


def on_real(cache: Path) -> dict[str, Figures]:
    """What the package says of the real radiographs."""
    return evaluation.on_real(HERE, {name: radiograph(name, cache) for name in ("chest-cr", "leg-cr")}, view)


if __name__ == "__main__":
    evaluation.main(HERE, __doc__, on_real, on_held_out)
