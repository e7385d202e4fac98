"""Guards: what they measure, what they refuse, and what they say."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.inference.tiny_models import a_volume
from worker.domain.errors import NotApplicableError
from worker.domain.volume import Volume
from worker.inference.entries.contract import Bounds
from worker.inference.guards.guards import (
    Extent,
    NotConstant,
    SegmentRatio,
    SegmentVolume,
    ValueRange,
    VolumeOfRangeInsideBody,
    extent_mm,
    inside_body_ml,
)
from worker.inference.image import Image
from worker.inference.steps.orient import reorient

LUNG = VolumeOfRangeInsideBody(
    guard="volume_of_range_inside_body", lower=-950.0, upper=-500.0, min_ml=100.0, what="lung-density tissue"
)


def a_body(*, air_inside: bool, spacing_mm: tuple[float, float, float] = (10.0, 2.0, 2.0)) -> Volume:
    """A block of tissue in a room, on a soft table; inside it two boxes of 10 x 20 x 40 pixels of lung, or none."""
    voxels = np.full((10, 100, 100), -1000.0, np.float32)
    voxels[:, 20:80, 10:90] = 40.0
    voxels[:, 85:95, :] = -800.0  # a mattress has the density of lung, but lies outside
    if air_inside:
        voxels[:, 40:60, 15:45] = -800.0
        voxels[:, 40:60, 55:85] = -800.0
    return a_volume(voxels, spacing_mm=spacing_mm)


def refused(guard: object, given: object) -> NotApplicableError:
    with pytest.raises(NotApplicableError) as caught:
        guard.check(given)  # type: ignore[attr-defined]
    assert caught.value.next_step
    return caught.value


def test_lung_inside_the_body_is_measured_and_the_mattress_is_not() -> None:
    # 2 boxes x 20 x 30 pixels x 10 slices x 40 mm3
    assert inside_body_ml(a_body(air_inside=True), lower=-950.0, upper=-500.0) == pytest.approx(480.0)
    assert inside_body_ml(a_body(air_inside=False), lower=-950.0, upper=-500.0) == 0.0
    LUNG.check(a_body(air_inside=True))


def test_a_body_without_lung_is_refused_with_what_was_measured() -> None:
    error = refused(LUNG, a_body(air_inside=False))
    assert error.code == "volume-of-range"
    assert "Found 0 mL of lung-density tissue" in error.message
    assert "at least 100 mL" in error.message


def test_too_much_is_refused_as_well() -> None:
    guard = LUNG.model_copy(update={"min_ml": 0.0, "max_ml": 400.0})
    assert "Found 480 mL" in refused(guard, a_body(air_inside=True)).message


@pytest.mark.parametrize("axes", ["RAS", "IRP", "PSL"])
def test_the_measure_does_not_depend_on_how_the_series_lies(axes: str) -> None:
    volume = a_body(air_inside=True)
    turned = reorient(Image(volume.voxels[None], volume.geometry), axes=axes)
    again = a_volume(np.ascontiguousarray(turned.values[0]), affine=turned.geometry.affine_lps)
    assert inside_body_ml(again, lower=-950.0, upper=-500.0) == pytest.approx(480.0)


def test_fine_pixels_are_sampled_not_miscounted() -> None:
    found = inside_body_ml(a_body(air_inside=True, spacing_mm=(10.0, 0.5, 0.5)), lower=-950.0, upper=-500.0)
    assert found == pytest.approx(30.0, rel=0.15)


def test_all_air_has_no_body() -> None:
    assert inside_body_ml(a_volume(np.full((3, 8, 8), -1000.0)), lower=-950.0, upper=-500.0) == 0.0


def test_extent_is_told_along_the_patient() -> None:
    volume = a_volume(np.zeros((10, 20, 30)), spacing_mm=(5.0, 2.0, 1.0))
    assert extent_mm(volume.geometry) == pytest.approx((30.0, 40.0, 50.0))
    Extent(guard="extent", min_mm=(30.0, 40.0, 50.0)).check(volume)
    error = refused(Extent(guard="extent", min_mm=(0.0, 0.0, 60.0)), volume)
    assert error.code == "extent"
    assert "30 x 40 x 50 mm" in error.message
    refused(Extent(guard="extent", max_mm=(20.0, 100.0, 100.0)), volume)


@pytest.mark.parametrize(
    ("value", "code"), [(7.0, "input-constant"), (np.nan, "input-not-finite"), (np.inf, "input-not-finite")]
)
def test_images_without_content(value: float, code: str) -> None:
    voxels = np.full((3, 4, 5), 7.0, np.float32)
    voxels[1, 2, 3] = value
    assert refused(NotConstant(guard="not_constant"), a_volume(voxels)).code == code


def test_value_range() -> None:
    volume = a_body(air_inside=True)
    ValueRange(guard="value_range", low=Bounds(maximum=-500.0), high=Bounds(minimum=0.0)).check(volume)
    low = refused(ValueRange(guard="value_range", low=Bounds(minimum=-500.0)), volume)
    assert (low.code, "-1000" in low.message, "at least -500" in low.message) == ("value-range", True, True)
    refused(ValueRange(guard="value_range", high=Bounds(minimum=100.0, maximum=200.0)), volume)


def test_results_that_no_body_has() -> None:
    volumes = {"Left lung": 90.0, "Right lung": 3000.0}
    both = ("Left lung", "Right lung")
    SegmentVolume(guard="segment_volume", segments=both, min_ml=500.0, max_ml=4000.0).check(volumes)
    assert "3090 mL" in refused(SegmentVolume(guard="segment_volume", segments=both, min_ml=4000.0), volumes).message
    assert "more than" in refused(SegmentVolume(guard="segment_volume", segments=both, max_ml=2000.0), volumes).message
    ratio = SegmentRatio(guard="segment_ratio", segment="Left lung", over="Right lung", ratio=Bounds(minimum=0.2))
    assert "0.03" in refused(ratio, volumes).message
    ratio.check({"Left lung": 1.0, "Right lung": 0.0})
