"""What a measurement report says of every kind of finding, read back from its bytes."""

from __future__ import annotations

from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest

from tests.unit.results import given, projection, reading, reported
from worker.domain.codes import MILLIMETRE
from worker.domain.findings import Measurement
from worker.domain.profile import OHIF, SLICER, RegionEncoding, SegmentEncoding, Statements
from worker.domain.regions import Box, Circle, Ellipse, Line, Point, Polygon
from worker.results.sr.regions import LENGTH_TOOL


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> given.Study:
    return given.a_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def square(tmp_path_factory) -> given.Study:
    return given.a_study(tmp_path_factory.mktemp("square"), spacing_mm=(2.5, 0.75, 0.75))


def drawn(group):
    (region,) = reading.named(group, "111030")
    return region.GraphicType, np.array(region.GraphicData).reshape(-1, 2)


@pytest.mark.parametrize("profile", [
    OHIF, SLICER, replace(OHIF, segmentation=SegmentEncoding.NONE), replace(OHIF, statements=Statements.TEMPLATE),
    replace(OHIF, statements=Statements.BOTH, one_template=True), replace(OHIF, regions=RegionEncoding.PATIENT),
    replace(OHIF, editable_measurements=True), replace(OHIF, report=False, segmentation=SegmentEncoding.NONE),
], ids=["ohif", "slicer", "no SEG", "template", "one template", "patient", "editable", "text only"])  # fmt: skip
def test_everything_passes_the_gate_for_every_profile(study, profile) -> None:
    conclusion = reported.everything(study)
    report = reported.gated(reported.encoded(study, conclusion, profile), study, conclusion, profile)
    assert report.passed, report.failures


def test_shapes_are_drawn_from_the_corner_of_the_image(square) -> None:
    (ds,) = reported.reports(square, reported.detected(square, *reported.regions()))
    own = reported.groups(ds)
    kind, points = drawn(own["AI nodule point"][0])
    assert (kind, points.tolist()) == ("POINT", [[21.75, 20.5]])
    kind, points = drawn(own["AI nodule circle"][0])
    assert kind == "CIRCLE"
    assert points.tolist() == [[30.5, 15.5], [34.5, 15.5]]
    kind, points = drawn(own["AI nodule ellipse"][0])
    assert kind == "ELLIPSE"
    assert points.tolist() == [[10.5, 10.5], [20.5, 10.5], [15.5, 7.5], [15.5, 13.5]]
    kind, points = drawn(own["AI nodule polygon"][0])
    assert kind == "POLYLINE"
    assert {(3.5, 3.5), (9.5, 3.5), (6.5, 8.5)} <= set(map(tuple, points.tolist()))
    assert (points[0] == points[-1]).all()
    assert len(points) >= 8, "viewers take four or five points for a box of their own"
    kind, points = drawn(own["AI nodule box"][0])
    assert (points.min(axis=0).tolist(), points.max(axis=0).tolist()) == ([6, 5], [15, 11])
    assert len(points) >= 8


def test_a_circle_on_pixels_that_are_not_square_is_an_ellipse(study) -> None:
    (ds,) = reported.reports(study, reported.detected(study, reported.a_region("circle", Circle((15, 30), 4))))
    kind, points = drawn(reading.named(ds, "125007")[0])
    assert (kind, points.tolist()) == ("ELLIPSE", [[26.5, 15.5], [34.5, 15.5], [30.5, 11.5], [30.5, 19.5]])


def test_a_region_says_everything_that_was_concluded(study) -> None:
    (ds,) = reported.reports(study, reported.detected(study, *reported.regions()))
    planar, volumetric = reported.groups(ds)["AI nodule box"]
    numbers = {
        item.ConceptNameCodeSequence[0].CodeMeaning: (
            float(item.MeasuredValueSequence[0].NumericValue),
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for group in (planar, volumetric)
        for item in reading.items(group)
        if item.ValueType == "NUM"
    }
    assert numbers == {"Probability": (93.1, "%"), "Diameter": (8.25, "mm"), "Volume": (0.31, "mL")}
    (site,) = reading.named(planar, "363698007")
    assert site.ConceptCodeSequence[0].CodeMeaning == "Lung"
    assert reading.named(site, "272741003")[0].ConceptCodeSequence[0].CodeMeaning == "Right"
    assert reading.named(planar, "111000")[0].ConceptCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    assert planar.ContentTemplateSequence[0].TemplateIdentifier == "1410"
    assert volumetric.ContentTemplateSequence[0].TemplateIdentifier == "1411"
    assert reading.named(planar, "112040")[0].UID == reading.named(volumetric, "112040")[0].UID
    images = [r.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
              for r in reading.named(volumetric, "111030")]  # fmt: skip
    order = [study.volume.slices[k].sop_instance_uid for k in (1, 0, 2, 3)]
    assert images == order, "the slice that shows it best comes first: some viewers draw no other"
    (polygon,) = reported.groups(ds)["AI nodule polygon"]
    assert reading.named(polygon, "121401")[0].ConceptCodeSequence[0].CodeMeaning == "Mean"
    assert reading.named(polygon, "129737002")[0].ConceptCodeSequence[0].CodeMeaning == "Circumscribed"


def test_a_line_belongs_to_its_length(study) -> None:
    (ds,) = reported.reports(study, reported.detected(study, reported.a_region("line", reported.SHAPES["line"])))
    (group,) = reported.groups(ds)["AI nodule line"]
    assert group.ContentTemplateSequence[0].TemplateIdentifier == "1501"
    (length,) = reading.named(group, "410668003")
    assert float(length.MeasuredValueSequence[0].NumericValue) == pytest.approx(np.hypot(10 * 0.8, 20 * 0.7), rel=1e-5)
    (place,) = length.ContentSequence
    assert (place.RelationshipType, place.GraphicType) == ("INFERRED FROM", "POLYLINE")
    assert list(place.GraphicData) == [3.5, 3.5, 23.5, 13.5]
    assert place.ContentSequence[0].RelationshipType == "SELECTED FROM"


def test_editable_lines_only_where_the_viewer_measures_the_same(study, square) -> None:
    profile = replace(OHIF, editable_measurements=True)
    line = reported.a_region("line", reported.SHAPES["line"])
    (ds,) = reported.reports(square, reported.detected(square, line), profile)
    assert list(reported.groups(ds)) == [LENGTH_TOOL]
    (ds,) = reported.reports(study, reported.detected(study, line), profile)
    assert list(reported.groups(ds)) == ["AI nodule line"]
    (ds,) = reported.reports(square, reported.detected(square, line))
    assert list(reported.groups(ds)) == ["AI nodule line"], "off by default"


def test_what_leaves_the_image_is_cut_off_at_its_edge(square) -> None:
    beyond = (
        reported.a_region("box", Box((-3.0, 30.0), (5.0, 60.0))),
        reported.a_region("circle", Circle((30.0, 38.0), 6.0)),
        reported.a_region("ellipse", Ellipse(((16.0, -4.0), (16.0, 6.0)), ((14.0, 1.0), (18.0, 1.0)))),
        reported.a_region("polygon", Polygon(np.array([[-5.0, 3.0], [6.0, 9.0], [6.0, -9.0]]))),
    )
    (ds,) = reported.reports(square, reported.detected(square, *beyond))
    for own in reported.groups(ds).values():
        kind, points = drawn(own[0])
        assert kind == "POLYLINE"
        assert (points >= 0).all()
        assert (points <= (40, 32)).all()


def test_places_in_the_patient_are_points_beside_the_drawing(study) -> None:
    profile = replace(OHIF, regions=RegionEncoding.PATIENT)
    (ds,) = reported.reports(study, reported.detected(study, *reported.regions()), profile)
    for name, own in reported.groups(ds).items():
        spatial = [item for group in own for item in reading.items(group) if item.ValueType == "SCOORD3D"]
        assert [item.GraphicType for item in spatial] == ["POINT"], name
        assert any(item.ValueType == "SCOORD" for group in own for item in reading.items(group)), name
    point = reported.groups(ds)["AI nodule point"][1]
    expected = study.volume.geometry.to_patient_mm(np.array([2, 20.0, 21.25]))
    assert np.allclose(reading.named(point, "111030")[0].GraphicData, expected, atol=1e-4)


def test_without_any_seg(study) -> None:
    profile = replace(OHIF, segmentation=SegmentEncoding.NONE)
    (ds,) = reported.reports(study, given.a_conclusion(study.volume), profile)
    for planar, volumetric in reported.groups(ds).values():
        assert not reading.named(volumetric, "121191")
        assert drawn(planar)[1].tolist() == drawn(volumetric)[1].tolist()
        assert reading.named(volumetric, "118565006")


def test_one_report_for_each_template(study) -> None:
    found = reported.reports(study, reported.everything(study), SLICER)
    templates = [{g.ContentTemplateSequence[0].TemplateIdentifier for g in reading.named(ds, "125007")} for ds in found]
    assert templates == [{"1410"}, {"1411"}, {"1501"}]
    assert len({ds.SOPInstanceUID for ds in found}) == 3
    assert len({ds.SeriesInstanceUID for ds in found}) == 1


def test_statements_as_groups(study) -> None:
    (ds,) = reported.reports(study, reported.everything(study), replace(OHIF, statements=Statements.BOTH))
    own = reported.groups(ds)

    def presence(name: str) -> str:
        return reading.named(own[name][0], "121052")[0].ConceptCodeSequence[0].CodeMeaning

    assert presence("AI pneumothorax") == "Present"
    assert presence("AI edema") == presence("Trachea") == presence("Mass") == "Absent"
    assert presence("AI effusion") == "Presence Undetermined"
    (urgent,) = own["AI pneumothorax"]
    assert reading.named(urgent, "260870009")[0].ConceptCodeSequence[0].CodeMeaning == "Urgency"
    assert not reading.named(own["AI edema"][0], "260870009")
    point = "operating point: threshold=0.5, sensitivity=0.95, specificity=0.9"
    assert point in [item.TextValue for item in reading.named(urgent, "111002")]
    images = [i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in reading.named(urgent, "121112")]
    assert images == [study.volume.slices[k].sop_instance_uid for k in (2, 3)]


def test_by_default_no_group_is_without_a_place(study) -> None:
    (ds,) = reported.reports(study, reported.everything(study))
    for name, own in reported.groups(ds).items():
        assert any(item.ValueType == "SCOORD" for group in own for item in reading.items(group)), name


def test_another_library_reads_the_same(study) -> None:
    objects = reported.encoded(study, reported.everything(study))
    ds = reading.dataset(next(item for item in objects if item.sop_class_uid.endswith(".88.34")))
    content = hd.sr.Comprehensive3DSR.from_dataset(ds).content
    assert len(content.get_planar_roi_measurement_groups()) == 2 + 5
    assert len(content.get_volumetric_roi_measurement_groups()) == 2 + 1
    assert len(content.get_image_measurement_groups()) == 1
    (circled,) = content.get_planar_roi_measurement_groups(graphic_type=hd.sr.GraphicTypeValues.POINT)
    assert circled.tracking_identifier == "AI nodule point"
    assert circled.get_measurements()[0].value == 50


@pytest.mark.parametrize("modality", ["DX", "CR", "MG", "XA"])
def test_projection_images(tmp_path, modality) -> None:
    flat = projection.single(tmp_path, modality, spacing_mm=(0.2, 0.2))
    length = Measurement(reported.DIAMETER, 3.0, MILLIMETRE)
    region = reported.a_region("box", Box((2, 3), (8, 9)), 0, measurements=(length,), extent=(0, 0))
    line = reported.a_region("line", Line(np.array([[1.0, 1.0], [4.0, 5.0]])), 0)
    profile = replace(OHIF, regions=RegionEncoding.PATIENT)
    (ds,) = reported.reports(flat, reported.detected(flat, region, line), profile)
    assert not [item for item in reading.items(ds) if item.ValueType == "SCOORD3D"]
    assert float(reading.named(ds, "410668003")[0].MeasuredValueSequence[0].NumericValue) == 1.0
    procedure = reading.named(ds, "121058")[0].ConceptCodeSequence[0].CodeMeaning
    assert procedure == ("Angiography" if modality == "XA" else "XR unspecified body region")
    assert not reading.named(ds, "112227")


def test_without_a_pixel_spacing_nothing_is_in_millimetres(tmp_path) -> None:
    flat = projection.single(tmp_path, "DX")
    line = reported.a_region("line", Line(np.array([[1.0, 1.0], [4.0, 5.0]])), 0)
    (ds,) = reported.reports(flat, reported.detected(flat, line))
    (measured,) = reading.named(ds, "410668003")[0].MeasuredValueSequence
    assert (float(measured.NumericValue), measured.MeasurementUnitsCodeSequence[0].CodeValue) == (5.0, "{pixels}")
    units = {i.CodeValue for i in reading.units(ds)}
    assert "mm" not in units


def test_frames_of_a_cine_run_are_named(tmp_path) -> None:
    cine = projection.a_study(tmp_path, [projection.an_image(modality="US", frames=5)], picked=[2, 4, 5])
    region = reported.a_region("point", Point((3.0, 4.0)), 1, extent=(0, 2))
    (ds,) = reported.reports(cine, reported.detected(cine, region))
    (group,) = reading.named(ds, "125007")
    reference = reading.named(group, "111030")[0].ContentSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedFrameNumber == 4
    assert not reading.named(ds, "111028"), "the image library describes objects, not frames"


def test_enhanced_multi_frame(tmp_path) -> None:
    enhanced = given.an_enhanced_study(tmp_path, frame_order=[2, 0, 1, 3])
    conclusion = reported.everything(enhanced)
    kept = tuple(f for f in conclusion.findings if f is not reported.PRESENT)
    regions = tuple(replace(r, slice_index=1, extent=None) for r in reported.regions())
    kept = tuple(replace(f, regions=regions) if hasattr(f, "regions") else f for f in kept)
    (ds,) = reported.reports(enhanced, replace(conclusion, findings=kept))
    region = reading.named(reported.groups(ds)["AI nodule point"][0], "111030")[0]
    assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == 3


@pytest.mark.slow
@pytest.mark.slow
def test_five_hundred_regions(study) -> None:
    many = tuple(
        reported.a_region(f"{n}", Box((n % 20, n % 30), (n % 20 + 6, n % 30 + 7)), n % 6, probability=n / 500)
        for n in range(500)
    )
    objects = reported.encoded(study, reported.detected(study, *many))
    report = reported.gated(objects, study, reported.detected(study, *many))
    assert report.passed, report.failures
    assert len(reading.named(reading.dataset(objects[0]), "125007")) == 500
    assert len(objects[0].content) < 3_000_000
