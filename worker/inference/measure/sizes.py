"""Lengths of masks, from the mesh that runs half way between inside and outside voxels."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from worker.domain.volume import Geometry
from worker.inference.image import Mask

Points = NDArray[np.float64]
_ROWS = 1024


def mesh_vertices(mask: NDArray[np.bool_]) -> Points:
    """Vertices, in indices, of the marching-cubes mesh of a mask at level 0.5: (n, dimensions).

    They are the middles of all grid edges that join an inside and an outside voxel.
    """
    padded = np.pad(mask, 1)
    found = []
    for axis in range(mask.ndim):
        crossing = np.argwhere(np.diff(padded.astype(np.int8), axis=axis)).astype(np.float64)
        crossing[:, axis] += 0.5
        found.append(crossing - 1.0)
    return np.concatenate(found)


def longest(points: Points) -> tuple[float, Points]:
    """Largest distance between two of the points (n, 2 or 3) of a mesh, and the vector from one to the other."""
    outer = points[scipy.spatial.ConvexHull(points).vertices]  # the two farthest points are corners of the hull
    best, vector = 0.0, np.zeros(points.shape[1])
    for first in range(0, len(outer), _ROWS):
        distances = scipy.spatial.distance.cdist(outer[first : first + _ROWS], outer)
        row, column = np.unravel_index(int(np.argmax(distances)), distances.shape)
        if distances[row, column] > best:
            best, vector = float(distances[row, column]), outer[column] - outer[first + row]
    return best, vector


def max_diameter_mm(mask: Mask, geometry: Geometry) -> float:
    """Maximum 3D diameter in mm of a mask (a, b, c) whose grid has the geometry's axes (IBSI L0JK)."""
    return longest(mesh_vertices(mask) @ geometry.affine_lps[:3, :3].T)[0]


def axes_of_plane(mask: NDArray[np.bool_], geometry: Geometry) -> tuple[float, float]:
    """Long and short axis in mm of a mask (rows, columns) in a plane of axis 0.

    The long axis is the largest distance of two outline points, the short axis the width across it.
    """
    rows_mm, columns_mm = geometry.spacing_mm[1:]
    points = mesh_vertices(mask) * np.array([rows_mm, columns_mm])
    length, along = longest(points)
    across = np.array([-along[1], along[0]]) / length
    spread = points @ across
    return length, float(spread.max() - spread.min())


def largest_axes_mm(mask: Mask, geometry: Geometry) -> tuple[float, float]:
    """Long and short axis in mm on the plane of axis 0 on which the long axis is longest."""
    best = (0.0, 0.0)
    for plane in mask:
        if plane.any():
            best = max(best, axes_of_plane(plane, geometry))
    return best
