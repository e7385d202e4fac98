"""The NIfTI reader, judged by SimpleITK (which reads NIfTI into LPS itself)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from worker.samples.errors import SourceFormatError
from worker.samples.nifti import read_nifti

# Columns of the direction are the file's axes in LPS: oblique, and left-handed as some scanners store it.
ANGLE = np.deg2rad(20)
OBLIQUE = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, -1.0]])


def a_nifti(path: Path, values: np.ndarray, direction: np.ndarray) -> Path:
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing((0.5, 0.75, 2.5))
    image.SetOrigin((-10, 20, -30))
    image.SetDirection(direction.ravel().tolist())
    SimpleITK.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64])
def test_values_and_places_agree_with_simpleitk(tmp_path: Path, suffix: str, dtype: type) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    path = a_nifti(tmp_path / f"a{suffix}", values, OBLIQUE)
    grid = read_nifti(path.read_bytes())
    judge = SimpleITK.ReadImage(str(path))
    np.testing.assert_array_equal(grid.values, values)
    for index in [(0, 0, 0), (1, 2, 3), (0, 2, 1)]:
        expected = judge.TransformIndexToPhysicalPoint(index[::-1])
        np.testing.assert_allclose((grid.affine_lps @ [*index, 1])[:3], expected, atol=1e-4)


def test_qform_is_used_where_there_is_no_sform(tmp_path: Path) -> None:
    path = a_nifti(tmp_path / "a.nii", np.zeros((2, 3, 4), np.int16), OBLIQUE)
    content = bytearray(path.read_bytes())
    by_sform = read_nifti(bytes(content)).affine_lps
    content[254:256] = b"\0\0"  # sform_code
    content[280:328] = bytes(48)  # the sform itself, so that it cannot help
    np.testing.assert_allclose(read_nifti(bytes(content)).affine_lps, by_sform, atol=1e-4)


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    content = bytearray(a_nifti(tmp_path / "a.nii", values, np.eye(3)).read_bytes())
    content[112:120] = np.array([2.0, -1024.0], "<f4").tobytes()
    np.testing.assert_array_equal(read_nifti(bytes(content)).values, values * 2.0 - 1024)


@pytest.mark.parametrize(
    ("start", "patch", "complaint"),
    [
        (0, b"\0\0\0\0", "not a NIfTI"),
        (70, b"\x80\0", "data type 128"),  # RGB
        (252, b"\0\0\0\0", "where it lies"),  # no qform, no sform
        (40, b"\2\0", "three axes"),
        (42, b"\xff\x0f", "shorter"),  # 4095 columns
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, start: int, patch: bytes, complaint: str) -> None:
    content = bytearray(a_nifti(tmp_path / "a.nii", np.zeros((2, 3, 4), np.int16), np.eye(3)).read_bytes())
    content[start : start + len(patch)] = patch
    with pytest.raises(SourceFormatError, match=complaint):
        read_nifti(bytes(content))


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    content = a_nifti(tmp_path / "a.nii.gz", np.zeros((2, 3, 4), np.int16), np.eye(3)).read_bytes()
    with pytest.raises(SourceFormatError, match="gzip"):
        read_nifti(content[:-20])
