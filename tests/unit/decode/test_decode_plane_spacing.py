"""Where the pixel spacing of a projection or an ultrasound image comes from, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.builders import write
from tests.picture_builders import a_computed_radiograph, a_radiograph, a_region, an_ultrasound
from tests.unit.decode.reading import volume_of
from worker.decode.planes.plane_spacing import PlaneSpacing, radiographic_spacing, ultrasound_spacing
from worker.domain.volume import Space

BY_OBJECT = "the pixel spacing is calibrated by an object of known size: lengths hold at the depth of that object"
BY_GEOMETRY = "the pixel spacing is corrected for magnification: lengths hold at one depth of the patient"
NO_CENTIMETRES = "the region of the ultrasound image is not calibrated in centimetres"
AT_DETECTOR = "the pixel spacing is that at the detector: lengths in the patient are smaller"
OF_FILM = "the pixel spacing is that of the scanned film: lengths in the patient are smaller"
UNSAID = "the pixel spacing may be the one at the detector: the image does not say (PS3.3 10.7.1.1)"
CORRECTED = "the pixel spacing is corrected or calibrated, and the image does not say how"
UNKNOWN = "the pixel spacing is not known: nothing is stated in millimetres"


def said(**attributes: object) -> PlaneSpacing:
    texts = {
        name: tuple(str(one) for one in value) if isinstance(value, list) else (str(value),)
        for name, value in attributes.items()
    }
    return radiographic_spacing(texts)


@pytest.mark.parametrize(
    ("attributes", "expected", "note"),
    [
        # calibrated
        ({"PixelSpacing": [0.1, 0.2], "PixelSpacingCalibrationType": "FIDUCIAL", "ImagerPixelSpacing": [0.15, 0.3]},
         (0.1, 0.2), BY_OBJECT),
        ({"PixelSpacing": [0.1, 0.2], "PixelSpacingCalibrationType": "GEOMETRY", "ImagerPixelSpacing": [0.1, 0.2]},
         (0.1, 0.2), BY_GEOMETRY),
        ({"PixelSpacing": [0.1, 0.2], "ImagerPixelSpacing": [0.15, 0.3]}, (0.1, 0.2), CORRECTED),
        ({"PixelSpacing": [0.1, 0.2], "NominalScannedPixelSpacing": [0.15, 0.3]}, (0.1, 0.2), CORRECTED),
        ({"PixelSpacing": [0.1, 0.2]}, (0.1, 0.2), UNSAID),
        # a correction is not made twice
        ({"PixelSpacing": [0.1, 0.2], "PixelSpacingCalibrationType": "GEOMETRY", "ImagerPixelSpacing": [0.15, 0.3],
          "EstimatedRadiographicMagnificationFactor": 1.5}, (0.1, 0.2),
         BY_GEOMETRY),
        # at the detector
        ({"ImagerPixelSpacing": [0.15, 0.3]}, (0.15, 0.3), AT_DETECTOR),
        ({"PixelSpacing": [0.15, 0.3], "ImagerPixelSpacing": ["0.150", "0.300"]}, (0.15, 0.3), AT_DETECTOR),
        ({"ImagerPixelSpacing": [0.15, 0.3], "EstimatedRadiographicMagnificationFactor": 1.5}, (0.1, 0.2),
         "the pixel spacing is that at the detector, divided by the estimated magnification of 1.5"),
        ({"PixelSpacing": [0.15, 0.3], "ImagerPixelSpacing": [0.15, 0.3],
          "EstimatedRadiographicMagnificationFactor": 1.5}, (0.1, 0.2),
         "the pixel spacing is that at the detector, divided by the estimated magnification of 1.5"),
        ({"ImagerPixelSpacing": [0.15, 0.3], "NominalScannedPixelSpacing": [1, 1]}, (0.15, 0.3), AT_DETECTOR),
        # film
        ({"NominalScannedPixelSpacing": [0.175, 0.175]}, (0.175, 0.175), OF_FILM),
        ({"PixelSpacing": [0.175, 0.175], "NominalScannedPixelSpacing": [0.175, 0.175]}, (0.175, 0.175), OF_FILM),
        # none
        ({}, None, UNKNOWN),
    ],
)  # fmt: skip
def test_sources(attributes: dict[str, object], expected: tuple[float, float] | None, note: str) -> None:
    found = said(**attributes)
    assert found.row_column_mm == (None if expected is None else pytest.approx(expected))
    assert note in found.notes


@pytest.mark.parametrize(
    "value", [[0, 0], [0.1, 0], [-0.1, 0.1], ["nan", "0.1"], ["inf", "0.1"], ["wide", "0.1"], [0.1], [0.1, 0.1, 0.1]],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"])
def test_what_is_no_distance_is_not_used_and_said(keyword: str, value: list[object]) -> None:
    found = said(**{keyword: value})
    assert found.row_column_mm is None
    assert found.notes == (f"{keyword} is not two positive numbers and was not used", UNKNOWN)


def test_the_next_source_stands_in_for_one_that_is_no_distance() -> None:
    found = said(PixelSpacing=[0, 0], ImagerPixelSpacing=[0.2, 0.2])
    assert found.row_column_mm == (0.2, 0.2)
    assert found.notes == ("PixelSpacing is not two positive numbers and was not used", AT_DETECTOR)


@pytest.mark.parametrize("factor", [0, -1.2, 0.9, 150, "nan", "large"])
def test_a_magnification_that_is_none_is_not_used_and_said(factor: object) -> None:
    found = said(ImagerPixelSpacing=[0.2, 0.2], EstimatedRadiographicMagnificationFactor=factor)
    assert found.row_column_mm == (0.2, 0.2)
    assert found.notes == ("the estimated magnification is none and was not used", AT_DETECTOR)


def ultrasound(*regions: Dataset, rows: int = 100, columns: int = 200) -> PlaneSpacing:
    ds = Dataset()
    ds.SequenceOfUltrasoundRegions = list(regions)
    return ultrasound_spacing({"Rows": (str(rows),), "Columns": (str(columns),)}, ds)


WHOLE = (0, 0, 199, 99)


def test_the_region_of_2d_tissue_gives_the_spacing() -> None:
    found = ultrasound(a_region(bounds=(10, 5, 189, 94), delta_cm=(0.03, 0.025)))
    assert found.row_column_mm == pytest.approx((0.3, 0.25))
    assert found.notes == (
        "the pixel spacing is that of the ultrasound region: it holds in columns 10 to 189 and rows 5 to 94",
    )


def test_an_axis_may_run_backwards() -> None:
    assert ultrasound(a_region(bounds=WHOLE, delta_cm=(-0.03, 0.025))).row_column_mm == pytest.approx((0.3, 0.25))


@pytest.mark.parametrize(
    "others",
    [[a_region(bounds=(0, 80, 199, 99), spatial_format=2)],
     [a_region(bounds=(0, 80, 199, 99), spatial_format=3, units=4)],
     [a_region(bounds=(20, 20, 60, 60), data_type=2)]],
    ids=["m-mode", "doppler", "colour flow"],
)  # fmt: skip
def test_other_regions_do_not_matter(others: list[Dataset]) -> None:
    assert ultrasound(a_region(bounds=(0, 0, 199, 79)), *others).row_column_mm == pytest.approx((0.3, 0.25))


@pytest.mark.parametrize(
    ("regions", "note"),
    [
        ([], "the ultrasound image has no calibrated region of 2D tissue"),
        ([a_region(bounds=WHOLE, spatial_format=3)], "the ultrasound image has no calibrated region of 2D tissue"),
        ([a_region(bounds=WHOLE, data_type=3)], "the ultrasound image has no calibrated region of 2D tissue"),
        ([a_region(bounds=(0, 0, 99, 99)), a_region(bounds=(100, 0, 199, 99))],
         "the ultrasound image has 2 regions of 2D tissue, and not one"),
        ([a_region(bounds=(0, 0, 199, 48))], "the calibrated region of the ultrasound image covers only 49% of it"),
        ([a_region(bounds=(199, 99, 0, 0))], "the calibrated region of the ultrasound image covers only 0% of it"),
        ([a_region(bounds=(300, 300, 400, 400))], "the calibrated region of the ultrasound image covers only 0% of it"),
        ([a_region(bounds=WHOLE, units=4)], NO_CENTIMETRES),
        ([a_region(bounds=WHOLE, units=0)], NO_CENTIMETRES),
        ([a_region(bounds=WHOLE, delta_cm=(0.0, 0.03))], NO_CENTIMETRES),
        ([a_region(bounds=WHOLE, delta_cm=(float("nan"), 0.03))],
         NO_CENTIMETRES),
        ([a_region(bounds=WHOLE, delta_cm=(float("inf"), 0.03))],
         NO_CENTIMETRES),
        ([Dataset()], "the ultrasound image has no calibrated region of 2D tissue"),
    ],
)  # fmt: skip
def test_otherwise_ultrasound_counts_pixels(regions: list[Dataset], note: str) -> None:
    found = ultrasound(*regions)
    assert found.row_column_mm is None
    assert found.notes == (note, UNKNOWN)


def test_a_region_that_reaches_beyond_the_frame_ends_with_it() -> None:
    found = ultrasound(a_region(bounds=(10, 0, 4000, 4000)))
    assert found.row_column_mm == pytest.approx((0.3, 0.25))
    assert "columns 10 to 199 and rows 0 to 99" in found.notes[0]


def test_units_that_differ_between_the_axes_are_none() -> None:
    region = a_region(bounds=WHOLE)
    region.PhysicalUnitsYDirection = 4
    assert ultrasound(region).row_column_mm is None


def test_pixel_spacing_is_no_attribute_of_ultrasound(tmp_path: Path) -> None:
    ds = an_ultrasound(regions=[], attributes={"PixelSpacing": [0.1, 0.1]})
    assert volume_of([write(ds, tmp_path / "a.dcm")]).space is Space.PIXELS


def test_ultrasound_regions_of_a_file(tmp_path: Path) -> None:
    path = write(an_ultrasound(), tmp_path / "a.dcm")
    assert dcmread(path).SequenceOfUltrasoundRegions[0].PhysicalDeltaX == 0.025
    volume = volume_of([path])
    assert volume.space is Space.PLANE
    assert volume.geometry.spacing_mm == pytest.approx((1.0, 0.3, 0.25))


def test_radiographs_of_files(tmp_path: Path) -> None:
    magnified = a_radiograph(
        imager_spacing_mm=(0.2, 0.25), attributes={"EstimatedRadiographicMagnificationFactor": 1.25}
    )
    volume = volume_of([write(magnified, tmp_path / "a.dcm")])
    assert volume.geometry.spacing_mm == pytest.approx((1.0, 0.16, 0.2))
    assert "the pixel spacing is that at the detector, divided by the estimated magnification of 1.25" in volume.notes


def test_zero_in_a_file_counts_pixels(tmp_path: Path) -> None:
    ds = a_computed_radiograph(imager_spacing_mm=None, attributes={"PixelSpacing": ["0.000", "0.000"]})
    volume = volume_of([write(ds, tmp_path / "a.dcm")])
    assert volume.space is Space.PIXELS
    assert volume.geometry.spacing_mm == (1.0, 1.0, 1.0)
