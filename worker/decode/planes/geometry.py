"""Planes in patient coordinates: pure functions of numbers (LPS, millimetres). No DICOM object comes here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

OBLIQUE_BEYOND_DEG = 20.0
"""A slice normal farther than this from every patient axis is called oblique (domain.SeriesSummary)."""

UNIT_TOLERANCE = 1e-3
"""Direction cosines may miss length 1, and their right angle, by this much: decimal strings with four digits do."""

SAME_DIRECTION_TOLERANCE = 1e-3
"""Cosines that differ by no more are one orientation: over 500 mm of image that is half a millimetre."""

SAME_POSITION_MM = 0.01
"""Planes closer than this are at the same position: no scanner steps by a hundredth of a millimetre."""

OFF_GRID_MM = 0.1
"""How far a plane may lie from the regular grid that its first and last plane span: positions that are written with
one decimal are each up to 0.05 mm off, so the two together are this far off."""

OFF_GRID_FRACTION = 0.02
"""... or this part of the slice spacing, whichever is larger: 0.2 mm at 10 mm, a fiftieth of a voxel."""

GAP_FACTOR = 1.5
"""Neighbours farther apart than this many median spacings have a plane missing between them."""

MANY_GAPS = 0.25
"""When more than this part of the distances are gaps, nothing is missing: the spacing varies."""

TILT_NOTED_DEG = 0.1
"""A sideways shift of the planes beyond this angle is said in the notes; below, it is rounding."""

TILT_LIMIT_DEG = 35.0
"""Gantries tilt by up to 30 degrees. More is a wrong orientation, or a stack of something else."""


@dataclass(frozen=True, slots=True)
class Axes:
    """Directions of a plane: along a row (to the next column), along a column (to the next row), and the normal."""

    row: Vector
    column: Vector
    normal: Vector


@dataclass(frozen=True, slots=True)
class Gaps:
    """What neighbouring distances say about planes in order of their position along the normal.

    ``missing_after`` are indices of planes after which at least one plane is missing; ``irregular_mm`` is the largest
    distance along the normal of a plane from the regular grid; ``sideways_mm`` the same across it, after a constant
    shift per plane (tilt).
    """

    spacing_mm: float
    smallest_mm: float
    largest_mm: float
    missing_after: tuple[int, ...]
    irregular_mm: float
    sideways_mm: float
    tilt_deg: float

    @property
    def tolerance_mm(self) -> float:
        """How far a plane may lie from the grid."""
        return max(OFF_GRID_MM, OFF_GRID_FRACTION * self.spacing_mm)


def axes_of(orientation: Sequence[float]) -> Axes | None:
    """Axes from Image Orientation (Patient) (PS3.3 C.7.6.2.1.1); None when they are no two unit vectors at right
    angles.
    """  # noqa: D205
    values = np.asarray(orientation, dtype=np.float64)
    if values.shape != (6,) or not np.all(np.isfinite(values)):
        return None
    row, column = values[:3], values[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if any(abs(length - 1) > UNIT_TOLERANCE for length in lengths) or abs(float(row @ column)) > UNIT_TOLERANCE:
        return None
    row, column = row / lengths[0], column / lengths[1]
    normal = np.cross(row, column)
    return Axes(row=row, column=column, normal=normal / np.linalg.norm(normal))


def name_of_orientation(normal: Vector) -> str:
    """Name of the plane with this normal: axial, sagittal, coronal or oblique."""
    cosines = np.abs(normal) / np.linalg.norm(normal)
    nearest = int(np.argmax(cosines))
    if cosines[nearest] < np.cos(np.radians(OBLIQUE_BEYOND_DEG)):
        return "oblique"
    return ("sagittal", "coronal", "axial")[nearest]


def groups_of_orientation(orientations: Sequence[Sequence[float]]) -> list[list[int]]:
    """Group indices of orientations that are the same within tolerance, the largest group first."""
    groups: list[tuple[Vector, list[int]]] = []
    known: dict[tuple[float, ...], list[int]] = {}
    for index, orientation in enumerate(map(tuple, orientations)):
        if orientation not in known:
            values = np.asarray(orientation, dtype=np.float64)
            near = (one for first, one in groups if np.all(np.abs(first - values) <= SAME_DIRECTION_TOLERANCE))
            members = next(near, None)
            if members is None:
                members = []
                groups.append((values, members))
            known[orientation] = members
        known[orientation].append(index)
    return sorted((members for _, members in groups), key=len, reverse=True)


def median_spacing_mm(positions: Sequence[Sequence[float]], normal: Vector) -> float | None:
    """Median distance along the normal of neighbouring distinct planes; None for fewer than two."""
    depths = np.sort(np.asarray(positions, dtype=np.float64).reshape(-1, 3) @ normal)
    steps = np.diff(depths)
    steps = steps[steps > SAME_POSITION_MM]
    return float(np.median(steps)) if steps.size else None


def groups_of_position(positions: Vector, normal: Vector) -> list[list[int]]:
    """Order planes along the normal and group those at the same depth. ``positions`` has shape (plane, 3)."""
    depths = positions @ normal
    groups: list[list[int]] = []
    for index in np.argsort(depths, kind="stable"):
        if groups and depths[index] - depths[groups[-1][0]] < SAME_POSITION_MM:
            groups[-1].append(int(index))
        else:
            groups.append([int(index)])
    return groups


def gaps_of(positions: Vector, normal: Vector) -> Gaps:
    """Compare ordered planes, at least two, with a regular grid. ``positions`` has shape (plane, 3)."""
    depths = positions @ normal
    steps = np.diff(depths)
    spacing = float(np.median(steps))
    missing = tuple(int(i) for i in np.flatnonzero(steps > GAP_FACTOR * spacing))
    step = step_of(positions)
    grid = positions[0] + np.arange(len(positions))[:, None] * step
    off = positions - grid
    along = off @ normal
    across = off - along[:, None] * normal
    shift = step - (step @ normal) * normal
    return Gaps(
        spacing_mm=spacing,
        smallest_mm=float(steps.min()),
        largest_mm=float(steps.max()),
        missing_after=missing,
        irregular_mm=float(np.abs(along).max()),
        sideways_mm=float(np.linalg.norm(across, axis=1).max()),
        tilt_deg=float(np.degrees(np.arctan2(np.linalg.norm(shift), step @ normal))),
    )


def step_of(positions: Vector) -> Vector:
    """Vector from one plane to the next: the mean over the stack, so that first and last plane are exact."""
    step: Vector = (positions[-1] - positions[0]) / (len(positions) - 1)
    return step


def affine_of(
    *, origin: Vector, step: Vector, axes: Axes, row_spacing_mm: float, column_spacing_mm: float
) -> NDArray[np.float64]:
    """Affine from (slice, row, column, 1) to LPS: see ``domain.Geometry``.

    ``row_spacing_mm`` is the distance of rows (first value of Pixel Spacing), so it goes with the column direction.
    A tilted stack keeps its real ``step``: the affine is sheared and exact.
    """
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = axes.column * row_spacing_mm
    affine[:3, 2] = axes.row * column_spacing_mm
    affine[:3, 3] = origin
    return affine
