"""Planes whose positions fit, and which are no one volume; and stacks of scanners that vary something, and are one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedPETImageStorage, PositronEmissionTomographyImageStorage

from tests.builders import (
    a_ct_phantom,
    a_ct_slice,
    an_enhanced_ct,
    an_enhanced_mr,
    an_mr_slice,
    regular_positions,
    write,
)
from tests.unit.decode.reading import volume_of
from worker.decode.outcomes import VolumeError
from worker.decode.planes.plane_attributes import settings_of
from worker.decode.series.comparable import is_interleaved

PLANES = 8
HU = a_ct_phantom(slices=PLANES, rows=8, columns=10)
MODALITIES: Mapping[str, Callable[..., Dataset]] = {"CT": a_ct_slice, "MR": an_mr_slice, "PT": a_ct_slice}

WOVEN = [k % 2 for k in range(PLANES)]
IN_THREES = [k % 3 for k in range(PLANES)]
IN_BLOCKS = [int(k >= PLANES // 2) for k in range(PLANES)]
EACH = list(range(PLANES))

Value = Any
Attributes = Mapping[str, Value]


def a_series(
    folder: Path, plane: Callable[[int], Attributes], *, modality: str = "CT", thickness_mm: float = 2.5
) -> list[Path]:
    """A regular stack of planes 2.5 mm apart; ``plane`` gives each its attributes."""
    paths = []
    for k, place in enumerate(regular_positions(slices=PLANES, spacing_mm=2.5)):
        attributes = {"SliceThickness": thickness_mm, **plane(k)}
        if modality == "PT":
            attributes = {"SOPClassUID": PositronEmissionTomographyImageStorage, "Modality": "PT", **attributes}
        pixels = {"values": HU[k] + 1024} if modality == "MR" else {"hu": HU[k]}
        ds = MODALITIES[modality](
            **pixels, position=place, instance=k, spacing_mm=(2.5, 0.8, 0.7), attributes=attributes
        )
        paths.append(write(ds, folder / f"{k}.dcm"))
    return paths


def refused(paths: Sequence[Path], code: str = "several-acquisitions") -> str:
    with pytest.raises(VolumeError) as caught:
        volume_of(paths)
    assert caught.value.code == code, caught.value.message
    assert caught.value.next_step
    return caught.value.message


INCOMPARABLE = [
    ("CT", "ConvolutionKernel", ["STANDARD", "BONE"]),
    ("CT", "ReconstructionAlgorithm", ["FILTER_BACK_PROJ", "ITERATIVE"]),
    ("CT", "KVP", [80, 140]),
    ("CT", "ImageType", [["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "PRIMARY", "AXIAL", "VMI"]]),
    ("CT", "ContrastBolusAgent", [None, "IOMERON"]),
    ("CT", "RescaleType", ["HU", "Z_EFF"]),
    ("CT", "TemporalPositionIdentifier", [1, 2]),
    ("CT", "NominalPercentageOfCardiacPhase", [40.0, 70.0]),
    ("MR", "EchoTime", [2.3, 4.6]),
    ("MR", "EchoNumbers", [1, 2]),
    ("MR", "DiffusionBValue", [0.0, 800.0]),
    ("MR", "DiffusionGradientOrientation", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    ("MR", "InversionTime", [150.0, 2500.0]),
    ("MR", "ImageType", [["ORIGINAL", "PRIMARY", "M", "ND"], ["ORIGINAL", "PRIMARY", "P", "ND"]]),
    ("MR", "ContrastBolusAgent", [None, "GADOVIST"]),
    ("PT", "Units", ["BQML", "GML"]),
    ("PT", "SUVType", ["BW", "LBM"]),
    ("PT", "CorrectedImage", [["DECY", "ATTN", "SCAT"], ["DECY"]]),
    ("PT", "DecayCorrection", ["START", "NONE"]),
    ("PT", "AttenuationCorrectionMethod", ["measured,AC_CT", None]),
]


@pytest.mark.parametrize(("modality", "keyword", "values"), INCOMPARABLE, ids=lambda one: str(one)[:24])
def test_values_that_cannot_be_compared_are_no_volume(
    tmp_path: Path, modality: str, keyword: str, values: Sequence[Value]
) -> None:
    message = refused(a_series(tmp_path, lambda k: {keyword: values[WOVEN[k]]}, modality=modality))
    assert f"differ in {keyword}" in message
    assert "4 and 4" in message
    if None not in values or keyword == "ContrastBolusAgent":
        assert keyword in refused(a_series(tmp_path, lambda k: {keyword: values[IN_BLOCKS[k]]}, modality=modality))


@pytest.mark.parametrize("shift", [2.0, 1.25], ids=["uneven", "even"])
def test_two_kernels_beside_one_another_are_named_before_the_spacing(tmp_path: Path, shift: float) -> None:
    def plane(k: int) -> Attributes:
        depth = 2.5 * (k // 2) + shift * (k % 2)
        return {"ConvolutionKernel": ["B30f", "B70f"][k % 2], "ImagePositionPatient": [0, 0, depth]}

    assert "ConvolutionKernel" in refused(a_series(tmp_path, plane))


PHASES = [
    {"AcquisitionNumber": [1, 2]},
    {"AcquisitionNumber": [1, 2], "AcquisitionTime": ["101500", "101630"]},
    {"AcquisitionTime": ["101500", "101630"]},
    {"AcquisitionDateTime": ["20240102101500", "20240102101630"]},
    {"IrradiationEventUID": ["2.25.1", "2.25.2"]},
    {"SliceThickness": [5.0, 1.25]},
    {"SeriesDescription": ["ARTERIAL 5.0", "VENOUS 5.0"]},
    {"ProtocolName": ["ARTERIAL", "VENOUS"]},
    {"ScanOptions": ["HELICAL MODE", "AXIAL MODE"]},
]


@pytest.mark.parametrize("phases", PHASES, ids=lambda one: "+".join(one))
def test_two_phases_that_lie_between_one_another(tmp_path: Path, phases: Mapping[str, Sequence[Value]]) -> None:
    def plane(order: Sequence[int]) -> Callable[[int], Attributes]:
        return lambda k: {keyword: values[order[k]] for keyword, values in phases.items()}

    message = refused(a_series(tmp_path, plane(WOVEN), thickness_mm=5.0))
    assert next(iter(phases)) in message
    assert "interleaved" in message
    if "SliceThickness" not in phases:
        assert len(volume_of(a_series(tmp_path, plane(IN_BLOCKS))).slices) == PLANES


def test_three_phases(tmp_path: Path) -> None:
    message = refused(a_series(tmp_path, lambda k: {"AcquisitionNumber": IN_THREES[k]}))
    assert "in 3 sets (3 and 3 and 2 planes)" in message


def test_two_passes_of_a_spiral_with_a_time_of_each_plane(tmp_path: Path) -> None:
    def plane(k: int) -> Attributes:
        return {"AcquisitionTime": f"10{15 + 2 * (k % 2)}{10 + k:02d}.25"}

    message = refused(a_series(tmp_path, plane))
    assert "8 planes that differ in AcquisitionTime" in message


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "IrradiationEventUID", "ProtocolName"])
def test_passes_that_overlap_in_part_are_named(tmp_path: Path, keyword: str) -> None:
    """The second pass starts before the end of the first one, between its planes."""
    depths = [0.0, 2.5, 5.0, 7.5, 6.25, 8.75, 11.25, 13.75]

    def plane(k: int) -> Attributes:
        return {"ImagePositionPatient": [0, 0, depths[k]], keyword: f"{k // 4 + 1}"}

    message = refused(a_series(tmp_path, plane))
    assert f"differ in {keyword}" in message
    assert "overlap" in message


def test_irregular_distances_of_one_pass_are_just_that(tmp_path: Path) -> None:
    depths = [0.0, 2.5, 5.0, 7.5, 8.75, 10.0, 11.25, 12.5]
    paths = a_series(tmp_path, lambda k: {"ImagePositionPatient": [0, 0, depths[k]], "AcquisitionNumber": k // 4})
    assert "is 2.143 mm off" in refused(paths, "varying-spacing")


GOOD: list[tuple[str, Callable[[int], Attributes]]] = [
    ("CT", lambda k: {"AcquisitionNumber": k // 3 + 1}),
    ("CT", lambda k: {"AcquisitionNumber": k + 1}),
    ("CT", lambda k: {"AcquisitionNumber": 2 if k == 5 else 1}),
    ("CT", lambda k: {"XRayTubeCurrent": 100 + 37 * (k % 2), "Exposure": 5 * (k % 2) + 1, "ExposureTime": k % 2}),
    ("CT", lambda k: {"TableHeight": 150 + k % 2, "WindowCenter": 40 + k % 2, "ContentTime": f"1015{k % 2:02d}"}),
    ("CT", lambda k: {"AcquisitionTime": f"1015{k:02d}"}),
    ("CT", lambda k: {"AcquisitionTime": f"1015{9 - k:02d}"}),
    ("CT", lambda k: {"AcquisitionTime": f"1015{k // 4:02d}", "ContentTime": f"1016{PLANES - k:02d}"}),
    ("CT", lambda k: {"KVP": ["120", "120.0"][k % 2], "SliceThickness": [2.5, 2.500001][k % 2]}),
    ("CT", lambda k: {"ConvolutionKernel": ["B30f", "B30f "][k % 2], "ImageComments": str(k % 2)}),
    ("CT", lambda k: {"ImageType": [["ORIGINAL", "DERIVED"][k // 4], "PRIMARY", "AXIAL"]}),
    ("CT", lambda k: {"ContrastBolusAgent": "IOMERON", "ContrastBolusVolume": 90}),
    ("CT", lambda k: {"TemporalPositionIdentifier": k + 1}),
    ("CT", lambda k: {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", *["", ""][: k % 2]]}),
    ("PT", lambda k: {"CorrectedImage": [["DECY", "ATTN"], ["ATTN", "DECY"]][k % 2]}),
    ("CT", lambda k: {"ConvolutionKernel": None if k == 0 else "STD"}),
    ("MR", lambda k: {"AcquisitionNumber": k % 2 + 1, "AcquisitionTime": f"1015{30 * (k % 2) + k:02d}"}),
    ("MR", lambda k: {"TriggerTime": [12.0, 430.0][k % 2], "RepetitionTime": [910.0, 955.0][k % 2]}),
    ("MR", lambda k: {"EchoTime": [8.132, 8.136][k % 2], "RescaleSlope": 1.5 + k, "RescaleIntercept": 0}),
    ("PT", lambda k: {"RescaleSlope": 1 + k % 2, "Units": "BQML", "AcquisitionTime": f"10{15 + k // 4}00"}),
    ("PT", lambda k: {"FrameReferenceTime": 1000.0 * (k // 4), "ActualFrameDuration": 120000 + k // 4}),
]  # fmt: skip


@pytest.mark.parametrize(("modality", "plane"), GOOD)
def test_what_scanners_vary_within_one_stack(tmp_path: Path, modality: str, plane: Callable[[int], Attributes]) -> None:
    assert len(volume_of(a_series(tmp_path, plane, modality=modality)).slices) == PLANES


def test_passes_of_mr_whose_slices_overlap_are_two_volumes(tmp_path: Path) -> None:
    paths = a_series(tmp_path, lambda k: {"AcquisitionNumber": k % 2 + 1}, modality="MR", thickness_mm=5.0)
    assert "AcquisitionNumber" in refused(paths)


def with_private(group: int, creator: str, offset: int, vr: str, values: Sequence[Value]) -> Callable[[Dataset], None]:
    def add(ds: Dataset) -> None:
        ds.private_block(group, creator, create=True).add_new(offset, vr, values[int(ds.InstanceNumber) % 2])

    return add


PRIVATE_B_VALUES = [
    with_private(0x0019, "SIEMENS MR HEADER", 0x0C, "IS", ["0", "1000"]),
    with_private(0x0043, "GEMS_PARM_01", 0x39, "IS", [["0", "8", "0", "0"], ["1000001000", "8", "0", "0"]]),
    with_private(0x2001, "Philips Imaging DD 001", 0x03, "FL", [0.0, 800.0]),
]


@pytest.mark.parametrize("same_place", [True, False])
@pytest.mark.parametrize("add", PRIVATE_B_VALUES, ids=["Siemens", "GE", "Philips"])
def test_diffusion_that_only_the_vendor_says(tmp_path: Path, add: Callable[[Dataset], None], same_place: bool) -> None:
    paths = []
    for k in range(PLANES):
        depth = 2.5 * (k // 2 if same_place else k)
        ds = an_mr_slice(values=HU[k] + 1024, position=(0, 0, depth), instance=k, instance_number=k)
        add(ds)
        paths.append(write(ds, tmp_path / f"{k}.dcm"))
    assert "DiffusionBValue" in refused(paths)


def test_diffusion_of_many_directions_is_named_by_what_it_is(tmp_path: Path) -> None:
    weights = [(0.0, None), (1000.0, [1.0, 0.0, 0.0]), (1000.0, [0.0, 1.0, 0.0]), (1000.0, [0.0, 0.0, 1.0])]
    paths = []
    for k in range(PLANES):
        b_value, direction = weights[k % 4]
        attributes = {
            "DiffusionBValue": b_value, "DiffusionGradientOrientation": direction, "AcquisitionTime": f"1015{k:02d}",
        }  # fmt: skip
        ds = an_mr_slice(values=HU[k] + 1024, position=(0, 0, k // 4), instance=k, attributes=attributes)
        paths.append(write(ds, tmp_path / f"{k}.dcm"))
    assert "differ in DiffusionBValue" in refused(paths)


SAME_PLACE = [
    ("MR", {"EchoTime": [2.3, 4.6]}, "EchoTime"),
    ("MR", {"TemporalPositionIdentifier": [1, 2], "AcquisitionTime": ["101500", "101510"]}, "TemporalPosition"),
    ("MR", {"AcquisitionNumber": [1, 2]}, "AcquisitionNumber"),
    ("MR", {"ImageType": [["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]]}, "ImageType"),
    ("MR", {"TriggerTime": [20.0, 400.0]}, "TriggerTime"),
    ("PT", {"Units": ["BQML", "CNTS"]}, "Units"),
    ("PT", {"FrameReferenceTime": [0.0, 5000.0]}, "FrameReferenceTime"),
    ("PT", {"CorrectedImage": [["DECY", "ATTN"], ["DECY"]]}, "CorrectedImage"),
    ("CT", {"ContrastBolusAgent": [None, "IOMERON"], "AcquisitionTime": ["101500", "101600"]}, "ContrastBolusAgent"),
    ("CT", {"AcquisitionTime": ["101500", "101600"]}, "AcquisitionTime"),
    ("CT", {"KVP": [80, 140]}, "KVP"),
]


@pytest.mark.parametrize(("modality", "values", "named"), SAME_PLACE, ids=lambda one: str(one)[:30])
def test_images_at_one_place_are_named_by_what_differs(
    tmp_path: Path, modality: str, values: Mapping[str, Sequence[Value]], named: str
) -> None:
    def plane(k: int) -> Attributes:
        place = {"ImagePositionPatient": [0, 0, 2.5 * (k // 2)]}
        return {**place, **{keyword: value[k % 2] for keyword, value in values.items()}}

    assert f"differ in {named}" in refused(a_series(tmp_path, plane, modality=modality))


@pytest.mark.parametrize(("modality", "values", "named"), SAME_PLACE, ids=lambda one: str(one)[:30])
def test_equal_pixels_of_another_kind_are_no_repeat(
    tmp_path: Path, modality: str, values: Mapping[str, Sequence[Value]], named: str
) -> None:
    """The same pixels twice: a phantom, or slices beyond the body."""
    paths = []
    for k in range(PLANES):
        attributes = {keyword: value[k % 2] for keyword, value in values.items()}
        ds = MODALITIES[modality](position=(0, 0, 2.5 * (k // 2)), instance=k, attributes=attributes)
        ds.Modality = modality
        paths.append(write(ds, tmp_path / f"{k}.dcm"))
    assert f"differ in {named}" in refused(paths)


def test_what_an_export_changes_makes_a_repeat_no_other_image(tmp_path: Path) -> None:
    def plane(k: int) -> Attributes:
        return {
            "ContentTime": f"1015{k:02d}",
            "ProtocolName": str(k),
            "ImageType": [["ORIGINAL", "DERIVED"][k % 2], "A"],
        }

    paths = []
    for k in range(PLANES):
        ds = a_ct_slice(hu=HU[k // 2], position=(0, 0, 2.5 * (k // 2)), instance=k, attributes=plane(k))
        paths.append(write(ds, tmp_path / f"{k}.dcm"))
    volume = volume_of(paths)
    assert len(volume.slices) == PLANES // 2
    assert "4 planes repeat others" in volume.notes[0]


def an_energy(k_ev: float) -> Dataset:
    item = Dataset()
    item.MonoenergeticEnergyEquivalent = k_ev
    return item


def test_virtual_energies(tmp_path: Path) -> None:
    energies = [40.0, 70.0]
    paths = a_series(tmp_path, lambda k: {"MultienergyCTCharacteristicsSequence": [an_energy(energies[k % 2])]})
    assert "MonoenergeticEnergyEquivalent" in refused(paths)


def a_unit(code: str) -> dict[str, Value]:
    unit = Dataset()
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = code, "UCUM", code
    return {"MeasurementUnitsCodeSequence": [unit], "RealWorldValueSlope": 1.0, "RealWorldValueIntercept": 0.0}


def an_enhanced(modality: str, macro: str, items: Sequence[Mapping[str, Value]]) -> Dataset:
    ds = an_enhanced_mr(values=HU + 1024) if modality == "MR" else an_enhanced_ct(hu=HU)
    if modality == "PT":
        ds.Modality, ds.SOPClassUID = "PT", EnhancedPETImageStorage
    (shared,) = ds.SharedFunctionalGroupsSequence
    if macro in shared:
        del shared[macro]
    for k, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        item = group[macro].value[0] if macro in group else Dataset()
        for keyword, value in items[k % len(items)].items():
            setattr(item, keyword, value)
        setattr(group, macro, [item])
    return ds


ENHANCED: list[tuple[str, str, list[dict[str, Value]], str]] = [
    ("CT", "CTReconstructionSequence", [{"ConvolutionKernel": "STD"}, {"ConvolutionKernel": "BONE"}],
     "ConvolutionKernel"),
    ("CT", "CTXRayDetailsSequence", [{"KVP": 80}, {"KVP": 140}], "KVP"),
    ("CT", "ContrastBolusUsageSequence",
     [{"ContrastBolusAgentAdministered": "NO"}, {"ContrastBolusAgentAdministered": "YES"}],
     "ContrastBolusAgentAdministered"),
    ("CT", "FrameContentSequence", [{"TemporalPositionIndex": 1}, {"TemporalPositionIndex": 2}],
     "TemporalPositionIndex"),
    ("CT", "FrameContentSequence", [{"FrameAcquisitionNumber": 1}, {"FrameAcquisitionNumber": 2}],
     "FrameAcquisitionNumber"),
    ("MR", "MREchoSequence", [{"EffectiveEchoTime": 10.0}, {"EffectiveEchoTime": 80.0}], "EffectiveEchoTime"),
    ("MR", "MRDiffusionSequence", [{"DiffusionBValue": 0.0}, {"DiffusionBValue": 800.0}], "DiffusionBValue"),
    ("MR", "MRImageFrameTypeSequence", [{"ComplexImageComponent": "MAGNITUDE"}, {"ComplexImageComponent": "PHASE"}],
     "ComplexImageComponent"),
    ("PT", "RealWorldValueMappingSequence", [a_unit("Bq/ml"), a_unit("g/ml{SUVbw}")], "MeasurementUnits"),
    ("PT", "PixelValueTransformationSequence", [{"RescaleType": "BQML"}, {"RescaleType": "GML"}], "RescaleType"),
]  # fmt: skip


@pytest.mark.parametrize(("modality", "macro", "items", "named"), ENHANCED, ids=lambda one: str(one)[:30])
def test_frames_that_are_no_one_volume(
    tmp_path: Path, modality: str, macro: str, items: list[dict[str, Value]], named: str
) -> None:
    ds = an_enhanced(modality, macro, items)
    assert f"differ in {named}" in refused([write(ds, tmp_path / "a.dcm")])
    same = an_enhanced(modality, macro, items[:1])
    assert volume_of([write(same, tmp_path / "b.dcm")]).voxels.shape == HU.shape


@pytest.mark.parametrize("named", [True, False], ids=["Image Type", "private"])
def test_a_mosaic_is_no_slice(tmp_path: Path, named: bool) -> None:
    types = ["ORIGINAL", "PRIMARY", "M", "ND", *(["MOSAIC"] if named else [])]
    ds = an_mr_slice(image_type=types)
    if not named:
        ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 36)
    assert "mosaic" in refused([write(ds, tmp_path / "a.dcm")], "bad-geometry")


@pytest.mark.parametrize(
    ("settings", "woven"),
    [(WOVEN, True), (IN_THREES, True), (IN_BLOCKS, False), (EACH, False), ([0, 1, 0], False), ([0, 0, 1, 1, 0], False),
     ([0, 1, 0, 1], True), ([0] * 8, False), ([0, 0, 0, 1, 0, 0, 1, 0], False), ([-1, 0] * 4, True)],
    ids=str,
)  # fmt: skip
def test_what_counts_as_interleaved(settings: list[int], woven: bool) -> None:
    assert is_interleaved(settings) is woven


@pytest.mark.parametrize(
    ("keyword", "values", "expected"),
    [
        ("EchoTime", ["80", "80.1", "", "95", "80.0 "], [0, 0, -1, 1, 0]),
        ("EchoTime", ["nan", "80", "nan", "inf", "95"], [0, 1, 0, 2, 3]),  # no number is near to another word
        ("EchoNumbers", ["nan", "nan", "1", "1.0"], [0, 0, 1, 1]),
        ("ConvolutionKernel", ["B30f", "b30f ", "B60f"], [0, 0, 1]),
    ],
)
def test_which_values_are_one_setting(keyword: str, values: list[str], expected: list[int]) -> None:
    assert settings_of(keyword, [(value,) for value in values]) == expected
