"""A volume: a stack of slices or frames on a regular grid, in patient coordinates where its images have them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from worker.domain.study import FrameOfReferenceUID, SeriesInstanceUID, SOPInstanceUID


class Space(StrEnum):
    """What the coordinates of a volume mean."""

    PATIENT = "patient"
    """LPS in millimetres: cross-sectional images with a Frame of Reference."""
    PLANE = "plane"
    """Projection and ultrasound images: millimetres in the image plane; the slice axis counts frames."""
    PIXELS = "pixels"
    """The same without a known pixel spacing: nothing may be stated in millimetres."""


@dataclass(frozen=True, slots=True)
class SliceRef:
    """Which stored pixels a slice of a volume comes from. ``frame_number`` counts from 1; None for single-frame."""

    sop_instance_uid: SOPInstanceUID
    frame_number: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Regular grid of voxel centres. Axis order is always (slice, row, column), coordinates always LPS in mm.

    ``affine_lps`` (4x4, float64) maps an index (slice, row, column, 1) to patient coordinates (L, P, S, 1):
    its columns are the step to the next slice, the next row, the next column, and the first voxel's centre
    (PS3.3 C.7.6.2.1.1, with the slice axis added). Outside of patient space (``Space``) it maps to (column, row,
    frame) of the image plane instead.
    """

    shape: tuple[int, int, int]
    affine_lps: NDArray[np.float64]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of voxel centres along (slice, row index, column index) in mm."""
        steps = np.linalg.norm(self.affine_lps[:3, :3], axis=0)
        return float(steps[0]), float(steps[1]), float(steps[2])

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in cubic millimetres (the determinant, so a sheared grid is right as well)."""
        return float(abs(np.linalg.det(self.affine_lps[:3, :3])))

    def to_patient_mm(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map indices (..., 3) in (slice, row, column) order to LPS millimetres (..., 3)."""
        mapped: NDArray[np.float64] = index @ self.affine_lps[:3, :3].T + self.affine_lps[:3, 3]
        return mapped

    def to_index(self, point_lps_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map LPS millimetres (..., 3) to fractional indices (..., 3) in (slice, row, column) order."""
        inverse = np.linalg.inv(self.affine_lps)
        mapped: NDArray[np.float64] = point_lps_mm @ inverse[:3, :3].T + inverse[:3, 3]
        return mapped


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Modality values (HU in CT) on a regular grid, after the modality LUT (PS3.3 C.11.1).

    ``voxels`` has shape (slice, row, column), dtype float32; colour images are here by their luminance.
    ``slices[k]`` names the stored pixels of slice k. ``frame_time_ms`` is the time between frames of a cine run.
    ``notes`` say what was noticed and how it was resolved ("gantry tilt of 12.0 degrees: ...").
    """

    voxels: NDArray[np.float32]
    geometry: Geometry
    slices: tuple[SliceRef, ...]
    modality: str
    series_instance_uid: SeriesInstanceUID
    frame_of_reference_uid: FrameOfReferenceUID | None
    notes: tuple[str, ...] = ()
    space: Space = Space.PATIENT
    frame_time_ms: float | None = None

    @property
    def in_patient_space(self) -> bool:
        """True when it can be placed in the patient (LPS)."""
        return self.space is Space.PATIENT

    @property
    def has_spacing(self) -> bool:
        """True when lengths and areas within a slice can be stated in millimetres."""
        return self.space is not Space.PIXELS
