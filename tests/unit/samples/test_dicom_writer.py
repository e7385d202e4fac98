"""Converted series: geometry, values and identity, read back from disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from worker.samples.dicom_writer import Header, uid, write_series
from worker.samples.grids import Grid


def a_header(modality: str = "CT") -> Header:
    return Header("a-sample", modality, "CHEST", "STUDY", "SERIES", "Converted from a test")


def a_grid() -> Grid:
    """3 slices of 4 x 5; rows run toward Anterior and slices toward the Feet, as no viewer expects."""
    affine = np.array([[0, 0, 0.5, -10], [0, -0.75, 0, 20], [-2.5, 0, 0, 30], [0, 0, 0, 1.0]])
    return Grid(np.arange(60).reshape(3, 4, 5) - 30.4, affine)


def written(folder: Path, header: Header, grid: Grid | None = None) -> list[pydicom.Dataset]:
    write_series(grid or a_grid(), header, folder)
    return [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]


def test_every_voxel_is_where_the_source_had_it(tmp_path: Path) -> None:
    source = a_grid()
    expected = {
        round(float(source.values[index])): tuple((source.affine_lps @ [*index, 1])[:3])
        for index in np.ndindex(source.values.shape)
    }
    seen = {}
    for dataset in written(tmp_path, a_header()):
        hu = dataset.pixel_array * dataset.RescaleSlope + dataset.RescaleIntercept
        along_columns, along_rows = np.reshape(dataset.ImageOrientationPatient, (2, 3))
        row_mm, column_mm = dataset.PixelSpacing
        for row, column in np.ndindex(hu.shape):  # PS3.3 C.7.6.2.1.1
            place = dataset.ImagePositionPatient + along_columns * column_mm * column + along_rows * row_mm * row
            seen[int(hu[row, column])] = tuple(np.asarray(place, float))
    assert seen.keys() == expected.keys()
    for value, place in expected.items():
        np.testing.assert_allclose(seen[value], place, atol=1e-5)


def test_slices_are_numbered_from_foot_to_head_and_stand_upright(tmp_path: Path) -> None:
    datasets = written(tmp_path, a_header())
    assert [d.InstanceNumber for d in datasets] == [1, 2, 3]
    assert [float(d.ImagePositionPatient[2]) for d in datasets] == [25.0, 27.5, 30.0]
    assert all(list(d.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0] for d in datasets)
    assert {float(d.SliceThickness) for d in datasets} == {2.5}


def test_uids_are_stable_and_of_one_study(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    one, two = written(first, a_header()), written(second, a_header())
    assert [d.SOPInstanceUID for d in one] == [d.SOPInstanceUID for d in two]
    assert len({d.SOPInstanceUID for d in one}) == 3
    assert len({(d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID) for d in one}) == 1
    assert uid("a-sample", "study") != uid("another-sample", "study")
    assert all(pydicom.uid.UID(d.SOPInstanceUID).is_valid and d.SOPInstanceUID.startswith("2.25.") for d in one)


def test_mr_keeps_values_and_has_what_an_mr_image_must_have(tmp_path: Path) -> None:
    grid = Grid(np.arange(60).reshape(3, 4, 5), a_grid().affine_lps)
    dataset = written(tmp_path, a_header("MR"), grid)[0]
    assert dataset.SOPClassUID == pydicom.uid.MRImageStorage
    assert "RescaleIntercept" not in dataset
    assert (dataset.ScanningSequence, dataset.SequenceVariant) == ("SE", "NONE")
    # The foot end is the source's last slice; its rows are turned toward Posterior.
    np.testing.assert_array_equal(dataset.pixel_array, grid.values[2, ::-1])


def test_values_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    grid = Grid(np.full((1, 2, 2), 40_000), a_grid().affine_lps)
    with pytest.raises(ValueError, match="do not fit"):
        write_series(grid, a_header(), tmp_path)


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("agent", [None, "UNSPECIFIED"])
def test_dciodvfy_has_nothing_to_say(tmp_path: Path, modality: str, agent: str | None) -> None:
    header = Header("a-sample", modality, "CHEST", "STUDY", "SERIES", "Converted from a test", agent)
    write_series(a_grid(), header, tmp_path)
    validator = Path(sys.executable).parent / "dciodvfy"  # of the package dicom3tools
    done = subprocess.run([validator, tmp_path / "0001.dcm"], capture_output=True, text=True, check=False)
    assert (done.stdout + done.stderr).split() == [f"{modality}Image"]
    assert done.returncode == 0
