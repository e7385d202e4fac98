"""Projections and ultrasound as volumes: what becomes one, in which units, and what is refused by which name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import UID

from tests.builders import a_ct_series, a_ct_slice, a_secondary_capture, an_mr_slice, write
from tests.picture_builders import (
    FOR_PROCESSING,
    a_computed_radiograph,
    a_mammogram,
    a_picture,
    a_radiograph,
    a_region,
    an_angiogram,
    an_ultrasound,
)
from tests.unit.decode.reading import series_of, volume_of
from worker.decode.outcomes import OUTCOMES, MemoryBudgetError, VolumeError
from worker.decode.planes.image_kinds import KINDS, PICTURE_MODALITIES, Kind, are_pictures, intent_of
from worker.domain.errors import PermanentError
from worker.domain.volume import Space, Volume

VALUES = a_picture()
RUN = a_picture(frames=5, bits=8)


def volume_from(tmp_path: Path, *datasets: Dataset, **arguments: int) -> Volume:
    return volume_of([write(ds, tmp_path / f"{n}.dcm") for n, ds in enumerate(datasets)], **arguments)


def refused(tmp_path: Path, *datasets: Dataset) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        volume_from(tmp_path, *datasets)
    assert caught.value.code in OUTCOMES
    assert caught.value.next_step
    return caught.value


def edited(path: Path, **attributes: object) -> Path:
    ds = dcmread(path)
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    dcmwrite(path, ds)
    return path


# ------------------------------------------------------------------------------------------------------- one image


def test_a_radiograph_is_one_slice_in_its_plane(tmp_path: Path) -> None:
    ds = a_radiograph(values=VALUES, imager_spacing_mm=(0.2, 0.25))
    volume = volume_from(tmp_path, ds)
    assert np.array_equal(volume.voxels, VALUES[None])
    assert volume.voxels.dtype == np.float32
    assert volume.space is Space.PLANE
    assert volume.has_spacing
    assert not volume.in_patient_space
    assert volume.modality == "DX"
    assert volume.frame_of_reference_uid is None
    assert volume.frame_time_ms is None
    assert [(ref.sop_instance_uid, ref.frame_number) for ref in volume.slices] == [(ds.SOPInstanceUID, None)]
    assert volume.series_instance_uid == ds.SeriesInstanceUID


def test_the_affine_maps_to_the_image_plane(tmp_path: Path) -> None:
    volume = volume_from(tmp_path, an_angiogram(imager_spacing_mm=(0.2, 0.25)))
    assert volume.geometry.shape == (5, 48, 40)
    assert volume.geometry.spacing_mm == (1.0, 0.2, 0.25)
    assert volume.geometry.to_patient_mm(np.array([3.0, 10.0, 20.0])) == pytest.approx([5.0, 2.0, 3.0])
    assert volume.geometry.to_index(np.array([5.0, 2.0, 3.0])) == pytest.approx([3, 10, 20])


def test_without_spacing_it_counts_pixels(tmp_path: Path) -> None:
    volume = volume_from(tmp_path, a_computed_radiograph(imager_spacing_mm=None))
    assert volume.space is Space.PIXELS
    assert not volume.has_spacing
    assert volume.geometry.spacing_mm == (1.0, 1.0, 1.0)
    assert "the pixel spacing is not known: nothing is stated in millimetres" in volume.notes


def test_pixels_that_are_not_square_are_said(tmp_path: Path) -> None:
    ds = a_computed_radiograph(imager_spacing_mm=None, attributes={"PixelAspectRatio": [3, 2]})
    assert "the pixels are not square: 3 high to 2 wide" in volume_from(tmp_path, ds).notes


def test_the_frame_of_reference_is_that_of_the_image(tmp_path: Path) -> None:
    volume = volume_from(tmp_path, a_mammogram(attributes={"FrameOfReferenceUID": "1.2.3"}))
    assert volume.frame_of_reference_uid == "1.2.3"
    assert volume.space is Space.PLANE


# --------------------------------------------------------------------------------------------------------- polarity


def test_monochrome1_grows_with_brightness(tmp_path: Path) -> None:
    volume = volume_from(tmp_path, a_radiograph(values=VALUES, inverted=True, bits_stored=12))
    assert np.array_equal(volume.voxels[0], 4095.0 - VALUES)
    assert any("MONOCHROME1" in note and "inverted" in note for note in volume.notes)


def test_monochrome2_is_as_stored(tmp_path: Path) -> None:
    volume = volume_from(tmp_path, a_radiograph(values=VALUES))
    assert not any("MONOCHROME1" in note for note in volume.notes)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0.5, -100), (-2, 30)])
def test_inversion_is_within_the_range_of_stored_values_after_the_rescale(
    tmp_path: Path, signed: bool, slope: float, intercept: float
) -> None:
    low, high = (-512, 511) if signed else (0, 1023)
    stored = np.linspace(low, high, 48 * 40).round().reshape(48, 40).astype(np.int64)
    ds = a_computed_radiograph(
        values=stored & 0xFFFF,
        bits_stored=10,
        attributes={"PixelRepresentation": int(signed), "RescaleSlope": slope, "RescaleIntercept": intercept},
    )
    volume = volume_from(tmp_path, ds)
    modality = stored * slope + intercept
    ends = low * slope + intercept, high * slope + intercept
    assert np.allclose(volume.voxels[0], sum(ends) - modality, atol=1e-3)
    assert volume.voxels.min() == pytest.approx(min(ends))
    assert volume.voxels.max() == pytest.approx(max(ends))


def test_inversion_after_a_modality_lut_is_within_its_values(tmp_path: Path) -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4, 10, 16])
    item.ModalityLUTType = "OD"
    item.add_new("LUTData", "OW", np.array([100, 800, 400, 200], "<u2").tobytes())
    stored = np.tile(np.arange(9, 15), (6, 1))
    ds = a_computed_radiograph(values=stored, attributes={"ModalityLUTSequence": [item]})
    assert volume_from(tmp_path, ds).voxels[0, 0].tolist() == [800, 800, 100, 500, 700, 700]


def test_padding_becomes_the_darkest_value_whatever_the_polarity(tmp_path: Path) -> None:
    values = VALUES // 2 + 100
    values[:4] = 0
    for inverted in (False, True):
        ds = a_radiograph(values=values, inverted=inverted)
        ds.add_new("PixelPaddingValue", "US", 0)
        voxels = volume_from(tmp_path, ds).voxels[0]
        image = 4095.0 - values[4:] if inverted else values[4:]
        assert np.array_equal(voxels[4:], image)
        assert set(voxels[:4].ravel()) == {image.min()}


def test_no_window_is_applied(tmp_path: Path) -> None:
    ds = a_radiograph(values=VALUES, attributes={"WindowCenter": 100, "WindowWidth": 10})
    assert np.array_equal(volume_from(tmp_path, ds).voxels[0], VALUES)


def test_slices_of_a_patient_keep_their_polarity(tmp_path: Path) -> None:
    ds = an_mr_slice(values=VALUES, attributes={"PhotometricInterpretation": "MONOCHROME1"})
    volume = volume_from(tmp_path, ds)
    assert np.array_equal(volume.voxels[0], VALUES)
    assert volume.space is Space.PATIENT


# ---------------------------------------------------------------------------------------------------- several images


def test_views_of_one_size_are_slices_that_name_their_image(tmp_path: Path) -> None:
    views = [
        a_radiograph(values=VALUES // (n + 1), instance=f"view {n}", instance_number=3 - n, view_position=view)
        for n, view in enumerate(["PA", "LL", "AP"])
    ]
    volume = volume_from(tmp_path, *views)
    assert [ref.sop_instance_uid for ref in volume.slices] == [ds.SOPInstanceUID for ds in views[::-1]]
    assert np.array_equal(volume.voxels, np.stack([VALUES // 3, VALUES // 2, VALUES]))
    assert "3 single images are the slices: there is no distance and no time between them" in volume.notes
    assert volume.frame_time_ms is None


def test_order_without_instance_numbers_is_that_of_the_uids(tmp_path: Path) -> None:
    views = [a_radiograph(instance=f"view {n}", instance_number=None) for n in range(4)]
    volume = volume_from(tmp_path, *views)
    uids = [ref.sop_instance_uid for ref in volume.slices]
    assert uids == sorted(ds.SOPInstanceUID for ds in views)


def test_each_image_of_a_series_has_its_own_polarity(tmp_path: Path) -> None:
    views = [
        a_radiograph(values=VALUES, instance="one", instance_number=1),
        a_radiograph(values=VALUES, inverted=True, instance="two", instance_number=2),
    ]
    assert np.array_equal(volume_from(tmp_path, *views).voxels, [VALUES, 4095.0 - VALUES])


def test_images_of_several_sizes_are_refused(tmp_path: Path) -> None:
    error = refused(
        tmp_path, a_radiograph(instance=1), a_radiograph(instance=2), a_radiograph(instance=3, rows=40, columns=48)
    )
    assert isinstance(error, VolumeError)
    assert error.code == "several-images"
    assert "2 of 48 x 40, 1 of 40 x 48" in error.message
    assert "rule" in error.next_step


@pytest.mark.parametrize("frames", [3, None], ids=["run", "still"])
def test_several_runs_are_refused(tmp_path: Path, frames: int | None) -> None:
    error = refused(tmp_path, an_ultrasound(frames=4, instance=1), an_ultrasound(frames=frames, instance=2))
    assert error.code == "several-images"
    assert "2 images with their own frames (4, " in error.message


def test_images_for_processing_and_for_presentation_are_not_mixed(tmp_path: Path) -> None:
    error = refused(tmp_path, a_mammogram(instance=1), a_mammogram(instance=2, intent=FOR_PROCESSING))
    assert error.code == "several-images"
    assert "'FOR PRESENTATION', 'FOR PROCESSING'" in error.message


def test_images_that_differ_in_spacing_count_pixels(tmp_path: Path) -> None:
    volume = volume_from(tmp_path, a_radiograph(instance=1), a_radiograph(instance=2, imager_spacing_mm=(0.2, 0.2505)))
    assert volume.space is Space.PIXELS
    assert "the images differ in pixel spacing: nothing is stated in millimetres" in volume.notes


def test_images_of_which_one_has_no_spacing_count_pixels(tmp_path: Path) -> None:
    volume = volume_from(tmp_path, a_radiograph(instance=1), a_radiograph(instance=2, imager_spacing_mm=None))
    assert volume.space is Space.PIXELS


def test_objects_without_pixels_are_left_out_and_said(tmp_path: Path) -> None:
    report = a_radiograph(instance="report", attributes={"Rows": None, "Columns": None, "PixelData": None})
    volume = volume_from(tmp_path, a_radiograph(values=VALUES), report)
    assert np.array_equal(volume.voxels, VALUES[None])
    assert "1 object of the series was set aside: without pixels" in volume.notes[-1]


# --------------------------------------------------------------------------------------------------------- runs


@pytest.mark.parametrize("make", [an_angiogram, an_ultrasound])
def test_a_run_keeps_the_order_of_its_frames(tmp_path: Path, make) -> None:
    ds = make(values=RUN, frames=len(RUN), frame_time_ms=40.0)
    volume = volume_from(tmp_path, ds)
    assert np.array_equal(volume.voxels, RUN)
    assert [ref.frame_number for ref in volume.slices] == [1, 2, 3, 4, 5]
    assert {ref.sop_instance_uid for ref in volume.slices} == {ds.SOPInstanceUID}
    assert volume.frame_time_ms == pytest.approx(40.0)


def test_a_run_of_one_frame_has_no_time(tmp_path: Path) -> None:
    volume = volume_from(tmp_path, an_angiogram(frames=1))
    assert volume.frame_time_ms is None
    assert volume.slices[0].frame_number is None


@pytest.mark.parametrize(
    ("frames", "code"), [(6, "truncated-pixel-data"), (4, "pixel-length-mismatch"), (0, "unsupported-pixel-format")]
)
def test_frames_that_lie(tmp_path: Path, frames: int, code: str) -> None:
    path = edited(write(an_angiogram(frames=5), tmp_path / "a.dcm"), NumberOfFrames=frames)
    with pytest.raises(PermanentError) as caught:
        volume_of([path])
    assert caught.value.code == code


def test_frames_that_lie_meet_the_budget_first(tmp_path: Path) -> None:
    path = edited(write(an_ultrasound(frames=5), tmp_path / "a.dcm"), NumberOfFrames=2_000_000_000)
    with pytest.raises(MemoryBudgetError):
        volume_of([path])


def test_memory_budget(tmp_path: Path) -> None:
    paths = [write(an_angiogram(values=RUN), tmp_path / "a.dcm")]
    with pytest.raises(MemoryBudgetError):
        volume_of(paths, memory_budget_bytes=4 * 48 * 40 * (5 + 4) - 1)
    assert len(volume_of(paths, memory_budget_bytes=4 * 48 * 40 * (5 + 4)).slices) == 5


def test_a_file_that_ends_in_its_frames(tmp_path: Path) -> None:
    path = write(an_angiogram(frames=5), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(PermanentError) as caught:
        volume_of([path])
    assert caught.value.code == "truncated-pixel-data"


# ------------------------------------------------------------------------------------------------ which way it goes


def test_every_class_of_the_table_has_a_name() -> None:
    assert all((UID(uid).name != uid and "Image" in UID(uid).name) or "US Volume" in UID(uid).name for uid in KINDS)


@pytest.mark.parametrize(
    ("make", "expected"),
    [(a_radiograph, True), (a_mammogram, True), (a_computed_radiograph, True), (an_angiogram, True),
     (an_ultrasound, True), (a_ct_slice, False), (an_mr_slice, False), (a_secondary_capture, False)],
)  # fmt: skip
def test_pictures_and_slices(tmp_path: Path, make, expected: bool) -> None:
    assert are_pictures(series_of([write(make(), tmp_path / "a.dcm")]).headers) is expected


def test_a_position_makes_no_slice_of_a_projection_class(tmp_path: Path) -> None:
    ds = a_radiograph(attributes={"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]})
    assert volume_from(tmp_path, ds).space is Space.PLANE


def test_a_modality_makes_no_picture_of_a_ct_class(tmp_path: Path) -> None:
    ds = a_ct_slice(attributes={"Modality": "CR", "ImagePositionPatient": None})
    assert refused(tmp_path, ds).code == "no-geometry"


@pytest.mark.parametrize("modality", sorted(PICTURE_MODALITIES))
def test_secondary_captures_go_by_their_modality(tmp_path: Path, modality: str) -> None:
    volume = volume_from(tmp_path, a_secondary_capture(modality=modality, colour=True))
    assert volume.space is Space.PIXELS
    assert volume.voxels.shape == (1, 32, 40)


@pytest.mark.parametrize("modality", ["OT", "CT", "MR", "PT", "NM"])
@pytest.mark.parametrize(("colour", "code"), [(True, "no-geometry"), (False, "no-geometry")])
def test_screenshots_of_other_modalities_stay_refused(tmp_path: Path, modality: str, colour: bool, code: str) -> None:
    assert refused(tmp_path, a_secondary_capture(modality=modality, colour=colour)).code == code


def test_a_secondary_capture_with_a_position_is_a_slice(tmp_path: Path) -> None:
    ds = a_secondary_capture(modality="XA", colour=False, attributes={"ImagePositionPatient": [0, 0, 0]})
    assert refused(tmp_path, ds).code == "no-geometry"


def test_colour_slices_stay_refused(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=3)
    for path in paths:
        edited(path, PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(PermanentError) as caught:
        volume_of(paths)
    assert caught.value.code == "colour-image"


def test_one_slice_among_pictures_is_no_picture(tmp_path: Path) -> None:
    paths: Sequence[Path] = [
        write(a_radiograph(series="both"), tmp_path / "a.dcm"),
        write(a_ct_slice(series="both", attributes={"Modality": "DX"}), tmp_path / "b.dcm"),
    ]
    with pytest.raises(PermanentError) as caught:
        volume_of(paths)
    assert caught.value.code == "several-frames-of-reference"


def test_intents_of_classes() -> None:
    assert intent_of(a_mammogram().SOPClassUID) == "FOR PRESENTATION"
    assert intent_of(a_mammogram(intent=FOR_PROCESSING).SOPClassUID) == "FOR PROCESSING"
    assert intent_of(a_computed_radiograph().SOPClassUID) == ""


def test_breast_tomosynthesis_is_a_stack() -> None:
    assert KINDS["1.2.840.10008.5.1.4.1.1.13.1.3"] is Kind.SLICES


def test_messages_and_notes_hold_no_patient(tmp_path: Path) -> None:
    error = refused(tmp_path, a_radiograph(instance=1), a_radiograph(instance=2, rows=40))
    volume = volume_from(tmp_path / "b", an_ultrasound(regions=[a_region(bounds=(0, 0, 5, 5))]))
    said = " ".join([str(error), *volume.notes])
    assert "Ada" not in said
    assert "OR-0001" not in said
