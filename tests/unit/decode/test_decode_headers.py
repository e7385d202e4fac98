"""Headers and summaries of series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.builders import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    a_ct_series,
    a_ct_slice,
    a_localizer,
    a_secondary_capture,
    an_enhanced_ct,
    an_enhanced_mr,
    an_mr_series,
    stored_instance,
    stored_instances,
    write,
)
from tests.picture_builders import FOR_PROCESSING, a_computed_radiograph, a_mammogram, a_radiograph, an_ultrasound
from tests.unit.decode.reading import series_of
from worker.decode.series.headers import HeaderReader
from worker.domain.character_sets import StatedSet, StatedSets
from worker.domain.study import InstanceHeader, StoredInstance
from worker.headers.errors import UnreadableInstanceError


def header_of(path: Path) -> InstanceHeader:
    return HeaderReader().headers((stored_instance(path),))[0]


def test_attributes_are_text_with_all_their_values(tmp_path: Path) -> None:
    header = header_of(write(a_ct_slice(), tmp_path / "a.dcm"))
    assert header.attributes["ImageType"] == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert header.attributes["Rows"] == ("32",)
    assert header.attributes["PixelSpacing"] == ("0.8", "0.7")
    assert header.first("KVP") == "120.0"
    assert "PixelData" not in header.attributes
    assert (header.rows, header.columns, header.number_of_frames) == (32, 40, 1)
    assert header.image_orientation_patient == AXIAL
    assert header.image_position_patient == (-14.0, -12.0, 0.0)


def test_empty_and_absent_attributes_are_absent(tmp_path: Path) -> None:
    header = header_of(write(a_ct_slice(attributes={"KVP": None, "StudyDescription": "  "}), tmp_path / "a.dcm"))
    assert "KVP" not in header.attributes
    assert "StudyDescription" not in header.attributes
    assert header.first("KVP") == ""


@pytest.mark.parametrize(
    ("keyword", "value", "text"),
    [("CTDIvol", 7.25, "7.25"), ("WindowCenter", ["40", "-600"], "40"), ("PatientName", "Müller^Änne", "Müller^Änne"),
     ("ImageComments", "one\\line", "one\\line")],
)  # fmt: skip
def test_value_representations(tmp_path: Path, keyword: str, value: object, text: str) -> None:
    header = header_of(write(a_ct_slice(attributes={keyword: value}), tmp_path / "a.dcm"))
    assert header.first(keyword) == text


def test_implicit_vr_gives_the_same_attributes(tmp_path: Path) -> None:
    explicit = header_of(write(a_ct_slice(padding_value=-2000), tmp_path / "a.dcm"))
    implicit = header_of(
        write(a_ct_slice(padding_value=-2000), tmp_path / "b.dcm", transfer_syntax_uid="1.2.840.10008.1.2")
    )
    assert implicit.attributes == explicit.attributes
    assert implicit.first("PixelPaddingValue") == "-2000"


def test_codecs_of_python_are_no_character_sets(tmp_path: Path) -> None:
    ds = a_ct_slice()
    ds.PatientName = "Ünal^Ada"
    path = write(ds, tmp_path / "a.dcm")
    instance = stored_instance(path)
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 192", b"rot13     "))
    (header,) = HeaderReader().headers((instance,))
    assert header.first("PatientName").endswith("nal^Ada")


@pytest.mark.parametrize(
    ("charset", "name"), [("ISO_IR 100", "Müller^Änne"), ("ISO_IR 192", "山田^太郎"), ("GB18030", "王^小东"),
                          (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎")]
)  # fmt: skip
def test_character_sets(tmp_path: Path, charset: str | list[str], name: str) -> None:
    ds = a_ct_slice(attributes={"SpecificCharacterSet": charset, "PatientName": name})
    assert header_of(write(ds, tmp_path / "a.dcm")).first("PatientName") == name


def test_text_is_read_in_the_set_that_the_site_states(tmp_path: Path) -> None:
    ds = a_ct_slice(attributes={"SpecificCharacterSet": "GB18030", "StudyDescription": "胸部"})
    path = write(ds, tmp_path / "a.dcm")
    instance = stored_instance(path)
    path.write_bytes(path.read_bytes().replace(b"GB18030 ", b"ISO_IR 6"))
    for sets, found in (
        (StatedSets(None, {"MODALITY": StatedSet("GB18030", always=True)}), "胸部"),
        (StatedSets(StatedSet("GB18030")), "胸部".encode("gb18030").decode("latin-1")),  # for what declares nothing
    ):
        (header,) = HeaderReader(character_sets=sets).headers((instance,))
        assert header.first("StudyDescription") == found


def test_codes_become_attributes(tmp_path: Path) -> None:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "51185008", "SCT", "Chest"
    header = header_of(write(a_ct_slice(attributes={"AnatomicRegionSequence": [item]}), tmp_path / "a.dcm"))
    assert header.first("AnatomicRegion") == "Chest"
    assert header.first("AnatomicRegionValue") == "51185008"


def test_functional_groups_become_attributes(tmp_path: Path) -> None:
    header = header_of(write(an_enhanced_ct(slices=3), tmp_path / "a.dcm"))
    assert header.number_of_frames == 3
    assert header.attributes["PixelSpacing"] == ("0.8", "0.7")
    assert header.attributes["ImageOrientationPatient"] == ("1", "0", "0", "0", "1", "0")
    assert len(header.attributes["ImagePositionPatient"]) == 9
    assert header.first("AnatomicRegion") == "Chest"
    assert header.first("ConvolutionKernel") == "STD"
    assert header.attributes["RescaleIntercept"] == ("-1024.0",)
    assert header.attributes["InStackPositionNumber"] == ("1", "2", "3")


def test_what_rules_ask_of_a_radiograph(tmp_path: Path) -> None:
    header = header_of(write(a_radiograph(inverted=True, view_position="LL"), tmp_path / "a.dcm"))
    assert header.attributes["ViewPosition"] == ("LL",)
    assert header.attributes["PatientOrientation"] == ("L", "F")
    assert header.attributes["ImageLaterality"] == ("U",)
    assert header.attributes["PhotometricInterpretation"] == ("MONOCHROME1",)
    assert header.attributes["PresentationIntentType"] == ("FOR PRESENTATION",)
    assert header.attributes["ViewCode"] == ("left lateral",)
    assert header.attributes["NumberOfFrames"] == ("1",)


@pytest.mark.parametrize("intent", ["FOR PRESENTATION", FOR_PROCESSING])
@pytest.mark.parametrize("said", [True, False])
def test_presentation_intent_is_known_by_the_class(tmp_path: Path, intent: str, said: bool) -> None:
    ds = a_mammogram(intent=intent, attributes={} if said else {"PresentationIntentType": None})
    header = header_of(write(ds, tmp_path / "a.dcm"))
    assert header.attributes["PresentationIntentType"] == (intent,)
    assert header.attributes["ImageLaterality"] == ("R",)
    assert header.attributes["ViewPosition"] == ("CC",)


def test_a_class_without_intent_has_none(tmp_path: Path) -> None:
    assert "PresentationIntentType" not in header_of(write(a_computed_radiograph(), tmp_path / "a.dcm")).attributes


def test_view_modifiers_become_attributes(tmp_path: Path) -> None:
    magnified, plain = (
        header_of(write(a_mammogram(magnified=one, instance=one), tmp_path / f"{one}.dcm")) for one in (True, False)
    )
    assert magnified.attributes["ViewModifier"] == ("Magnification",)
    assert magnified.attributes["ViewModifierValue"] == ("399163009",)
    assert "ViewModifier" not in plain.attributes
    assert plain.attributes["ViewCode"] == ("cranio-caudal",)


def test_number_of_frames_is_known_of_every_image(tmp_path: Path) -> None:
    run, still = (write(an_ultrasound(frames=n, instance=n), tmp_path / f"{n}.dcm") for n in (4, None))
    assert header_of(run).attributes["NumberOfFrames"] == ("4",)
    assert header_of(still).attributes["NumberOfFrames"] == ("1",)
    report = a_ct_slice(attributes={"Rows": None, "Columns": None, "PixelData": None})
    assert "NumberOfFrames" not in header_of(write(report, tmp_path / "r.dcm")).attributes


def test_summary_of_views(tmp_path: Path) -> None:
    paths = [write(a_mammogram(view=view, instance=view), tmp_path / f"{view}.dcm") for view in ("CC", "MLO")]
    series = series_of(paths)
    assert (series.modality, series.orientation, series.slice_count) == ("MG", "unknown", 2)
    assert sorted(series.values("ViewPosition")) == ["CC", "MLO"]


def test_one_view_can_be_taken_out_of_a_series(tmp_path: Path) -> None:
    paths = [write(a_mammogram(view=view, instance=view), tmp_path / f"{view}.dcm") for view in ("CC", "MLO")]
    reader = HeaderReader()
    headers = reader.headers(stored_instances(paths))
    (series,) = reader.series([header for header in headers if header.first("ViewPosition") == "MLO"])
    assert (series.slice_count, series.values("ViewPosition")) == (1, ("MLO",))


def test_summary_of_a_ct_series(tmp_path: Path) -> None:
    series = series_of(a_ct_series(tmp_path, slices=5, spacing_mm=(2.5, 0.8, 0.7)))
    assert (series.orientation, series.slice_count, series.modality) == ("axial", 5, "CT")
    assert series.slice_spacing_mm == pytest.approx(2.5)
    assert series.slice_thickness_mm == pytest.approx(2.5)
    assert (series.rows, series.columns) == (32, 40)
    uids = [header.instance.sop_instance_uid for header in series.headers]
    assert uids == sorted(uids)


@pytest.mark.parametrize(("orientation", "name"), [(SAGITTAL, "sagittal"), (CORONAL, "coronal"),
                                                   ((0.8, 0.6, 0, 0.36, -0.48, 0.8), "oblique")])  # fmt: skip
def test_orientation_is_named(tmp_path: Path, orientation: tuple[float, ...], name: str) -> None:
    assert series_of(an_mr_series(tmp_path, slices=3, orientation=orientation)).orientation == name


def test_enhanced_object_counts_its_frames(tmp_path: Path) -> None:
    series = series_of([write(an_enhanced_mr(slices=4, spacing_mm=(1.5, 1.0, 1.0)), tmp_path / "a.dcm")])
    assert (series.orientation, series.slice_count) == ("axial", 4)
    assert series.slice_spacing_mm == pytest.approx(1.5)


def test_a_scout_among_slices_is_none_of_them(tmp_path: Path) -> None:
    paths = a_ct_series(tmp_path, slices=3)
    scout = write(a_localizer(series="series", instance="scout"), tmp_path / "scout.dcm")
    series = series_of([*paths, scout])
    assert (series.orientation, series.slice_count, series.slice_spacing_mm) == ("axial", 3, 2.5)
    assert [one.reason for one in series.aside] == ["a localizer (ImageType)"]


def test_what_has_no_geometry_is_unknown(tmp_path: Path) -> None:
    series = series_of([write(a_secondary_capture(), tmp_path / "a.dcm")])
    assert (series.orientation, series.slice_count, series.slice_spacing_mm) == ("unknown", 1, None)


def test_series_are_grouped(tmp_path: Path) -> None:
    paths = [*a_ct_series(tmp_path / "a", slices=2), *an_mr_series(tmp_path / "b", slices=3)]
    reader = HeaderReader()
    found = reader.series(reader.headers(stored_instances(paths)))
    assert sorted((series.modality, series.slice_count) for series in found) == [("CT", 2), ("MR", 3)]


def test_another_instance_behind_the_index_is_noticed(tmp_path: Path) -> None:
    instance = stored_instance(write(a_ct_slice(instance=1), tmp_path / "a.dcm"))
    write(a_ct_slice(instance=2), tmp_path / "a.dcm")
    with pytest.raises(UnreadableInstanceError) as caught:
        HeaderReader().headers((instance,))
    assert caught.value.code == "file-does-not-match-index"


def test_missing_file_is_named_by_uid(tmp_path: Path) -> None:
    instance = stored_instance(write(a_ct_slice(), tmp_path / "a.dcm"))
    (tmp_path / "a.dcm").unlink()
    with pytest.raises(UnreadableInstanceError, match=instance.sop_instance_uid):
        HeaderReader().headers((instance,))


def test_messages_hold_no_patient(tmp_path: Path) -> None:
    path = write(a_ct_slice(), tmp_path / "a.dcm")
    instance: StoredInstance = stored_instance(path)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(UnreadableInstanceError) as caught:
        HeaderReader().headers((instance,))
    assert caught.value.code == "truncated-instance"
    assert "Ada" not in str(caught.value)
    assert "OR-0001" not in str(caught.value)


def test_spacing_of_a_reversed_series_is_positive(tmp_path: Path) -> None:
    series = series_of(a_ct_series(tmp_path, slices=4, step_mm=(0, 0, -1.25)))
    assert series.slice_spacing_mm == pytest.approx(1.25)
    assert np.isfinite(series.slice_spacing_mm or np.nan)


def test_one_object_that_cannot_be_read_keeps_no_other_series_from_being_routed(tmp_path: Path) -> None:
    slices = a_ct_series(tmp_path / "ct", slices=6)
    broken = write(a_ct_slice(series="broken", instance="broken"), tmp_path / "broken.dcm")
    within = write(a_ct_slice(instance="within"), tmp_path / "within.dcm")
    instances = stored_instances([*slices, broken, within])
    for path in (broken, within):
        path.write_bytes(path.read_bytes()[:400])
    reader = HeaderReader()
    headers, errors = reader.survey(instances)
    assert [error.code for error in errors] == ["truncated-instance"] * 2
    found = sorted(reader.series(headers), key=lambda one: one.slice_count)
    assert [(one.modality, one.slice_count, len(one.headers)) for one in found] == [("CT", 0, 1), ("CT", 6, 7)]
    # Planned with all of its objects: the analysis comes to the error, by its name.
    assert [one.reason for one in found[1].aside] == ["it cannot be read (truncated-instance)"]
    with pytest.raises(UnreadableInstanceError):
        reader.headers([header.instance for header in found[1].headers])


def test_another_instance_behind_the_index_is_no_object_to_pass_over(tmp_path: Path) -> None:
    instance = stored_instance(write(a_ct_slice(instance=1), tmp_path / "a.dcm"))
    write(a_ct_slice(instance=2), tmp_path / "a.dcm")
    with pytest.raises(UnreadableInstanceError):
        HeaderReader().survey([instance])


@pytest.mark.parametrize("vr", [b"??", b"  ", b"\0\0"])
def test_a_value_representation_that_is_none_is_read_as_it_was_meant_in_items_too(tmp_path: Path, vr: bytes) -> None:
    """As the evidence of results is read: a rule asks for what the results will say."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CTCHEST", "99LOCAL", "CT chest"
    path = write(a_ct_slice(attributes={"ProcedureCodeSequence": [code]}), tmp_path / "a.dcm")
    instance = stored_instance(path)
    data = path.read_bytes()
    assert data.count(b"\x08\x00\x00\x01SH") == 1
    path.write_bytes(data.replace(b"\x08\x00\x00\x01SH", b"\x08\x00\x00\x01" + vr))
    header = HeaderReader().header(instance)
    assert header.attributes["ProcedureCodeValue"] == ("CTCHEST",)
    assert header.attributes["ProcedureCode"] == ("CT chest",)
