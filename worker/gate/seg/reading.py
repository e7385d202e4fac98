"""How the gate reads a SEG: where its frames lie and which pixels they mark (PS3.3 C.7.6.16, C.8.20.2; PS3.5 8.1.1).

Nothing of the encoding library is used, so that its defects cannot cancel themselves out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.domain.profile import SegmentEncoding
from worker.functional_groups.groups import FunctionalGroups
from worker.functional_groups.macros import PIXEL_MEASURES, PLANE_ORIENTATION, PLANE_POSITION
from worker.gate.reading import code_of

Vector = NDArray[np.float64]
LabelPlane = NDArray[np.uint8] | NDArray[np.uint16]

ENCODINGS = {
    "BINARY": SegmentEncoding.BINARY,
    "LABELMAP": SegmentEncoding.LABELMAP,
    "FRACTIONAL": SegmentEncoding.FRACTIONAL,
}
"""Values of Segmentation Type (0062,0001)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a SEG: which segment, from which image, and where (directions per pixel step, in mm).

    ``segment`` is None in a label map. ``position`` and ``orientation`` are None where the frame states no place in
    the patient, ``spacing`` (row, column) where it states none, nor ``between_slices_mm``.
    """

    number: int
    segment: int | None
    source: tuple[str, int | None]
    source_class: str
    purpose: str
    preserved: str
    position: Vector | None
    orientation: Vector | None
    spacing: Vector | None
    between_slices_mm: float | None


def frames_of(ds: Dataset) -> Iterator[Frame]:
    """Read segment, source and place of every frame: from its own functional groups, else from the shared ones."""
    shared = ds.SharedFunctionalGroupsSequence[0]
    for number, own in enumerate(ds.PerFrameFunctionalGroupsSequence):
        image = group_of(own, shared, "DerivationImageSequence").SourceImageSequence[0]
        frame_number = image.get("ReferencedFrameNumber")
        identification = group_of(own, shared, "SegmentIdentificationSequence")
        measures = group_of(own, shared, "PixelMeasuresSequence")
        between = measures.get("SpacingBetweenSlices")
        yield Frame(
            number=number,
            segment=int(identification.ReferencedSegmentNumber) if identification else None,
            source=(str(image.ReferencedSOPInstanceUID), None if frame_number is None else int(frame_number)),
            source_class=str(image.ReferencedSOPClassUID),
            purpose=code_of(image, "PurposeOfReferenceCodeSequence")[0],
            preserved=str(image.get("SpatialLocationsPreserved") or ""),
            position=_numbers(group_of(own, shared, "PlanePositionSequence"), "ImagePositionPatient", 3),
            orientation=_numbers(group_of(own, shared, "PlaneOrientationSequence"), "ImageOrientationPatient", 6),
            spacing=_numbers(measures, "PixelSpacing", 2),
            between_slices_mm=None if between is None else float(between),
        )


def group_of(own: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """Item of a functional group of a frame; an empty one when neither the frame nor all frames have it."""
    for groups in (own, shared):
        if groups.get(keyword):
            item: Dataset = groups[keyword].value[0]
            return item
    return Dataset()


def _numbers(item: Dataset, keyword: str, count: int) -> Vector | None:
    value = item.get(keyword)
    if value is None:
        return None
    numbers = np.array([float(v) for v in value])
    if numbers.shape != (count,):
        raise ValueError(f"{keyword} has {numbers.size} values")
    return numbers


def plane_of(image: Dataset, frame_number: int | None) -> tuple[Vector, Vector, Vector]:
    """Position, orientation and pixel spacing of an image in patient space, or of a frame of it."""
    place = orientation = measures = image
    if frame_number is not None:
        groups = FunctionalGroups(image)
        place, orientation, measures = (
            groups.speaker(keyword, frame_number - 1) for keyword in (PLANE_POSITION, PLANE_ORIENTATION, PIXEL_MEASURES)
        )
    return (
        np.array([float(v) for v in place.ImagePositionPatient]),
        np.array([float(v) for v in orientation.ImageOrientationPatient]),
        np.array([float(v) for v in measures.PixelSpacing]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class StoredFrames:
    """The uncompressed frames of a SEG as they stand in its bytes.

    ``occupied`` is the only value beside 0 in BINARY (1) and FRACTIONAL (Maximum Fractional Value); a label map has
    the numbers of its segments.
    """

    content: NDArray[np.uint8]
    rows: int
    columns: int
    bits: int
    occupied: int

    @classmethod
    def of(cls, ds: Dataset) -> StoredFrames:
        """Take them from a parsed data set; raises what absent attributes raise."""
        return cls(
            content=np.frombuffer(ds.PixelData, dtype=np.uint8),
            rows=int(ds.Rows),
            columns=int(ds.Columns),
            bits=int(ds.BitsAllocated),
            occupied=int(ds.MaximumFractionalValue) if ds.SegmentationType == "FRACTIONAL" else 1,
        )

    def mask(self, number: int) -> NDArray[np.bool_]:
        """Pixels of frame ``number`` (from 0) that are inside; ValueError on values between outside and inside."""
        plane = self._bits(number) if self.bits == 1 else self.labels(number)
        mask: NDArray[np.bool_] = plane == self.occupied
        if self.bits != 1 and np.count_nonzero(plane) != np.count_nonzero(mask):
            raise ValueError("fractional values of a decided mask")
        return mask

    def labels(self, number: int) -> LabelPlane:
        """Values of frame ``number`` (from 0)."""
        length = self.rows * self.columns * self.bits // 8
        plane = self.content[number * length : (number + 1) * length]
        if plane.size < length:
            raise ValueError("pixel data ends early")
        labels: LabelPlane = plane.view("<u2") if self.bits == 16 else plane
        return labels.reshape(self.rows, self.columns)

    def _bits(self, number: int) -> NDArray[np.uint8]:
        """Unpack one frame: packed without gaps between frames, the first pixel in the lowest bit (PS3.5 8.1.1)."""
        first, length = number * self.rows * self.columns, self.rows * self.columns
        begin, end = first // 8, (first + length + 7) // 8
        bits: NDArray[np.uint8] = np.unpackbits(self.content[begin:end], bitorder="little")[first - begin * 8 :][
            :length
        ]
        if bits.size < length:
            raise ValueError("pixel data ends early")
        return bits.reshape(self.rows, self.columns)
