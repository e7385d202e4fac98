"""Gate checks of the geometry round trip: every voxel of the encoded bytes is back where the model's mask has it.

In patient space that is in millimetres (LPS), by the plane position of each frame; on projection and ultrasound
images in pixels, by the image that each frame names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.domain.findings import Conclusion, Segmentation
from worker.domain.result import Check
from worker.gate.reading import checked
from worker.gate.seg.reading import Frame, LabelPlane, StoredFrames, Vector, frames_of

SAME_DIRECTION = 2e-3
"""Largest difference of direction cosines between frame and image, or frame and volume."""

SAME_PIXEL = 1e-6
"""Largest distance of centroids on a projection image, in pixels."""


@dataclass(slots=True)
class Placed:
    """What was found of one segment: voxels, their overlap with the model's mask, and sums for the centroid.

    ``volume`` is in mm3 in patient space, else in pixels; ``sum_of_places`` in LPS mm, else in indices.
    """

    voxels: int = 0
    shared: int = 0
    volume: float = 0.0
    sum_of_places: Vector = field(default_factory=lambda: np.zeros(3))
    slices: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True, eq=False)
class Ruler:
    """Where the first pixel of a frame is, and what the steps to the next slice, row and column are."""

    origin: Vector
    slice_step: Vector
    row_step: Vector
    column_step: Vector

    @property
    def voxel_size(self) -> float:
        """Volume of one voxel: of the parallelepiped of the three steps."""
        return abs(float(np.cross(self.row_step, self.column_step) @ self.slice_step))


def tolerance_mm(conclusion: Conclusion) -> float:
    """How far the grid of a volume may be from the planes that it stands for: rounding of positions and directions."""
    geometry = conclusion.volume.geometry
    slice_mm, row_mm, column_mm = geometry.spacing_mm
    extent_mm = float(np.hypot(geometry.shape[1] * row_mm, geometry.shape[2] * column_mm))
    return 0.1 + 0.03 * slice_mm + SAME_DIRECTION * extent_mm / 2


def geometry_checks(ds: Dataset, finding: Segmentation, conclusion: Conclusion) -> Iterator[Check]:
    """Yield one check of the placement, and one of volume, centroid and overlap for every segment."""
    placed: dict[int, Placed] = {segment.number: Placed() for segment in finding.segments}
    yield checked("seg-placement", "every frame is on its slice", lambda: _place(ds, finding, conclusion, placed))
    in_patient = conclusion.volume.in_patient_space
    limit = tolerance_mm(conclusion) if in_patient else SAME_PIXEL
    unit, scale = ("mL", 1000.0) if in_patient else ("px", 1.0)
    voxel_size = conclusion.volume.geometry.voxel_volume_mm3 if in_patient else 1.0
    expected = _expected(finding, conclusion)
    for segment in finding.segments:
        found, (voxels, centroid) = placed[segment.number], expected[segment.number]
        dice = 2 * found.shared / max(found.voxels + voxels, 1)
        off = float(np.linalg.norm(found.sum_of_places / max(found.voxels, 1) - centroid))
        size, expected_size = found.volume / scale, voxels * voxel_size / scale
        yield Check(
            f"segment-{segment.number}-geometry",
            dice == 1.0 and off <= limit and abs(size - expected_size) <= 1e-3 * expected_size,
            f"size {size:.4g} {unit} (expected {expected_size:.4g}), centroid {off:.3f} "
            f"{'mm' if in_patient else 'px'} off (limit {limit:.2f}), Dice {dice:.6f} (expected 1)",
        )


def _place(ds: Dataset, finding: Segmentation, conclusion: Conclusion, placed: dict[int, Placed]) -> Iterator[str]:
    """Unpack every frame and put it to where its own plane position, or its image, says."""
    volume = conclusion.volume
    slices = {(str(ref.sop_instance_uid), ref.frame_number): k for k, ref in enumerate(volume.slices)}
    segments = {segment.number: segment for segment in finding.segments}
    stored = StoredFrames.of(ds)
    seen: set[tuple[int, int | None]] = set()
    for frame in frames_of(ds):
        index = slices.get(frame.source)
        if index is None or not (frame.segment is None or frame.segment in placed):
            yield f"frame {frame.number + 1} belongs to no analysed slice or no segment"
            continue
        if (index, frame.segment) in seen:
            yield f"segment {frame.segment or 'map'} has two frames on slice {index + 1}"
        seen.add((index, frame.segment))
        if volume.in_patient_space:
            ruler = _ruler_in_patient(frame, conclusion)
            yield from _off_the_volume(frame, ruler, index, conclusion)
        else:
            ruler = Ruler(np.array([float(index), 0, 0]), *np.eye(3))
        if frame.segment is None:
            yield from _add_labels(stored.labels(frame.number), finding.labels[index], ruler, placed)
        else:
            expected = finding.mask(segments[frame.segment], index)
            _add_mask(stored.mask(frame.number), expected, ruler, placed[frame.segment])


def _ruler_in_patient(frame: Frame, conclusion: Conclusion) -> Ruler:
    if frame.position is None or frame.orientation is None or frame.spacing is None:
        raise ValueError("a frame without a place")
    return Ruler(
        origin=frame.position,
        # The distance of slices is not in a frame: it is the volume's, the area is the frame's own.
        slice_step=conclusion.volume.geometry.affine_lps[:3, 0],
        row_step=frame.orientation[3:] * frame.spacing[0],
        column_step=frame.orientation[:3] * frame.spacing[1],
    )


def _off_the_volume(frame: Frame, ruler: Ruler, index: int, conclusion: Conclusion) -> Iterator[str]:
    affine = conclusion.volume.geometry.affine_lps
    corner = affine @ np.array([index, 0, 0, 1.0])
    off_mm = float(np.linalg.norm(ruler.origin - corner[:3]))
    if off_mm > tolerance_mm(conclusion):
        yield f"frame {frame.number + 1} lies {off_mm:.3f} mm off slice {index + 1} of the volume"
    steps = np.concatenate([ruler.row_step - affine[:3, 1], ruler.column_step - affine[:3, 2]])
    pixel_mm = max(float(np.linalg.norm(ruler.row_step)), float(np.linalg.norm(ruler.column_step)))
    if np.abs(steps).max() > SAME_DIRECTION * pixel_mm:
        yield f"frame {frame.number + 1} runs along other axes than the volume"


def _add_mask(mask: NDArray[np.bool_], expected: NDArray[np.bool_], ruler: Ruler, target: Placed) -> None:
    count = int(np.count_nonzero(mask))
    rows = float(np.arange(mask.shape[0]) @ np.count_nonzero(mask, axis=1))
    columns = float(np.arange(mask.shape[1]) @ np.count_nonzero(mask, axis=0))
    _add(target, ruler, count=count, shared=int(np.count_nonzero(mask & expected)), rows=rows, columns=columns)


def _add_labels(plane: LabelPlane, expected: LabelPlane, ruler: Ruler, placed: dict[int, Placed]) -> Iterator[str]:
    """Count every number of a label map at once; a number that nobody described is a problem."""
    flat = plane.ravel()
    counts = np.bincount(flat)
    rows = np.bincount(flat, weights=np.repeat(np.arange(float(plane.shape[0])), plane.shape[1]))
    columns = np.bincount(flat, weights=np.tile(np.arange(float(plane.shape[1])), plane.shape[0]))
    shared = np.bincount(flat[flat == expected.ravel()], minlength=len(counts))
    for number in np.flatnonzero(counts).tolist():
        if number in placed:
            _add(
                placed[number], ruler, count=int(counts[number]), shared=int(shared[number]),
                rows=float(rows[number]), columns=float(columns[number]),
            )  # fmt: skip
        elif number:
            yield f"the label map holds {number}, which is no segment"


def _add(target: Placed, ruler: Ruler, *, count: int, shared: int, rows: float, columns: float) -> None:
    target.voxels += count
    target.shared += shared
    target.sum_of_places += count * ruler.origin + rows * ruler.row_step + columns * ruler.column_step
    target.volume += count * ruler.voxel_size


def _expected(finding: Segmentation, conclusion: Conclusion) -> dict[int, tuple[int, Vector]]:
    """Voxel count and centroid (LPS mm, else index) of each segment, from the model's label map."""
    count = len(finding.segments) + 1
    voxels = np.zeros(count, dtype=np.int64)
    sums = np.zeros((count, 3))
    height, width = finding.labels.shape[1:]
    rows, columns = np.repeat(np.arange(float(height)), width), np.tile(np.arange(float(width)), height)
    for index, plane in enumerate(finding.labels):
        flat = plane.ravel()
        here = np.bincount(flat, minlength=count)[:count]
        voxels += here
        sums[:, 0] += here * index
        sums[:, 1] += np.bincount(flat, weights=rows, minlength=count)[:count]
        sums[:, 2] += np.bincount(flat, weights=columns, minlength=count)[:count]
    found = {}
    for segment in finding.segments:
        own = list(segment.numbers)
        size = int(voxels[own].sum())
        centroid = sums[own].sum(axis=0) / max(size, 1)
        if conclusion.volume.in_patient_space:
            centroid = conclusion.volume.geometry.to_patient_mm(centroid[None])[0]
        found[segment.number] = size, centroid
    return found
