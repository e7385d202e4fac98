"""Measure model.onnx on every CT sample and write the numbers as JSON.

    python models/lungs-airways-ct/evaluate.py --cache ~/.cache/overread/samples

Held-out cases are judged by rule (tools/rules.py), because no labels of them exist; training cases are judged by
their labels and marked as such. "solid_lung" is the nodule as an expert outlined it where that exists, and otherwise
what the labels call lung although it is denser than -150 HU. Cases without lung say how much the network invents,
and what the guard measures there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import evaluation
from contract import clean, labels_on_source, to_model
from ct import rules
from ct.samples import Case, abdomen_case, chest_case, load_ct, nodule_mask

if TYPE_CHECKING:
    import onnxruntime

HERE = Path(__file__).resolve().parent
STRUCTURES = {1: "left lung", 2: "right lung", 3: "airways"}
HELD_OUT = ("chest-ct-lung1", "chest-ct-lung2", "chest-ct-angio")
WITHOUT_LUNG = {"head-ct": "held out", "head-ct-4mm": "training", "chest-ct-jpeg2000": "held out"}


def predict(session: onnxruntime.InferenceSession, case: Case, batch: int = 16) -> NDArray[np.uint8]:
    """Labels on the source grid, as the runtime makes them."""
    _, row_mm, column_mm = case.grid.spacing_mm
    image = to_model(case.grid.values, row_mm, column_mm)
    parts = [session.run(None, {"image": image[i : i + batch]})[0] for i in range(0, len(image), batch)]
    _, rows, columns = case.grid.values.shape
    return clean(labels_on_source(np.concatenate(parts), (rows, columns), row_mm, column_mm))


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float | None:
    """Overlap of two masks; None where both are empty."""
    total = int(a.sum()) + int(b.sum())
    return round(2 * int((a & b).sum()) / total, 4) if total else None


def coverage(found: NDArray[np.uint8], part: NDArray[np.bool_], voxel_ml: float) -> dict[str, float]:
    """How much of a solid part of the lung lies inside the outline of either lung."""
    inside = float(np.isin(found[part], (1, 2)).mean()) if part.any() else 0.0
    return {"volume_ml": round(float(part.sum()) * voxel_ml, 2), "inside_percent": round(100 * inside, 1)}


def measure(session: onnxruntime.InferenceSession, case: Case, role: str, cache: Path) -> dict[str, object]:
    """Everything that is said of one case."""
    voxel_ml = float(np.prod(case.grid.spacing_mm)) / 1000
    started = time.monotonic()
    found = predict(session, case)
    seconds = time.monotonic() - started
    if case.labels is None:
        truth, judge = rules.segment(case.grid.values, case.grid.spacing_mm), "rules"
    else:
        truth, judge = case.labels, "labels"
    swapped = ((found == 1) & (truth == 2)) | ((found == 2) & (truth == 1))
    lungs = np.isin(truth, (1, 2))
    solid = nodule_mask(case.name, cache)
    if solid is None and case.labels is not None:
        solid = lungs & (case.grid.values > -150)
    extra = {} if solid is None or not solid.any() else {"solid_lung": coverage(found, solid, voxel_ml)}
    return extra | {
        "role": role,
        "judge": judge,
        "slices": case.grid.values.shape[0],
        "seconds": round(seconds, 1),
        "volume_ml": {name: round(float((found == n).sum()) * voxel_ml, 1) for n, name in STRUCTURES.items()},
        "reference_ml": {name: round(float((truth == n).sum()) * voxel_ml, 1) for n, name in STRUCTURES.items()},
        "dice": {name: dice(found == n, truth == n) for n, name in STRUCTURES.items()},
        "dice_all_air": dice(found > 0, truth > 0),
        "left_right_swapped_percent": round(100 * float(swapped.sum()) / max(1, int(lungs.sum())), 3),
        "lung_density_ml": round(rules.lung_density_ml(case.grid.values, voxel_ml * 1000), 1),
    }


def cases(cache: Path) -> list[tuple[Case, str]]:
    """All CT samples with their part in training."""
    everything = [(chest_case(cache), "training"), (abdomen_case(cache), "training")]
    everything += [(Case(name, load_ct(name, cache), None), "held out") for name in HELD_OUT]
    for name, role in WITHOUT_LUNG.items():
        grid = load_ct(name, cache)
        everything.append((Case(name, grid, np.zeros(grid.values.shape, np.uint8)), f"{role}, no lung"))
    return everything


def main() -> None:
    parser = evaluation.parser_of(HERE, __doc__)
    parser.add_argument("--model", type=Path, default=HERE / "model.onnx")
    parser.add_argument("--threads", type=int, default=2, help="of one operator")
    arguments = parser.parse_args()
    session = evaluation.session(arguments.model, arguments.threads)
    evaluation.save(
        {case.name: measure(session, case, role, arguments.cache) for case, role in cases(arguments.cache)},
        arguments.out,
    )


if __name__ == "__main__":
    main()
