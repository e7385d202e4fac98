"""Peaks of a score map: local maxima, of which the highest within a distance stays."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from worker.domain.volume import Geometry
from worker.inference.image import Float


def peaks(scores: Float, geometry: Geometry, *, least: float, separation_mm: float) -> NDArray[np.intp]:
    """Indices (n, 3) of local maxima of (a, b, c) with at least ``least``, the highest first.

    A voxel is a local maximum when none of its 26 neighbours is higher; of a plateau the first voxel stands for all.
    Then, the highest first, every peak nearer than ``separation_mm`` (by the grid's own distances) to one that stays is
    left out.
    """
    highest = scipy.ndimage.maximum_filter(scores, size=3, mode="nearest")
    flat, count = scipy.ndimage.label((scores == highest) & (scores >= least), structure=np.ones((3, 3, 3)))
    if count == 0:
        return np.empty((0, 3), dtype=np.intp)
    _, first = np.unique(flat.ravel(), return_index=True)
    # Label 0 is everything that is no maximum; where all is one plateau there is no label 0.
    chosen = first if flat.min() > 0 else first[1:]
    places = np.stack(np.unravel_index(chosen, scores.shape), axis=1)
    values = scores[tuple(places.T)]
    places = places[np.argsort(-values, kind="stable")]
    points = geometry.to_patient_mm(places.astype(np.float64))
    kept: list[int] = []
    open_ = np.ones(len(places), dtype=np.bool_)
    for index in range(len(places)):
        if not open_[index]:
            continue
        kept.append(index)
        open_ &= np.linalg.norm(points - points[index], axis=1) >= separation_mm
    return places[kept]
