"""Sample studies as volumes, read with pydicom alone: these tests are about inference, not about decoding."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pydicom

from worker.domain.study import FrameOfReferenceUID, SeriesInstanceUID, SOPInstanceUID
from worker.domain.volume import Geometry, SliceRef, Volume
from worker.samples import fetch

CACHE = Path(os.environ.get("OVERREAD_SAMPLES", "~/.cache/overread/samples")).expanduser()


@functools.cache
def sample_volume(name: str, cache: Path = CACHE) -> Volume:
    """A sample in modality values, sorted along the slice normal. Read once for all tests: nobody can change it."""
    folder = fetch(name, cache)
    slices = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    row, column = (
        np.array(slices[0].ImageOrientationPatient[:3], float),
        np.array(slices[0].ImageOrientationPatient[3:], float),
    )
    normal = np.cross(row, column)
    slices.sort(key=lambda one: float(np.dot(normal, np.array(one.ImagePositionPatient, float))))
    first, last = (np.array(one.ImagePositionPatient, float) for one in (slices[0], slices[-1]))
    affine = np.eye(4)
    affine[:3, 0] = (last - first) / (len(slices) - 1)
    affine[:3, 1] = column * float(slices[0].PixelSpacing[0])
    affine[:3, 2] = row * float(slices[0].PixelSpacing[1])
    affine[:3, 3] = first
    voxels = np.stack(
        [one.pixel_array * float(one.get("RescaleSlope", 1)) + float(one.get("RescaleIntercept", 0)) for one in slices]
    ).astype(np.float32)
    voxels.flags.writeable = False
    return Volume(
        voxels=voxels,
        geometry=Geometry(shape=voxels.shape, affine_lps=affine),
        slices=tuple(SliceRef(SOPInstanceUID(one.SOPInstanceUID)) for one in slices),
        modality=slices[0].Modality,
        series_instance_uid=SeriesInstanceUID(slices[0].SeriesInstanceUID or "2.25.1"),
        frame_of_reference_uid=FrameOfReferenceUID(slices[0].FrameOfReferenceUID),
    )
