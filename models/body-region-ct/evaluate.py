"""Say which region the slices of CTs show that training never saw, and compare with the rule of region_slices.py.

    python models/body-region-ct/evaluate.py --cache ~/.cache/overread/samples

The net and its preprocessing are those of the package. Slices that the rule does not label are shown, not counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import evaluation
from region_net import CLASSES
from region_slices import HELD_OUT, OTHER, TRAINING, UNCLEAR, Scan, drawn, scan, straight

if TYPE_CHECKING:
    import onnxruntime

HERE = Path(__file__).resolve().parent
SEED = 20260401
DRAWN = 100


def probabilities(session: onnxruntime.InferenceSession, images: torch.Tensor) -> NDArray[np.float32]:
    """[slice, class]."""
    return evaluation.softmax(session.run(None, {"image": images.numpy()})[0])


def measure(session: onnxruntime.InferenceSession, one: Scan) -> dict[str, object]:
    """Accuracy over the labelled slices, and what was said of all of them."""
    found = probabilities(session, straight(one))
    said = np.where(found.max(axis=1) >= 0.5, found.argmax(axis=1), OTHER + 1)
    labelled = one.regions != UNCLEAR
    names = (*CLASSES, "unknown")
    return {
        "slices": len(one.regions),
        "labelled": int(labelled.sum()),
        "right": int((said == one.regions)[labelled].sum()),
        "wrong_by_label": {
            f"{names[a]} taken for {names[b]}": n
            for (a, b), n in sorted(Counter(zip(one.regions[labelled], said[labelled], strict=True)).items())
            if a != b
        },
        "chest_mm": round(float((said == 1).sum()) * one.slice_mm),
        "said_of_all": {names[k]: int(n) for k, n in sorted(Counter(said.tolist()).items())},
    }


def main() -> None:
    arguments = evaluation.parser_of(HERE, __doc__).parse_args()
    torch.set_num_threads(1)
    session = evaluation.session(HERE / "model.onnx")
    results: dict[str, object] = {
        role: {name: measure(session, scan(name, arguments.cache)) for name in names}
        for role, names in (("held_out", HELD_OUT), ("training", TRAINING))
    }
    random = np.random.default_rng(SEED)
    images = torch.stack([drawn(random) for _ in range(DRAWN)])[:, None]
    best = probabilities(session, images).argmax(axis=1)
    results["drawn"] = {"images": DRAWN, "right": int((best == OTHER).sum())}
    evaluation.save(results, arguments.out)


if __name__ == "__main__":
    main()
