"""Run the package on every chest CT of the samples and compare with the nodules that experts outlined.

    python models/nodules-chest-ct/evaluate.py --cache ~/.cache/overread/samples

A nodule is found when a candidate overlaps its outline; every other candidate is counted as false, although nobody has
read these CTs for further nodules.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import evaluation
from ct.samples import load_ct, nodule_mask
from sample_volumes import ct_volume
from synthetic_nodules import SPACING_MM, planted, test_scans

from worker.domain.findings import Segmentation
from worker.domain.volume import Volume
from worker.samples.grids import Grid

HERE = Path(__file__).resolve().parent
HELD_OUT = ("chest-ct-lung1", "chest-ct-lung2")
THRESHOLDS = (0.8, 0.85, 0.9)
REFUSED = ("head-ct", "head-ct-4mm", "abdomen-ct", "chest-ct-jpeg2000")
COPIES, NODULES, SEED = 3, 8, 20260401
"""Nodules are set into copies of each held-out chest, at places and with forms that training never drew."""

SIZES_MM = ((8, 15), (15, 25), (25, 40))


@dataclass
class Candidates:
    """What the package proposes on one volume: labelled parts (0: none), or the code of its refusal."""

    parts: NDArray[np.int32]
    count: int
    seconds: float
    refused: str


def on_scan_grid(hu: NDArray[np.float32]) -> Volume:
    """A scan of synthetic_nodules.py as a volume: rows run to the back, columns to the left, slices to the head."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *SPACING_MM, 1.0
    return ct_volume(Grid(hu, affine))


def propose(volume: Volume, threshold: float) -> Candidates:
    """Run the package; a refusal proposes nothing."""
    run = evaluation.run_package(HERE, volume, {"nodule": threshold})
    findings = () if run.conclusion is None else run.conclusion.findings
    labels = next((one.labels for one in findings if isinstance(one, Segmentation)), None)
    if labels is None:
        return Candidates(np.zeros(volume.voxels.shape, np.int32), 0, run.seconds, run.refused)
    parts, count = ndimage.label(labels, structure=np.ones((3, 3, 3)))
    return Candidates(parts, count, run.seconds, run.refused)


def accepted(volume: Volume, threshold: float) -> Candidates:
    """The same of a chest, which the package must not refuse."""
    found = propose(volume, threshold)
    assert not found.refused, found.refused
    return found


def real(name: str, cache: Path, threshold: float) -> dict[str, object]:
    """Whether the nodule that experts outlined is among the candidates, and how many others there are."""
    volume = ct_volume(load_ct(name, cache))
    nodule = nodule_mask(name, cache)
    assert nodule is not None
    found = accepted(volume, threshold)
    hit = [int(part) for part in np.unique(found.parts[nodule]) if part]
    overlap = np.isin(found.parts, hit) if hit else np.zeros(nodule.shape, bool)
    return {
        "nodule_ml": round(float(nodule.sum()) * volume.geometry.voxel_volume_mm3 / 1000, 2),
        "nodule_found": bool(hit),
        "false_candidates": found.count - len(hit),
        "dice_with_outline": round(2 * float((overlap & nodule).sum()) / float(overlap.sum() + nodule.sum()), 3),
        "seconds": round(found.seconds, 1),
    }


def planted_ones(cache: Path, threshold: float) -> dict[str, object]:
    """Grown nodules in the two held-out chests: how many are found, by diameter, and false candidates per chest."""
    sizes: dict[str, list[bool]] = {f"{low} to {high} mm": [] for low, high in SIZES_MM}
    false, chests = 0, 0
    for number, scan in enumerate(test_scans(cache)):
        for copy in range(COPIES):
            hu, nodules = planted(scan, NODULES, SEED + 10 * number + copy)
            found = accepted(on_scan_grid(hu), threshold)
            hits: set[int] = {int(part) for part in np.unique(found.parts[scan.nodule]) if part}
            for diameter_mm, nodule in nodules:
                touched = {int(part) for part in np.unique(found.parts[nodule]) if part}
                hits |= touched
                key = next(f"{low} to {high} mm" for low, high in SIZES_MM if low <= diameter_mm <= high)
                sizes[key].append(bool(touched))
            false, chests = false + found.count - len(hits), chests + 1
    return {
        "found": {size: f"{sum(one)} of {len(one)}" for size, one in sizes.items()},
        "false_candidates_per_chest": round(false / chests, 1),
        "chests": chests,
    }


def refusals(cache: Path) -> dict[str, str]:
    """What is said of CTs that show no whole chest."""
    said = {name: propose(ct_volume(load_ct(name, cache)), THRESHOLDS[0]).refused for name in REFUSED}
    return {name: code or "not refused" for name, code in said.items()}


def main() -> None:
    arguments = evaluation.parser_of(HERE, __doc__).parse_args()
    results = {
        "real_nodules_never_seen": {
            f"{threshold}": {name: real(name, arguments.cache, threshold) for name in HELD_OUT}
            for threshold in THRESHOLDS
        },
        "grown_nodules_in_the_same_chests": {"0.85": planted_ones(arguments.cache, 0.85)},
        "refused": refusals(arguments.cache),
        "peak_mb": evaluation.peak_mb(),
    }
    evaluation.save(results, arguments.out)


if __name__ == "__main__":
    main()
