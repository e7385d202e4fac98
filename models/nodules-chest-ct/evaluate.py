"""Run the package on every chest CT of the samples and compare with the nodules that experts outlined.

    python models/nodules-chest-ct/evaluate.py --cache ~/.cache/overread/samples

A nodule is found when a candidate overlaps its outline; every other candidate is counted as false, although nobody has
read these CTs for further nodules.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lungs-airways-ct"), str(HERE.parents[1])]

from grown import SPACING_MM, planted, test_scans  # noqa: E402
from volumes import load_ct, nodule_mask  # noqa: E402

from worker.domain.errors import OverreadError  # noqa: E402
from worker.domain.findings import Segmentation  # noqa: E402
from worker.domain.study import FrameOfReferenceUID, SeriesInstanceUID, SOPInstanceUID  # noqa: E402
from worker.domain.volume import Geometry, SliceRef, Volume  # noqa: E402
from worker.inference.packages.registry import Registry  # noqa: E402
from worker.inference.run.predictor import PackagePredictor  # noqa: E402

HELD_OUT = ("chest-ct-lung1", "chest-ct-lung2")
THRESHOLDS = (0.8, 0.85, 0.9)
REFUSED = ("head-ct", "head-ct-4mm", "abdomen-ct", "chest-ct-jpeg2000")
COPIES, NODULES, SEED = 3, 8, 20260401
"""Nodules are set into copies of each held-out chest, at places and with forms that training never drew."""

SIZES_MM = ((8, 15), (15, 25), (25, 40))


@dataclass
class Candidates:
    """What the package proposes on one volume: labelled parts (0: none)."""

    parts: np.ndarray
    count: int
    seconds: float


def volume_of(name: str, cache: Path) -> Volume:
    """A CT sample as the runtime sees it."""
    grid = load_ct(name, cache)
    slices = tuple(SliceRef(SOPInstanceUID(f"2.25.{index + 1}")) for index in range(len(grid.values)))
    return Volume(
        voxels=grid.values.astype(np.float32),
        geometry=Geometry(shape=grid.values.shape, affine_lps=grid.affine_lps),
        slices=slices,
        modality="CT",
        series_instance_uid=SeriesInstanceUID("2.25.1"),
        frame_of_reference_uid=FrameOfReferenceUID("2.25.2"),
    )


def planted_volume(hu: np.ndarray) -> Volume:
    """A scan of grown.py as a volume: rows run to the back, columns to the left, slices to the head."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *SPACING_MM, 1.0
    return Volume(
        voxels=hu.astype(np.float32),
        geometry=Geometry(shape=hu.shape, affine_lps=affine),
        slices=tuple(SliceRef(SOPInstanceUID(f"2.25.{index + 1}")) for index in range(len(hu))),
        modality="CT",
        series_instance_uid=SeriesInstanceUID("2.25.1"),
        frame_of_reference_uid=FrameOfReferenceUID("2.25.2"),
    )


def propose(volume: Volume, threshold: float) -> Candidates:
    """Run the package. Raises OverreadError when it refuses."""
    registry = Registry([HERE])
    predictor = PackagePredictor(registry, thresholds={HERE.name: {"nodule": threshold}})
    began = time.perf_counter()
    conclusion = predictor.predict(registry.packages[0].identity, volume)
    seconds = time.perf_counter() - began
    labels = next((one.labels for one in conclusion.findings if isinstance(one, Segmentation)), None)
    if labels is None:
        return Candidates(np.zeros(volume.voxels.shape, int), 0, seconds)
    parts, count = ndimage.label(labels, structure=np.ones((3, 3, 3)))
    return Candidates(parts, count, seconds)


def real(name: str, cache: Path, threshold: float) -> dict[str, object]:
    """The nodule that experts outlined: is it among the candidates, and how many others are there?"""
    volume = volume_of(name, cache)
    nodule = nodule_mask(name, cache)
    assert nodule is not None
    found = propose(volume, threshold)
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
            found = propose(planted_volume(hu), threshold)
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
    said = {}
    for name in REFUSED:
        try:
            propose(volume_of(name, cache), THRESHOLDS[0])
            said[name] = "not refused"
        except OverreadError as error:
            said[name] = error.code
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "overread" / "samples")
    parser.add_argument("--out", type=Path, default=HERE / "evaluation.json")
    arguments = parser.parse_args()
    results = {
        "real_nodules_never_seen": {
            f"{threshold}": {name: real(name, arguments.cache, threshold) for name in HELD_OUT}
            for threshold in THRESHOLDS
        },
        "grown_nodules_in_the_same_chests": {"0.85": planted_ones(arguments.cache, 0.85)},
        "refused": refusals(arguments.cache),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
