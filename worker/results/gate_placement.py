"""Where the frames of a SEG lie and which voxels they mark, from the encoded bytes alone (PS3.3 C.7.6.16, C.8.20.2).

Nothing of the encoding library is used, so that its defects cannot cancel themselves out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.domain.findings import Conclusion, Segmentation
from worker.domain.result import Check
from worker.results.gate_reading import checked, code_of

SAME_DIRECTION = 2e-3
"""Largest difference of direction cosines between frame and image, or frame and volume."""


@dataclass(slots=True)
class Placed:
    """What was found of one segment: voxels, their overlap with the model's mask, and sums for the centroid."""

    voxels: int = 0
    shared: int = 0
    volume_mm3: float = 0.0
    sum_lps_mm: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    slices: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a SEG: which segment, from which image, and where (directions per pixel step, in mm)."""

    number: int
    segment: int
    source: tuple[str, int | None]
    source_class: str
    purpose: str
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing: NDArray[np.float64]

    @property
    def row_step(self) -> NDArray[np.float64]:
        """From one row to the next: down a column."""
        step: NDArray[np.float64] = self.orientation[3:] * self.spacing[0]
        return step

    @property
    def column_step(self) -> NDArray[np.float64]:
        """From one column to the next: along a row."""
        step: NDArray[np.float64] = self.orientation[:3] * self.spacing[1]
        return step


def tolerance_mm(conclusion: Conclusion) -> float:
    """How far the grid of a volume may be from the planes that it stands for: rounding of positions and directions."""
    geometry = conclusion.volume.geometry
    slice_mm, row_mm, column_mm = geometry.spacing_mm
    extent_mm = float(np.hypot(geometry.shape[1] * row_mm, geometry.shape[2] * column_mm))
    return 0.1 + 0.03 * slice_mm + SAME_DIRECTION * extent_mm / 2


def frames_of(ds: Dataset) -> Iterator[Frame]:
    """Read segment, source and place of every frame: from its own functional groups, else from the shared ones."""
    shared = ds.SharedFunctionalGroupsSequence[0]
    for number, own in enumerate(ds.PerFrameFunctionalGroupsSequence):

        def group(keyword: str, own: Dataset = own) -> Dataset:
            item: Dataset = (own if keyword in own else shared)[keyword].value[0]
            return item

        image = group("DerivationImageSequence").SourceImageSequence[0]
        frame_number = image.get("ReferencedFrameNumber")
        yield Frame(
            number=number,
            segment=int(group("SegmentIdentificationSequence").ReferencedSegmentNumber),
            source=(str(image.ReferencedSOPInstanceUID), None if frame_number is None else int(frame_number)),
            source_class=str(image.ReferencedSOPClassUID),
            purpose=code_of(image, "PurposeOfReferenceCodeSequence")[0],
            position=np.array([float(v) for v in group("PlanePositionSequence").ImagePositionPatient]),
            orientation=np.array([float(v) for v in group("PlaneOrientationSequence").ImageOrientationPatient]),
            spacing=np.array([float(v) for v in group("PixelMeasuresSequence").PixelSpacing]),
        )


def plane_of(
    image: Dataset, frame_number: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Position, orientation and pixel spacing of an image, or of a frame of it."""
    place = orientation = measures = image
    if frame_number is not None:
        own = image.PerFrameFunctionalGroupsSequence[frame_number - 1]
        shared = (image.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        place, orientation, measures = (
            (own if keyword in own else shared)[keyword].value[0]
            for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
        )
    return (
        np.array([float(v) for v in place.ImagePositionPatient]),
        np.array([float(v) for v in orientation.ImageOrientationPatient]),
        np.array([float(v) for v in measures.PixelSpacing]),
    )


def geometry_checks(ds: Dataset, finding: Segmentation, conclusion: Conclusion) -> Iterator[Check]:
    """Yield one check of the placement, and one of volume, centroid and overlap for every segment."""
    placed: dict[int, Placed] = {segment.number: Placed() for segment in finding.segments}
    placement = checked("seg-placement", "every frame is on its slice", lambda: _place(ds, finding, conclusion, placed))
    yield placement
    geometry, limit_mm = conclusion.volume.geometry, tolerance_mm(conclusion)
    expected = _expected(finding, conclusion)
    for segment in finding.segments:
        found, (voxels, centroid) = placed[segment.number], expected[segment.number]
        dice = 2 * found.shared / max(found.voxels + voxels, 1)
        off_mm = float(np.linalg.norm(found.sum_lps_mm / max(found.voxels, 1) - centroid))
        found_ml, expected_ml = found.volume_mm3 / 1000, voxels * geometry.voxel_volume_mm3 / 1000
        same_volume = abs(found_ml - expected_ml) <= 1e-3 * expected_ml
        yield Check(
            f"segment-{segment.number}-geometry",
            dice == 1.0 and off_mm <= limit_mm and same_volume,
            f"volume {found_ml:.4g} mL (expected {expected_ml:.4g}), centroid {off_mm:.3f} mm off "
            f"(limit {limit_mm:.2f}), Dice {dice:.6f} (expected 1)",
        )


def _place(ds: Dataset, finding: Segmentation, conclusion: Conclusion, placed: dict[int, Placed]) -> Iterator[str]:
    """Unpack every frame and put it to where its own plane position says."""
    volume = conclusion.volume
    affine, limit_mm = volume.geometry.affine_lps, tolerance_mm(conclusion)
    slices = {(str(ref.sop_instance_uid), ref.frame_number): k for k, ref in enumerate(volume.slices)}
    pixels = np.frombuffer(ds.PixelData, dtype=np.uint8)
    for frame in frames_of(ds):
        index = slices.get(frame.source)
        if index is None or frame.segment not in placed:
            yield f"frame {frame.number + 1} belongs to no analysed slice or no segment"
            continue
        target = placed[frame.segment]
        if index in target.slices:
            yield f"segment {frame.segment} has two frames on slice {index + 1}"
        target.slices.add(index)
        corner = affine @ np.array([index, 0, 0, 1.0])
        off_mm = float(np.linalg.norm(frame.position - corner[:3]))
        if off_mm > limit_mm:
            yield f"frame {frame.number + 1} lies {off_mm:.3f} mm off slice {index + 1} of the volume"
        steps = np.concatenate([frame.row_step - affine[:3, 1], frame.column_step - affine[:3, 2]])
        if np.abs(steps).max() > SAME_DIRECTION * float(frame.spacing.max()):
            yield f"frame {frame.number + 1} runs along other axes than the volume"
        _add(frame, _unpack(pixels, frame.number, int(ds.Rows), int(ds.Columns)), finding.labels[index], affine, target)


def _unpack(pixels: NDArray[np.uint8], number: int, rows: int, columns: int) -> NDArray[np.bool_]:
    """Bits of one frame: packed without gaps between frames, the first pixel in the lowest bit (PS3.5 8.1.1)."""
    first, length = number * rows * columns, rows * columns
    begin, end = first // 8, (first + length + 7) // 8
    bits = np.unpackbits(pixels[begin:end], bitorder="little")[first - begin * 8 :][:length]
    if bits.size < length:
        raise ValueError("pixel data ends early")
    mask: NDArray[np.bool_] = bits.reshape(rows, columns).astype(np.bool_)
    return mask


def _add(
    frame: Frame,
    mask: NDArray[np.bool_],
    labels: NDArray[np.uint8] | NDArray[np.uint16],
    affine: NDArray[np.float64],
    target: Placed,
) -> None:
    count = int(np.count_nonzero(mask))
    rows = float(np.arange(mask.shape[0]) @ np.count_nonzero(mask, axis=1))
    columns = float(np.arange(mask.shape[1]) @ np.count_nonzero(mask, axis=0))
    target.voxels += count
    target.shared += int(np.count_nonzero(mask & (labels == frame.segment)))
    target.sum_lps_mm += count * frame.position + rows * frame.row_step + columns * frame.column_step
    # The distance of slices is not in a frame: it is the volume's, the area is the frame's own.
    area = np.cross(frame.row_step, frame.column_step)
    target.volume_mm3 += count * abs(float(area @ affine[:3, 0]))


def _expected(finding: Segmentation, conclusion: Conclusion) -> dict[int, tuple[int, NDArray[np.float64]]]:
    """Voxel count and centroid (LPS mm) of each segment, from the model's label map."""
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
    centroids = conclusion.volume.geometry.to_patient_mm(sums / np.maximum(voxels, 1)[:, None])
    return {number: (int(voxels[number]), centroids[number]) for number in range(1, count)}
