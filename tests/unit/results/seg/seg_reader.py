"""A reader of segmentations written from the standard alone: pydicom for the attributes, nothing of this project.

It says where every voxel of a segment is: in patient coordinates from the plane position of its frame (PS3.3
C.7.6.2.1.1), and on the images from the references of its frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset


@dataclass
class Found:
    """Voxels of one segment. ``lps_mm`` (n, 3) is None without a place in the patient.

    ``on_images`` are (SOP Instance UID, frame number or None, row, column).
    """

    lps_mm: NDArray[np.float64] | None
    on_images: set[tuple[str, int | None, int, int]]


def read(content: bytes) -> dict[int, Found]:
    """Segments by number, without the background of a label map."""
    ds = dcmread(BytesIO(content))
    places: dict[int, list[NDArray[np.float64]]] = {}
    on_images: dict[int, set[tuple[str, int | None, int, int]]] = {}
    shared = ds.SharedFunctionalGroupsSequence[0]
    for number, groups in enumerate(ds.PerFrameFunctionalGroupsSequence):
        plane = stored_frame(ds, number)
        for value in np.unique(plane[plane != 0]):
            index = np.argwhere(plane == value)
            if ds.SegmentationType == "LABELMAP":
                segment = int(value)
            else:
                segment = int(one(groups, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
            image = one(groups, shared, "DerivationImageSequence").SourceImageSequence[0]
            frame = image.get("ReferencedFrameNumber")
            on_images.setdefault(segment, set()).update(
                (str(image.ReferencedSOPInstanceUID), None if frame is None else int(frame), int(r), int(c))
                for r, c in index
            )
            if "PlanePositionSequence" in groups:
                places.setdefault(segment, []).append(patient_coordinates(groups, shared, index))
    return {
        segment: Found(np.concatenate(places[segment]) if segment in places else None, on_images[segment])
        for segment in on_images
    }


def stored_frame(ds: Dataset, number: int) -> NDArray[np.int64]:
    """Values of a frame: packed bits, the first pixel lowest (PS3.5 8.2), else little endian words."""
    rows, columns, bits = int(ds.Rows), int(ds.Columns), int(ds.BitsAllocated)
    pixels = rows * columns
    if bits == 1:
        stream = np.unpackbits(np.frombuffer(ds.PixelData, np.uint8), bitorder="little")
    else:
        stream = np.frombuffer(ds.PixelData, {8: "u1", 16: "<u2"}[bits])
    return stream[number * pixels : (number + 1) * pixels].astype(np.int64).reshape(rows, columns)


def one(groups: Dataset, shared: Dataset, keyword: str) -> Dataset:
    return (groups if keyword in groups else shared)[keyword].value[0]


def patient_coordinates(groups: Dataset, shared: Dataset, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """The equation of C.7.6.2.1.1: P = S + X * column spacing * column index + Y * row spacing * row index."""
    start = np.array(one(groups, shared, "PlanePositionSequence").ImagePositionPatient, float)
    cosines = np.array(one(groups, shared, "PlaneOrientationSequence").ImageOrientationPatient, float)
    between_rows, between_columns = (float(v) for v in one(groups, shared, "PixelMeasuresSequence").PixelSpacing)
    rows, columns = index[:, :1].astype(float), index[:, 1:].astype(float)
    return start + columns * between_columns * cosines[:3] + rows * between_rows * cosines[3:]
