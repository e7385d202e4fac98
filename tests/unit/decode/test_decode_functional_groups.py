"""Functional groups: only the macros of the standard say what a frame is, per frame, then shared (PS3.3 C.7.6.16)."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import LegacyConvertedEnhancedCTImageStorage, NuclearMedicineImageStorage

from tests.builders import a_ct_phantom, a_ct_slice, an_enhanced_ct, an_enhanced_mr, stored_instances, write
from tests.unit.decode.reading import frames_of, series_of, volume_of
from worker.decode.outcomes import VolumeError
from worker.domain.study import SeriesSummary
from worker.domain.volume import Volume
from worker.functional_groups.macros import MACROS
from worker.gate.seg.reading import plane_of
from worker.results.display.source_display import read_source_display
from worker.results.evidence import Source, read_source

HU = a_ct_phantom(slices=4, rows=32, columns=40)
ORIGIN = (-14.0, -12.0, 0.0)
SPACING = (2.5, 0.8, 0.7)


def an_item(**elements: Any) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def another_plane() -> Dataset:
    """What must not be believed: another place, another direction, other pixels, other values, another kernel."""
    return an_item(
        ImagePositionPatient=[70, 80, 90], ImageOrientationPatient=[0, 1, 0, 0, 0, -1], PixelSpacing=[9, 9],
        SliceThickness=9, RescaleSlope=9, RescaleIntercept=9, RescaleType="US", ConvolutionKernel="OTHER", KVP=999,
        StackID="9", TemporalPositionIndex=9, WindowCenter=9, WindowWidth=9, FrameType=["DERIVED", "SECONDARY"],
    )  # fmt: skip


def in_private_sequence(group: Dataset) -> None:
    group.add_new(0x20050010, "LO", "Philips MR Imaging DD 001")
    group.add_new(0x2005140F, "SQ", [another_plane()])


def in_late_private_sequence(group: Dataset) -> None:
    group.add_new(0x70530010, "LO", "SOMEBODY")
    group.add_new(0x70531001, "SQ", [an_item(PlanePositionSequence=[another_plane()])])


def in_private_item_of_a_macro(group: Dataset) -> None:
    macro = group["PlanePositionSequence"].value[0] if "PlanePositionSequence" in group else Dataset()
    macro.add_new(0x20050010, "LO", "SOMEBODY")
    macro.add_new(0x20051001, "SQ", [another_plane()])


def in_referenced_image(group: Dataset) -> None:
    group.ReferencedImageSequence = [another_plane()]


def in_derivation_image(group: Dataset) -> None:
    source = an_item(PlanePositionSequence=[another_plane()])
    group.DerivationImageSequence = [an_item(SourceImageSequence=[source, another_plane()])]


def in_source_image(group: Dataset) -> None:
    group.SourceImageEvidenceSequence = [another_plane()]
    group.ConversionSourceAttributesSequence = [another_plane()]


def in_another_macro(group: Dataset) -> None:
    group.PatientPhysiologicalStateSequence = [another_plane()]


def in_converted_attributes(group: Dataset) -> None:
    plane = another_plane()
    group.UnassignedPerFrameConvertedAttributesSequence = [plane]


ELSEWHERE = [
    in_private_sequence, in_late_private_sequence, in_private_item_of_a_macro, in_referenced_image,
    in_derivation_image, in_source_image, in_another_macro, in_converted_attributes,
]  # fmt: skip


WITH_ANOTHER = [macro for macro, names in MACROS.items() if {element.keyword for element in another_plane()} & {*names}]
"""Macros that ``another_plane`` has something for."""


def source_of(path: Path, volume: Volume) -> Source:
    return read_source(volume, stored_instances((path,)))


def expect_the_plane(path: Path, ds: Dataset) -> None:
    """Rules, volumes, results and the gate all read the same plane."""
    series: SeriesSummary = series_of([path])
    (header,) = series.headers
    assert series.orientation == "axial"
    assert series.slice_spacing_mm == pytest.approx(SPACING[0])
    assert series.slice_thickness_mm == pytest.approx(SPACING[0])
    assert header.attributes["PixelSpacing"] == ("0.8", "0.7")
    assert header.attributes["RescaleSlope"] == ("1.0",)
    assert header.attributes["ConvolutionKernel"] == ("STD",)
    assert header.attributes["KVP"] == ("120.0",)
    assert header.attributes["FrameType"][0] == "ORIGINAL"
    volume = volume_of([path])
    assert np.array_equal(volume.voxels, HU)
    assert volume.geometry.affine_lps[:3, 3] == pytest.approx(ORIGIN)
    assert volume.geometry.spacing_mm == pytest.approx(SPACING)
    source = source_of(path, volume)
    for k, frame in enumerate(source.frames):
        assert frame.position == pytest.approx((*ORIGIN[:2], 2.5 * k))
        assert frame.pixel_spacing_mm == pytest.approx(SPACING[1:])
        assert frame.slice_thickness_mm == pytest.approx(2.5)
        position, _, spacing = plane_of(ds, frame.number)
        assert tuple(position) == pytest.approx(frame.position)
        assert tuple(spacing) == pytest.approx(SPACING[1:])
    (look, *_) = read_source_display(source.frames, stored_instances((path,)))
    assert look.rescale is not None
    assert (look.rescale.slope, look.rescale.intercept) == (1.0, -1024.0)
    assert look.window is not None
    assert (look.window.centre, look.window.width) == (40.0, 400.0)


@pytest.mark.parametrize("place", ["own", "shared"])
@pytest.mark.parametrize("elsewhere", ELSEWHERE, ids=lambda one: one.__name__)
def test_only_the_macro_of_an_attribute_speaks(
    tmp_path: Path, elsewhere: Callable[[Dataset], None], place: str
) -> None:
    ds = an_enhanced_ct(hu=HU, spacing_mm=SPACING)
    groups = ds.PerFrameFunctionalGroupsSequence if place == "own" else ds.SharedFunctionalGroupsSequence
    for group in groups:
        elsewhere(group)
    expect_the_plane(write(ds, tmp_path / "a.dcm"), ds)


def test_the_top_level_does_not_contradict_the_macros(tmp_path: Path) -> None:
    ds = an_enhanced_ct(hu=HU, spacing_mm=SPACING)
    for element in another_plane():
        ds.add(element)
    expect_the_plane(write(ds, tmp_path / "a.dcm"), ds)


def test_of_a_macro_that_is_shared_and_per_frame_the_frames_own_holds(tmp_path: Path) -> None:
    ds = an_enhanced_ct(hu=HU, spacing_mm=SPACING)
    (shared,) = ds.SharedFunctionalGroupsSequence
    wrong = another_plane()
    own = ds.PerFrameFunctionalGroupsSequence
    for group in own:
        for macro in WITH_ANOTHER:
            if macro not in group and macro in shared:
                group[macro] = deepcopy(shared[macro])
    for macro in WITH_ANOTHER:
        if macro in own[0]:
            said = {name: wrong[name].value for name in MACROS[macro] if name in wrong}
            setattr(shared, macro, [an_item(**said)])
    expect_the_plane(write(ds, tmp_path / "a.dcm"), ds)


@pytest.mark.parametrize("empty", [[], [Dataset()], [an_item(PixelSpacing=None, SliceThickness=None)]], ids=str)
def test_a_macro_without_values_is_as_if_it_were_absent(tmp_path: Path, empty: list[Dataset]) -> None:
    ds = an_enhanced_ct(hu=HU, spacing_mm=SPACING)
    for group in ds.PerFrameFunctionalGroupsSequence:
        group.PixelMeasuresSequence = empty
        group.PlaneOrientationSequence = [an_item(ImageOrientationPatient=None)]
        group.CTXRayDetailsSequence = [Dataset()]
    expect_the_plane(write(ds, tmp_path / "a.dcm"), ds)


@pytest.mark.parametrize("macro", ["PlanePositionSequence", "PixelMeasuresSequence", "PlaneOrientationSequence"])
def test_one_frame_without_its_macro_is_not_given_that_of_the_object(tmp_path: Path, macro: str) -> None:
    ds = an_enhanced_ct(hu=HU, spacing_mm=SPACING)
    (shared,) = ds.SharedFunctionalGroupsSequence
    for group in ds.PerFrameFunctionalGroupsSequence:
        if macro in shared:
            group[macro] = shared[macro]
    if macro in shared:
        del shared[macro]
    del ds.PerFrameFunctionalGroupsSequence[2][macro]
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-14, -12, 5.0], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [0.8, 0.7], 2.5
    with pytest.raises(VolumeError, match="1 of 4 planes") as caught:
        volume_of([write(ds, tmp_path / "a.dcm")])
    assert caught.value.code == "no-geometry"


def test_two_positions_of_one_frame_are_none(tmp_path: Path) -> None:
    ds = an_enhanced_ct(hu=HU)
    own = ds.PerFrameFunctionalGroupsSequence[1]
    own.PlanePositionSequence = [own.PlanePositionSequence[0], another_plane()]
    with pytest.raises(VolumeError) as caught:
        volume_of([write(ds, tmp_path / "a.dcm")])
    assert caught.value.code == "no-geometry"


def test_spacing_that_only_the_object_says(tmp_path: Path) -> None:
    ds = an_enhanced_ct(hu=HU, spacing_mm=SPACING)
    del ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    ds.PixelSpacing, ds.SliceThickness = list(SPACING[1:]), SPACING[0]
    expect_the_plane(write(ds, tmp_path / "a.dcm"), ds)


def test_rescale_of_the_frame_goes_before_the_shared_and_the_table_of_the_object(tmp_path: Path) -> None:
    ds = an_enhanced_ct(hu=HU)
    ds.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [another_plane()]
    table = an_item(LUTDescriptor=[2, 0, 16], ModalityLUTType="HU")
    table.add_new("LUTData", "US", [0, 1])
    ds.ModalityLUTSequence = [table]
    assert np.array_equal(frames_of(write(ds, tmp_path / "a.dcm")).values, HU)


def test_shared_rescale_holds_for_frames_without_their_own(tmp_path: Path) -> None:
    ds = an_enhanced_ct(hu=HU)
    own = ds.PerFrameFunctionalGroupsSequence
    ds.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = own[0].PixelValueTransformationSequence
    for group in own[1:]:
        del group.PixelValueTransformationSequence
    assert np.array_equal(volume_of([write(ds, tmp_path / "a.dcm")]).voxels, HU)


def test_what_a_legacy_converted_object_keeps(tmp_path: Path) -> None:
    ds = an_enhanced_ct(hu=HU, attributes={"SOPClassUID": LegacyConvertedEnhancedCTImageStorage})
    (shared,) = ds.SharedFunctionalGroupsSequence
    del shared.CTReconstructionSequence, ds.AcquisitionNumber
    shared.UnassignedSharedConvertedAttributesSequence = [an_item(ConvolutionKernel="B31f", ProtocolName="Chest")]
    for number, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        group.UnassignedPerFrameConvertedAttributesSequence = [
            an_item(AcquisitionNumber=number, PatientID="SOMEBODY", ImagePositionPatient=[0, 0, 0])
        ]
    (header,) = series_of([write(ds, tmp_path / "a.dcm")]).headers
    assert header.attributes["ConvolutionKernel"] == ("B31f",)
    assert header.attributes["ProtocolName"] == ("Chest",)
    assert header.attributes["AcquisitionNumber"] == ("0", "1", "2", "3")
    assert header.attributes["PatientID"] == ("OR-0001",)
    assert header.attributes["ImagePositionPatient"][2::3] == ("0", "2.5", "5", "7.5")
    assert np.array_equal(volume_of([tmp_path / "a.dcm"]).voxels, HU)


def test_one_frame_described_by_the_shared_groups_alone(tmp_path: Path) -> None:
    ds = an_enhanced_ct(hu=HU[:1], spacing_mm=SPACING)
    (own,) = ds.PerFrameFunctionalGroupsSequence
    for element in own:
        ds.SharedFunctionalGroupsSequence[0].add(element)
    del ds.PerFrameFunctionalGroupsSequence
    path = write(ds, tmp_path / "a.dcm")
    volume = volume_of([path])
    assert volume.geometry.affine_lps[:3, 3] == pytest.approx(ORIGIN)
    (frame,) = source_of(path, volume).frames
    assert frame.position == pytest.approx(ORIGIN)
    assert frame.number == 1


def test_the_direction_of_diffusion_is_read_where_it_stands(tmp_path: Path) -> None:
    ds = an_enhanced_mr(values=HU + 1024, b_values=[800.0] * 4)
    for group in ds.PerFrameFunctionalGroupsSequence:
        group.MRDiffusionSequence[0].DiffusionGradientDirectionSequence = [
            an_item(DiffusionGradientOrientation=[0.0, 0.6, 0.8])
        ]
    (header,) = series_of([write(ds, tmp_path / "a.dcm")]).headers
    assert header.attributes["DiffusionGradientOrientation"] == ("0.0", "0.6", "0.8")


def test_frames_of_nuclear_medicine_have_no_groups(tmp_path: Path) -> None:
    ds = a_ct_slice(hu=HU[0], attributes={"SOPClassUID": NuclearMedicineImageStorage, "Modality": "NM"})
    ds.NumberOfFrames, ds.PixelData = 4, HU.tobytes()
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient"):
        delattr(ds, keyword)
    ds.DetectorInformationSequence = [another_plane()]
    with pytest.raises(VolumeError) as caught:
        volume_of([write(ds, tmp_path / "a.dcm")])
    assert caught.value.code == "no-geometry"
