"""Measurements from masks, on the grid of the source."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worker.domain.codes import MILLILITRE, Code
from worker.domain.findings import Measurement
from worker.domain.volume import Geometry
from worker.inference.steps.decide import Labels

VOLUME = Code("118565006", "SCT", "Volume")


def volumes_ml(labels: Labels, geometry: Geometry, *, highest: int) -> tuple[float, ...]:
    """Millilitres of segments 1 ... ``highest``: count of voxels times the volume of one."""
    counts = np.zeros(highest + 1, dtype=np.int64)
    for plane in labels:  # plane by plane: bincount makes an int64 copy of what it counts
        counts += np.bincount(plane.ravel(), minlength=highest + 1)
    return tuple(float(count) * geometry.voxel_volume_mm3 / 1000.0 for count in counts[1:])


def _volume(ml: float) -> Measurement:
    return Measurement(VOLUME, ml, MILLILITRE)


MEASUREMENTS: dict[str, Callable[[float], Measurement]] = {"volume": _volume}
"""By the name that the manifest uses; each is made from the segment's volume in mL."""
