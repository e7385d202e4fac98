"""An independent reader (SimpleITK on GDCM) sees the same voxels in the same places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from pydicom.data import get_testdata_file
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from tests.builders import AXIAL, CORONAL, SAGITTAL, a_ct_phantom, a_ct_series, an_mr_series
from tests.unit.decode.reading import frames_of, volume_of

OBLIQUE = (0.8, 0.6, 0.0, 0.36, -0.48, 0.8)
HU = a_ct_phantom(slices=7, rows=32, columns=40)


def read_by_itk(folder: Path) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


@pytest.mark.parametrize(
    "orientation", [AXIAL, SAGITTAL, CORONAL, OBLIQUE, (-1, 0, 0, 0, -1, 0), (1, 0, 0, 0, -1, 0)], ids=str
)
def test_series(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    paths = a_ct_series(tmp_path, hu=HU, orientation=orientation, reverse_instance_numbers=True)
    ours, theirs = volume_of(paths), read_by_itk(tmp_path)
    assert np.array_equal(ours.voxels, SimpleITK.GetArrayFromImage(theirs))
    for k, i, j in [(0, 0, 0), (6, 0, 0), (0, 31, 0), (0, 0, 39), (3, 14, 22)]:
        expected = theirs.TransformIndexToPhysicalPoint((j, i, k))
        assert np.allclose(ours.geometry.to_patient_mm(np.array([k, i, j], dtype=float)), expected, atol=1e-4)


@pytest.mark.parametrize(
    "uid", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEG2000Lossless],
    ids=lambda uid: uid.keyword,
)  # fmt: skip
def test_transfer_syntaxes(tmp_path: Path, uid: str) -> None:
    paths = an_mr_series(tmp_path, slices=4, transfer_syntax_uid=uid)
    assert np.array_equal(volume_of(paths).voxels, SimpleITK.GetArrayFromImage(read_by_itk(tmp_path)))


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm",
     "MR_small_bigendian.dcm", "JPEG2000.dcm", "image_dfl.dcm", "J2K_pixelrep_mismatch.dcm"],
)  # fmt: skip
def test_single_files(name: str) -> None:
    path = Path(str(get_testdata_file(name, download=False)))
    theirs = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    assert np.allclose(frames_of(path).values, theirs, rtol=1e-6)
