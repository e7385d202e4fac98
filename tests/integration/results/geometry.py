"""How far a voxel of a mask is from where an independent reader finds it in the SEG, over the whole geometry corpus."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.unit.results import given, test_geometry
from tests.unit.results.test_geometry import CORPUS, IN_PLANES, ORDERS, PROFILES, corpus_labels, round_trip, turned
from worker.domain.profile import SegmentEncoding

SEED = 2026
RANDOM_STACKS = 120


@dataclass(frozen=True)
class Part:
    """A part of the corpus: how many cases it has, and the largest error (mm) among them."""

    name: str
    cases: int
    worst_mm: float


def measured(*, random_stacks: int = RANDOM_STACKS) -> Iterator[Part]:
    """Every part of the corpus; each case in all three encodings of a segmentation, random ones in one of them."""
    stacks = [_stack(name, encoding) for name in CORPUS for encoding in PROFILES]
    yield Part(f"stacks of CT or MR images: {', '.join(CORPUS)}", len(stacks), max(stacks))
    enhanced = [_enhanced(name, encoding) for name in ORDERS for encoding in PROFILES]
    yield Part(f"Enhanced multi-frame, oblique, frames {', '.join(ORDERS)}", len(enhanced), max(enhanced))
    rng = np.random.default_rng(SEED)
    drawn = [_random(rng) for _ in range(random_stacks)]
    yield Part(f"random stacks (seed {SEED}): any turn, spacing, shear, size and direction", len(drawn), max(drawn))
    planes = [_in_planes(name, encoding) for name in IN_PLANES for encoding in PROFILES]
    yield Part(f"projection and cine, on their pixels and frames: {', '.join(IN_PLANES)}", len(planes), max(planes))


def _stack(name: str, encoding: SegmentEncoding) -> float:
    with tempfile.TemporaryDirectory() as folder:
        study = given.a_study(Path(folder), **CORPUS[name])
        return float(round_trip(study, corpus_labels(study), encoding)[1])


def _enhanced(name: str, encoding: SegmentEncoding) -> float:
    with tempfile.TemporaryDirectory() as folder:
        study = given.an_enhanced_study(Path(folder), frame_order=ORDERS[name], orientation=turned(25, -15, 40))
        return float(round_trip(study, None, encoding)[1])


def _in_planes(name: str, encoding: SegmentEncoding) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return test_geometry.in_planes(IN_PLANES[name](Path(folder)), encoding)


def _random(rng: np.random.Generator) -> float:
    return test_geometry.any_position(
        angles_deg=tuple(rng.uniform(-180, 180, 3)), spacing_mm=tuple(rng.uniform(0.2, 8.0, 3)),
        shear_mm=tuple(rng.uniform(-2.0, 2.0, 2)), encoding=list(PROFILES)[rng.integers(len(PROFILES))],
        descending=bool(rng.integers(2)), seed=int(rng.integers(2**32)),
    )  # fmt: skip
