"""The geometry corpus: what becomes a volume, where it lies, and what is refused by which name."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite

from tests.builders import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    a_ct_phantom,
    a_ct_series,
    a_ct_slice,
    a_secondary_capture,
    an_enhanced_ct,
    an_enhanced_mr,
    an_mr_series,
    normal_of,
    regular_positions,
    write,
)
from tests.unit.decode.reading import series_of, volume_of
from worker.decode.outcomes import OUTCOMES, MemoryBudgetError, VolumeError
from worker.decode.series.volumes import VolumeReader
from worker.domain.errors import OverreadError
from worker.domain.volume import Volume
from worker.headers.errors import UnreadableInstanceError

OBLIQUE = (0.8, 0.6, 0.0, 0.36, -0.48, 0.8)
FLIPPED_AXIAL = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
FEET_UP = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
HU = a_ct_phantom(slices=6, rows=32, columns=40)


def edit(path: Path, **attributes: object) -> Path:
    ds = dcmread(path)
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    dcmwrite(path, ds)
    return path


def refused(paths: Sequence[Path]) -> OverreadError:
    with pytest.raises(VolumeError) as caught:
        volume_of(paths)
    error = caught.value
    assert error.code in OUTCOMES
    assert error.next_step
    series_uid = dcmread(paths[0]).SeriesInstanceUID
    assert series_uid in error.message or dcmread(paths[0]).SOPInstanceUID in error.message
    return error


def value_at(volume: Volume, point_lps_mm: Sequence[float]) -> float:
    k, i, j = np.round(volume.geometry.to_index(np.array(point_lps_mm))).astype(int)
    return float(volume.voxels[k, i, j])


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, CORONAL, OBLIQUE, FLIPPED_AXIAL, FEET_UP], ids=str)
@pytest.mark.parametrize("reverse", [False, True])
def test_every_voxel_is_where_its_slice_said(tmp_path: Path, orientation: tuple[float, ...], reverse: bool) -> None:
    step = normal_of(orientation) * (-2.5 if reverse else 2.5)
    paths = a_ct_series(tmp_path, hu=HU, orientation=orientation, step_mm=step, reverse_instance_numbers=not reverse)
    volume = volume_of(random.Random(5).sample(paths, len(paths)))
    expected = HU[::-1] if reverse else HU
    assert np.array_equal(volume.voxels, expected)
    assert volume.geometry.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    assert volume.notes == ()
    for k, path in enumerate(paths):
        position = np.array([float(value) for value in dcmread(path).ImagePositionPatient])
        assert value_at(volume, position) == HU[k, 0, 0]
        far = position + 31 * 0.8 * np.array(orientation[3:]) + 39 * 0.7 * np.array(orientation[:3])
        assert value_at(volume, far) == HU[k, 31, 39]
    uids = [dcmread(path).SOPInstanceUID for path in paths]
    assert [ref.sop_instance_uid for ref in volume.slices] == (uids[::-1] if reverse else uids)


def test_slice_axis_follows_the_normal(tmp_path: Path) -> None:
    volume = volume_of(a_ct_series(tmp_path, slices=3, orientation=FEET_UP, step_mm=(0, 0, 4.0)))
    assert np.allclose(volume.geometry.affine_lps[:3, 0], [0, 0, -4.0])


@pytest.mark.parametrize("spacing", [(5.0, 0.5, 1.5), (0.625, 0.9765625, 0.9765625), (10.0, 0.3, 0.2)])
def test_anisotropic_voxels(tmp_path: Path, spacing: tuple[float, float, float]) -> None:
    volume = volume_of(a_ct_series(tmp_path, slices=3, spacing_mm=spacing))
    assert volume.geometry.spacing_mm == pytest.approx(spacing)
    assert volume.geometry.voxel_volume_mm3 == pytest.approx(np.prod(spacing))


@settings(max_examples=25, deadline=None)
@given(
    cosines=st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: sum(c * c for c in q) > 0.1),
    spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
    origin=st.tuples(*[st.floats(-300, 300)] * 3),
)
def test_affine_of_any_orientation(tmp_path_factory, cosines, spacing, origin) -> None:
    w, x, y, z = np.array(cosines) / np.linalg.norm(cosines)
    orientation = (
        1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w),
        2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("any")
    volume = volume_of(
        a_ct_series(folder, slices=3, rows=4, columns=5, spacing_mm=spacing, orientation=orientation, origin=origin)
    )
    expected = np.array(origin) + 2 * spacing[0] * normal_of(orientation)
    assert np.allclose(volume.geometry.to_patient_mm(np.array([2.0, 0, 0])), expected, atol=1e-4)
    corner = np.array(origin) + 4 * spacing[2] * np.array(orientation[:3]) + 3 * spacing[1] * np.array(orientation[3:])
    assert np.allclose(volume.geometry.to_patient_mm(np.array([0, 3.0, 4.0])), corner, atol=1e-4)


def test_instance_numbers_and_slice_locations_mean_nothing(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, hu=HU)
    for path in paths:
        edit(path, InstanceNumber=7, SliceLocation="1000")
    assert np.array_equal(volume_of(paths).voxels, HU)


def test_gantry_tilt_keeps_its_real_step(tmp_path: Path) -> None:
    shift = 2.5 * np.tan(np.radians(12))
    paths = a_ct_series(tmp_path, hu=HU, step_mm=(0, shift, 2.5))
    volume = volume_of(paths)
    assert np.allclose(volume.geometry.affine_lps[:3, 0], [0, shift, 2.5], atol=1e-6)
    assert volume.geometry.voxel_volume_mm3 == pytest.approx(2.5 * 0.8 * 0.7)
    assert "gantry tilt of 12.0 degrees" in volume.notes[0]
    last = [float(value) for value in dcmread(paths[-1]).ImagePositionPatient]
    assert value_at(volume, last) == HU[-1, 0, 0]


def test_tilt_beyond_any_gantry(tmp_path: Path) -> None:
    assert refused(a_ct_series(tmp_path, slices=5, step_mm=(0, 2.5, 2.5))).code == "gantry-tilt-too-large"


def test_one_slice_shifted_sideways(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=6)
    edit(paths[3], ImagePositionPatient=[-13.0, -12.0, 7.5])
    assert refused(paths).code == "irregular-positions"


@pytest.mark.parametrize("gone", [(3,), (3, 4), (2, 7)])
def test_missing_slices_say_where(tmp_path: Path, gone: tuple[int, ...]) -> None:
    error = refused(a_ct_series(tmp_path, slices=12, skip=gone))
    assert error.code == "missing-slices"
    assert f"lacks {len(gone)} of about 12" in error.message
    assert f"{(gone[0] - 1) * 2.5:.1f} to" in error.message


def test_varying_spacing(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=8)
    for k, path in enumerate(paths[4:], start=4):
        edit(path, ImagePositionPatient=[-14.0, -12.0, 2.5 * 4 + 5.0 * (k - 4)])
    assert refused(paths).code == "varying-spacing"


def test_one_plane_off_the_grid(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=8)
    edit(paths[4], ImagePositionPatient=[-14.0, -12.0, 10.3])
    error = refused(paths)
    assert error.code == "varying-spacing"
    assert "0.300 mm off" in error.message


def test_positions_with_one_decimal_are_still_regular(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=8, spacing_mm=(1.25, 1.0, 1.0))
    for k, path in enumerate(paths):
        edit(path, ImagePositionPatient=["-14", "-12", f"{1.25 * k:.1f}"])
    assert volume_of(paths).geometry.spacing_mm[0] == pytest.approx(1.25, rel=0.02)


def test_identical_duplicates_are_used_once(tmp_path: Path) -> None:
    paths = list(a_ct_series(tmp_path, hu=HU))
    again = edit(write(dcmread(paths[2]), tmp_path / "again.dcm"), SOPInstanceUID="1.2.3", InstanceNumber=99)
    volume = volume_of([*paths, again])
    assert np.array_equal(volume.voxels, HU)
    assert "1 planes repeat others" in volume.notes[0]


def test_two_reconstructions_that_say_so(tmp_path: Path) -> None:
    paths = [
        *a_ct_series(tmp_path / "a", hu=HU, attributes={"ConvolutionKernel": "LUNG"}),
        *a_ct_series(tmp_path / "b", hu=HU + 3, attributes={"ConvolutionKernel": "STD"}),
    ]
    for path in paths[6:]:
        edit(path, SOPInstanceUID=dcmread(path).SOPInstanceUID + ".1")
    error = refused(paths)
    assert error.code == "several-acquisitions"
    assert "ConvolutionKernel" in error.message
    assert "6 positions" in error.message


def test_two_different_images_that_nothing_tells_apart(tmp_path: Path) -> None:
    paths = list(a_ct_series(tmp_path, hu=HU))
    other = write(dcmread(paths[2]), tmp_path / "other.dcm")
    data = bytearray(dcmread(other).PixelData)
    data[100] ^= 1
    edit(other, SOPInstanceUID="1.2.3", PixelData=bytes(data), InstanceNumber=40)
    error = refused([*paths, other])
    assert error.code == "duplicate-positions"
    assert "5.0 mm" in error.message


def test_echoes_in_one_series(tmp_path: Path) -> None:
    paths = [
        *an_mr_series(tmp_path / "a", slices=3, attributes={"EchoTime": 10.0}),
        *an_mr_series(tmp_path / "b", slices=3, attributes={"EchoTime": 80.0}, values=np.full((3, 32, 40), 9)),
    ]
    for path in paths[3:]:
        edit(path, SOPInstanceUID=dcmread(path).SOPInstanceUID + ".1")
    error = refused(paths)
    assert error.code == "several-acquisitions"
    assert "EchoTime" in error.message


def test_stacks_side_by_side(tmp_path: Path) -> None:
    paths = list(a_ct_series(tmp_path, slices=3))
    side = write(a_ct_slice(position=(86.0, -12.0, 2.5), instance="side"), tmp_path / "side.dcm")
    error = refused([*paths, side])
    assert error.code == "several-acquisitions"
    assert "side by side" in error.message


def test_mixed_orientations(tmp_path: Path) -> None:
    paths = list(a_ct_series(tmp_path, slices=4))
    across = [
        write(a_ct_slice(orientation=CORONAL, position=(0, y, 0), instance=f"c{y}"), tmp_path / f"c{y}.dcm")
        for y in (0, 5)
    ]
    error = refused([*paths, *across])
    assert error.code == "mixed-orientations"
    assert "4 axial" in error.message
    assert "2 coronal" in error.message


def test_mixed_matrix(tmp_path: Path) -> None:
    paths = list(a_ct_series(tmp_path, slices=3))
    other = write(a_ct_slice(rows=64, columns=40, position=(-14, -12, 7.5), instance="x"), tmp_path / "x.dcm")
    error = refused([*paths, other])
    assert error.code == "mixed-matrix"
    assert "3 of 32 x 40, 1 of 64 x 40" in error.message


def test_mixed_pixel_spacing(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=3)
    edit(paths[1], PixelSpacing=[0.8, 0.9])
    assert refused(paths).code == "mixed-pixel-spacing"


def test_mixed_rescale_is_fine(tmp_path: Path) -> None:
    paths = list(a_ct_series(tmp_path, hu=HU[:3]))
    replacement = a_ct_slice(hu=HU[1], intercept=-512.0, position=(-14, -12, 2.5), instance=2)
    write(replacement, paths[1])
    assert np.array_equal(volume_of(paths).voxels, HU[:3])


def test_several_frames_of_reference(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=3)
    edit(paths[1], FrameOfReferenceUID="1.2.3.4")
    assert refused(paths).code == "several-frames-of-reference"


def test_several_modalities(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=3)
    edit(paths[1], Modality="PT")
    assert refused(paths).code == "mixed-modalities"


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_no_geometry(tmp_path: Path, keyword: str) -> None:
    paths = a_ct_series(tmp_path, slices=3)
    edit(paths[1], **{keyword: None})
    error = refused(paths)
    assert error.code == "no-geometry"
    assert "1 of 3" in error.message


@pytest.mark.parametrize(
    "attributes",
    [{"PixelSpacing": [0, 0.7]}, {"PixelSpacing": [-0.8, 0.7]}, {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
     {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}],
    ids=str,
)  # fmt: skip
def test_bad_geometry(tmp_path: Path, attributes: dict[str, object]) -> None:
    paths = a_ct_series(tmp_path, slices=3)
    edit(paths[0], **attributes)
    assert refused(paths).code == "bad-geometry"


def test_screenshots_are_no_volume(tmp_path: Path) -> None:
    path = write(a_secondary_capture(colour=False), tmp_path / "a.dcm")
    assert refused([path]).code == "no-geometry"


def test_series_without_images(tmp_path: Path) -> None:
    path = write(a_ct_slice(), tmp_path / "a.dcm")
    edit(path, PixelData=None, Rows=None, Columns=None)
    assert refused([path]).code == "no-images"


def test_objects_without_pixels_are_left_out_and_said(tmp_path: Path) -> None:
    paths = list(a_ct_series(tmp_path, hu=HU))
    report = edit(write(a_ct_slice(instance="r"), tmp_path / "r.dcm"), PixelData=None, Rows=None, Columns=None)
    volume = volume_of([*paths, report])
    assert np.array_equal(volume.voxels, HU)
    assert "1 object of the series was set aside: without pixels" in volume.notes[0]


def test_single_slice_takes_its_thickness(tmp_path: Path) -> None:
    path = write(a_ct_slice(hu=HU[0], spacing_mm=(5.0, 0.8, 0.7)), tmp_path / "a.dcm")
    volume = volume_of([path])
    assert volume.geometry.spacing_mm == pytest.approx((5.0, 0.8, 0.7))
    assert volume.geometry.shape == (1, 32, 40)
    assert "one slice" in volume.notes[0]


def test_single_slice_without_thickness(tmp_path: Path) -> None:
    path = edit(write(a_ct_slice(), tmp_path / "a.dcm"), SliceThickness=None)
    assert refused([path]).code == "no-geometry"


def test_planes_farther_apart_than_thick_are_noted(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=4, step_mm=(0, 0, 7.5))
    assert "7.50 mm apart and 2.50 mm thick" in volume_of(paths).notes[0]


def test_ct_without_rescale_has_no_hounsfield_units(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=3)
    edit(paths[1], RescaleSlope=None, RescaleIntercept=None)
    assert refused(paths).code == "no-hounsfield-units"


def test_ct_in_other_units_is_noted(tmp_path: Path) -> None:
    volume = volume_of(a_ct_series(tmp_path, slices=2, attributes={"RescaleType": "Z_EFF"}))
    assert "the rescale type is Z_EFF, not HU" in volume.notes


def test_undeclared_padding_is_said_and_kept(tmp_path: Path) -> None:
    hu = HU.copy()
    hu[:, 0] = -2048
    volume = volume_of(a_ct_series(tmp_path, hu=hu))
    assert np.array_equal(volume.voxels, hu)
    assert "down to -2048 HU" in volume.notes[0]


def test_declared_padding_is_air(tmp_path: Path) -> None:
    hu = HU.copy()
    hu[:, 0] = -2000 - 1024
    volume = volume_of(a_ct_series(tmp_path, hu=hu, padding_value=-2000))
    assert set(volume.voxels[:, 0].ravel()) == {-1024.0}
    assert volume.notes == ()


def test_mr_needs_no_rescale(tmp_path: Path) -> None:
    values = HU + 1024
    volume = volume_of(an_mr_series(tmp_path, values=values))
    assert np.array_equal(volume.voxels, values)
    assert volume.modality == "MR"


def test_enhanced_ct_with_shuffled_frames(tmp_path: Path) -> None:
    path = write(an_enhanced_ct(hu=HU, frame_order=[3, 0, 5, 1, 4, 2], slopes=[1, 1, 1, 1, 1, 1]), tmp_path / "a.dcm")
    volume = volume_of([path])
    assert np.array_equal(volume.voxels, HU)
    assert [ref.frame_number for ref in volume.slices] == [2, 4, 6, 1, 5, 3]
    assert volume.geometry.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    assert np.allclose(volume.geometry.affine_lps[:3, 3], [-14, -12, 0])


def test_enhanced_mr_oblique(tmp_path: Path) -> None:
    path = write(an_enhanced_mr(values=HU + 1024, orientation=OBLIQUE, spacing_mm=(2.0, 1.0, 1.0)), tmp_path / "a.dcm")
    volume = volume_of([path])
    assert np.allclose(volume.geometry.affine_lps[:3, 0], 2 * normal_of(OBLIQUE))
    assert np.array_equal(volume.voxels, HU + 1024)


def test_a_volume_in_two_enhanced_objects(tmp_path: Path) -> None:
    places = regular_positions(slices=6, spacing_mm=2.5, origin=(-14, -12, 0))
    paths = [
        write(an_enhanced_ct(hu=HU[part], positions=places[part], instance=n), tmp_path / f"{n}.dcm")
        for n, part in enumerate([slice(0, 2), slice(2, 6)])
    ]
    assert np.array_equal(volume_of(paths).voxels, HU)


def test_enhanced_stacks(tmp_path: Path) -> None:
    path = write(an_enhanced_ct(hu=HU, stack_ids=["1", "1", "1", "2", "2", "2"]), tmp_path / "a.dcm")
    error = refused([path])
    assert error.code == "several-acquisitions"
    assert "2 stacks" in error.message


def test_enhanced_time_points(tmp_path: Path) -> None:
    ds = an_enhanced_ct(hu=HU, positions=regular_positions(slices=3, spacing_mm=2.5) * 2,
                        temporal_positions=[1, 1, 1, 2, 2, 2])  # fmt: skip
    error = refused([write(ds, tmp_path / "a.dcm")])
    assert error.code == "several-acquisitions"
    assert "TemporalPositionIndex" in error.message


@pytest.mark.parametrize(
    ("argument", "keyword"), [("echo_times", "EffectiveEchoTime"), ("b_values", "DiffusionBValue")]
)
def test_enhanced_mr_contrasts(tmp_path: Path, argument: str, keyword: str) -> None:
    ds = an_enhanced_mr(slices=3, frame_order=[0, 1, 2, 0, 1, 2], **{argument: [0, 0, 0, 800, 800, 800]})
    pixels = bytearray(ds.PixelData)
    pixels[-3 * 32 * 40 * 2 :] = bytes(3 * 32 * 40 * 2)
    ds.PixelData = bytes(pixels)
    error = refused([write(ds, tmp_path / "a.dcm")])
    assert error.code == "several-acquisitions"
    assert keyword in error.message


def test_multi_frame_without_functional_groups(tmp_path: Path) -> None:
    ds = an_enhanced_ct(hu=HU)
    del ds.PerFrameFunctionalGroupsSequence
    assert refused([write(ds, tmp_path / "a.dcm")]).code == "no-geometry"


def test_fewer_functional_groups_than_frames(tmp_path: Path) -> None:
    ds = an_enhanced_ct(hu=HU)
    ds.PerFrameFunctionalGroupsSequence = list(ds.PerFrameFunctionalGroupsSequence)[:5]
    assert refused([write(ds, tmp_path / "a.dcm")]).code == "no-geometry"


def test_memory_budget(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=4)
    with pytest.raises(MemoryBudgetError) as caught:
        volume_of(paths, memory_budget_bytes=4 * 32 * 40 * 4)
    assert caught.value.code == "memory-budget-exceeded"
    assert volume_of(paths, memory_budget_bytes=4 * 32 * 40 * 8).voxels.shape == (4, 32, 40)


def test_frames_that_lie_meet_the_budget_first(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=2)
    edit(paths[0], NumberOfFrames=2_000_000_000)
    with pytest.raises(MemoryBudgetError):
        volume_of(paths)


def test_a_file_that_changed_behind_the_index(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=2)
    series = series_of(paths)
    edit(paths[1], SOPInstanceUID="1.2.3")
    with pytest.raises(UnreadableInstanceError) as caught:
        VolumeReader().volume(series)
    assert caught.value.code == "file-does-not-match-index"


@pytest.mark.parametrize("value", [None, ""])
def test_no_frame_of_reference_is_said_before_anything_is_decoded(tmp_path: Path, value: str | None) -> None:
    paths = a_ct_series(tmp_path, slices=2, attributes={"FrameOfReferenceUID": value})
    for path in paths:
        edit(path, PixelData=b"\0\0")  # would be truncated-pixel-data
    assert refused(paths).code == "no-frame-of-reference"


def test_no_frame_of_reference_in_an_enhanced_object(tmp_path: Path) -> None:
    ds = an_enhanced_ct(hu=HU)
    del ds.FrameOfReferenceUID
    assert refused([write(ds, tmp_path / "a.dcm")]).code == "no-frame-of-reference"
