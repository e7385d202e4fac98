"""What a net says about an image: a map of scores, ratings of the whole or of each plane, or candidate boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.domain.volume import Geometry
from worker.inference.image import Float, Scores


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """Numbers about an image.

    ``values`` is float32 of shape (rating, channel). ``positions`` (rating,) are indices along axis 0 of ``geometry``:
    the plane, or the middle of the planes, that each rating is about. ``whole`` marks a single rating of everything.
    """

    values: Float
    positions: NDArray[np.float64]
    geometry: Geometry
    whole: bool


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Boxes that a net proposes, before anything is left out.

    ``boxes`` is float64 of shape (n, 6): the corner with the lowest and the one with the highest index
    (a, b, c, a, b, c), fractional; the centre of the first voxel is (0, 0, 0), its outer corner (-0.5, -0.5, -0.5).
    ``scores`` is float32 (n,), ``classes`` int64 (n,). ``geometry`` is the grid that the indices are of.
    """

    boxes: NDArray[np.float64]
    scores: Float
    classes: NDArray[np.int64]
    geometry: Geometry


Answer = Scores | Ratings | Candidates
"""Closed union of what a mode gives."""
