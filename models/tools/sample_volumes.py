"""Samples of Overread as the volumes that a package is given, for evaluations; read with pydicom alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom

from worker.domain.study import FrameOfReferenceUID, SeriesInstanceUID, SOPInstanceUID
from worker.domain.volume import Geometry, SliceRef, Space, Volume
from worker.samples import fetch
from worker.samples.grids import Grid


def radiograph(name: str, cache: Path) -> Volume:
    """A sample of one radiograph, bright where dense, without pixel spacing."""
    (path,) = sorted(fetch(name, cache).glob("*.dcm"))
    one = pydicom.dcmread(path)
    values = one.pixel_array.astype(np.float32)[None]
    if one.PhotometricInterpretation == "MONOCHROME1":
        values = values.max() - values
    # (slice, row, column) to (column, row, slice) in pixels, as the decoder gives it.
    affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
    return Volume(
        voxels=values,
        geometry=Geometry(shape=values.shape, affine_lps=affine),
        slices=(SliceRef(SOPInstanceUID(one.SOPInstanceUID)),),
        modality=one.Modality,
        series_instance_uid=SeriesInstanceUID(one.SeriesInstanceUID),
        frame_of_reference_uid=None,
        space=Space.PIXELS,
    )


def ct_volume(ct: Grid) -> Volume:
    """A CT in HU, with UIDs that mean nothing."""
    return Volume(
        voxels=ct.values.astype(np.float32),
        geometry=Geometry(shape=ct.values.shape, affine_lps=ct.affine_lps),
        slices=tuple(SliceRef(SOPInstanceUID(f"2.25.{index + 1}")) for index in range(len(ct.values))),
        modality="CT",
        series_instance_uid=SeriesInstanceUID("2.25.1"),
        frame_of_reference_uid=FrameOfReferenceUID("2.25.2"),
    )
