"""Volumes of all segments of a label map at once."""

from __future__ import annotations

import numpy as np

from worker.domain.volume import Geometry
from worker.inference.steps.decide import Labels


def volumes_ml(labels: Labels, geometry: Geometry, *, highest: int) -> tuple[float, ...]:
    """Millilitres of segments 1 ... ``highest``: count of voxels times the volume of one."""
    counts = np.zeros(highest + 1, dtype=np.int64)
    for plane in labels:  # plane by plane: bincount makes an int64 copy of what it counts
        counts += np.bincount(plane.ravel(), minlength=highest + 1)
    return tuple(float(count) * geometry.voxel_volume_mm3 / 1000.0 for count in counts[1:])
