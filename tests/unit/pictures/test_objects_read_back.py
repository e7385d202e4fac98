"""What is drawn is read from the encoded bytes: it is where the model put it, or it is named and not drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import ComputedRadiographyImageStorage, UltrasoundMultiFrameImageStorage

from tests import builders
from tests.unit.pictures import scenes
from tests.unit.results import given, reading
from worker.decode.series.headers import HeaderReader
from worker.decode.series.volumes import VolumeReader
from worker.domain.codes import Code
from worker.domain.findings import Conclusion, Detection, HeatMap
from worker.domain.profile import PLAIN, SLICER, Profile, SegmentEncoding
from worker.domain.regions import Circle, Ellipse, Line, Point, Polygon
from worker.domain.result import EncodedObject, ResultKind
from worker.domain.volume import Volume
from worker.drawing.strokes import shape_points
from worker.pictures.reading.report import shapes_of
from worker.pictures.reading.results import ReadBack, read_back
from worker.results.encoder import DicomEncoder

CODES = {"category": given.ABNORMAL, "type": given.NODULE}
QUANTITY = Code("246205007", "SCT", "Quantity")
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)
STUDIES = {
    "axial": {},
    "reversed": {"step_mm": (0.0, 0.0, -2.5)},
    "sagittal": {"orientation": builders.SAGITTAL},
    "coronal": {"orientation": builders.CORONAL, "spacing_mm": (3.0, 0.5, 1.5)},
    "oblique": {"orientation": OBLIQUE},
    "gantry tilt": {"step_mm": (0.0, 0.5, 2.4)},
    "odd size": {"rows": 33, "columns": 37},
}


def encoded(study: given.Study, conclusion: Conclusion, profile: Profile | None = None) -> tuple[EncodedObject, ...]:
    encoder = DicomEncoder() if profile is None else DicomEncoder(standard=profile)
    return encoder.encode(conclusion, study.evidence, given.CONTEXT)


def back(objects: Sequence[EncodedObject], volume: Volume | None) -> ReadBack:
    return read_back([(one.kind, one.sop_instance_uid, one.content) for one in objects], volume)


def label_map(found: ReadBack, volume: Volume) -> np.ndarray:
    """The structures as a label map, numbered in their order."""
    labels = np.zeros(volume.geometry.shape, np.uint8)
    for number, structure in enumerate(found.structures.values(), start=1):
        for k, count in structure.voxels.items():
            assert np.count_nonzero(structure.mask(k)) == count > 0
            labels[k][structure.mask(k)] = number
    return labels


@pytest.mark.parametrize("name", STUDIES)
def test_structures_are_voxel_by_voxel_those_of_the_model(tmp_path, name) -> None:
    study = given.a_study(tmp_path, **STUDIES[name])
    conclusion = given.a_conclusion(study.volume)
    found = back(encoded(study, conclusion), study.volume)
    assert found.problems == []
    assert (label_map(found, study.volume) == conclusion.segmentations[0].labels).all()
    assert [one.label for one in found.structures.values()] == ["Right lung", "Nodule 1"]
    colours = np.array([one.colour_rgb for one in found.structures.values()])
    assert np.abs(colours - [(70, 160, 255), (255, 60, 60)]).max() <= 1


def test_frames_of_an_enhanced_object(tmp_path) -> None:
    study = given.an_enhanced_study(tmp_path, frame_order=[2, 0, 3, 1])
    conclusion = given.a_conclusion(study.volume)
    found = back(encoded(study, conclusion), study.volume)
    assert found.problems == []
    assert (label_map(found, study.volume) == conclusion.segmentations[0].labels).all()


@pytest.mark.parametrize("encoding", [SegmentEncoding.LABELMAP, SegmentEncoding.FRACTIONAL])
def test_other_encodings_show_the_same(tmp_path, encoding) -> None:
    study = given.a_study(tmp_path)
    conclusion = given.a_conclusion(study.volume)
    objects = encoded(study, conclusion, Profile(name="other", segmentation=encoding))
    assert reading.dataset(objects[0]).SegmentationType == encoding.value.upper()
    found = back(objects, study.volume)
    assert found.problems == []
    assert (label_map(found, study.volume) == conclusion.segmentations[0].labels).all()


@pytest.mark.parametrize("frames", [1, 4])
def test_projection_images_and_cine_have_structures_by_their_source(tmp_path, frames) -> None:
    study = a_projection_study(tmp_path, frames)
    assert not study.volume.in_patient_space
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    labels[frames // 2, 4:12, 6:20], labels[-1, 20:25, 22:31] = 1, 2
    circle = scenes.a_region(Circle((9.0, 12.0), 4.0), frames // 2, **CODES)
    conclusion = given.a_conclusion(study.volume, labels)
    conclusion = replace(conclusion, findings=(*conclusion.findings, Detection((circle,))))
    found = back(encoded(study, conclusion), study.volume)
    assert found.problems == []
    assert (label_map(found, study.volume) == labels).all()
    (mark,) = found.scene(study.volume, "m").marks
    assert mark.slice_index == frames // 2
    assert extent(mark.shape) == pytest.approx([5.0, 8.0, 13.0, 16.0], abs=0.05)


def a_projection_study(folder, frames: int) -> given.Study:
    ds = builders.a_ct_slice(hu=builders.a_ct_phantom(slices=1, rows=32, columns=40)[0])
    ds.SOPClassUID = UltrasoundMultiFrameImageStorage if frames > 1 else ComputedRadiographyImageStorage
    ds.Modality = "US" if frames > 1 else "CR"
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SliceThickness",
                    "RescaleIntercept", "RescaleSlope", "RescaleType", "PositionReferenceIndicator"):  # fmt: skip
        if keyword in ds:
            delattr(ds, keyword)
    if frames > 1:
        stored = np.random.default_rng(1).integers(0, 255, (frames, 32, 40), dtype=np.uint8)
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit, ds.PixelRepresentation, ds.NumberOfFrames, ds.FrameTime = 7, 0, frames, 40.0
        ds.FrameIncrementPointer = 0x00181063
        del ds.PixelData
        ds.add_new("PixelData", "OB", stored.tobytes())
    path = builders.write(ds, folder / "projection.dcm")
    evidence = builders.stored_instances([path])
    reader = HeaderReader()
    (series,) = reader.series(reader.headers(evidence))
    return given.Study((path,), evidence, VolumeReader().volume(series))


def detection(volume: Volume) -> Conclusion:
    regions = tuple(
        scenes.a_region(shape, n % len(volume.slices), tracking_identifier=f"AI region {n}", **CODES)
        for n, shape in enumerate(scenes.SHAPES)
    )
    return given.a_conclusion(volume, findings=(Detection(regions),))


@pytest.mark.parametrize("profile", [None, SLICER], ids=["on the image", "in the patient"])
def test_regions_are_where_the_model_put_them(tmp_path, profile) -> None:
    study = given.a_study(tmp_path, orientation=OBLIQUE)
    conclusion = detection(study.volume)
    found = back(encoded(study, conclusion, profile), study.volume)
    assert found.problems == []
    scene = found.scene(study.volume, "m")
    for region in conclusion.regions:
        marks = [mark for mark in scene.marks if mark.label == region.tracking_identifier]
        assert marks, region.tracking_identifier
        assert region.slice_index in {mark.slice_index for mark in marks}
        mark = next(mark for mark in marks if mark.slice_index == region.slice_index)
        expected = extent(region.shape)
        if isinstance(region.shape, Line) and profile is SLICER:
            # An open line is no region in the patient: its middle is.
            expected = [(expected[0] + expected[2]) / 2, (expected[1] + expected[3]) / 2] * 2
        assert extent(mark.shape) == pytest.approx(expected, abs=0.05)


def extent(shape) -> list[float]:
    points, _ = shape_points(shape)
    return [*points.min(axis=0), *points.max(axis=0)]


def test_graphic_types_become_shapes() -> None:
    square = np.array([[0.0, 0.0], [0.0, 4.0], [4.0, 4.0], [4.0, 0.0], [0.0, 0.0]])
    kinds = {
        "POINT": (square[:1], [Point]), "MULTIPOINT": (square[:3], [Point] * 3), "POLYLINE": (square, [Polygon]),
        "POLYGON": (square, [Polygon]), "CIRCLE": (square[:2], [Circle]), "ELLIPSE": (square[:4], [Ellipse]),
        "ELLIPSOID": (square, []),
    }  # fmt: skip
    for name, (places, expected) in kinds.items():
        assert [type(one) for one in shapes_of(name, places)] == expected, name
    assert [type(one) for one in shapes_of("POLYLINE", square[:4])] == [Line]
    assert shapes_of("CIRCLE", square[:1]) == ()


def test_heat_maps_have_their_values_and_their_range(tmp_path) -> None:
    study = given.a_study(tmp_path)
    values = np.random.default_rng(3).random(study.volume.geometry.shape).astype(np.float32)
    values[4] += 1.0
    heat_map = HeatMap("Saliency", values, QUANTITY, scenes.NO_UNIT, (0.25, 1.5))
    found = back(encoded(study, given.a_conclusion(study.volume, findings=(heat_map,))), study.volume)
    assert found.problems == []
    (heat,) = found.heats.values()
    assert (heat.label, heat.unit, heat.largest) == ("Saliency", "1", 4)
    assert heat.value_range == pytest.approx((0.25, 1.5))
    assert all((heat.values(k) == values[k]).all() for k in range(len(values)))


def test_key_images_are_the_pictures_that_plain_viewers_get(tmp_path) -> None:
    study = given.a_study(tmp_path)
    found = back(encoded(study, given.a_conclusion(study.volume), PLAIN), study.volume)
    assert found.problems == []
    assert found.structures == {}
    assert found.key_images
    assert all(isinstance(one, Image.Image) and one.mode == "RGB" for one in found.key_images)
    # Where there is no segmentation, the key objects lead to the slices.
    assert found.scene(study.volume, "m").key_slices


def test_what_two_kinds_of_viewers_get_is_here_once(tmp_path) -> None:
    study = given.a_study(tmp_path)
    encoder = DicomEncoder(profiles={"b": SLICER})
    context = replace(given.CONTEXT, destinations=("a", "b"))
    objects = encoder.encode(given.a_conclusion(study.volume), study.evidence, context)
    assert len([one for one in objects if one.kind is ResultKind.SEG]) == 2
    found = back(objects, study.volume)
    assert len(found.structures) == 2
    assert sorted(group.tracking_identifier for group in found.groups) == ["AI Nodule 1", "AI Right lung"]


def test_numbers_are_those_of_the_report(tmp_path) -> None:
    study = given.a_study(tmp_path)
    conclusion = given.a_conclusion(study.volume, absent=("Trachea",))
    found = back(encoded(study, conclusion), None)
    assert found.structures == {}
    lung = next(group for group in found.groups if group.finding == "Lung")
    expected = conclusion.segments[0].measurements[0].value
    (volume,) = [one for one in lung.numbers if one.name == "Volume"]
    assert float(volume.value) == pytest.approx(expected, rel=1e-5)
    assert volume.unit == "mL"
    assert lung.sites == ("Lung, right",)
    said = [one.text for report in found.reports for one in report.sentences]
    assert any(text.startswith("Not found: Trachea.") for text in said)


def test_names_of_persons_are_not_read(tmp_path) -> None:
    study = given.a_study(tmp_path)

    def add_person(ds: Dataset) -> None:
        item = Dataset()
        item.RelationshipType, item.ValueType, item.PersonName = "HAS OBS CONTEXT", "PNAME", "Secret^Susan"
        ds.ContentSequence.insert(0, item)

    objects = encoded(study, given.a_conclusion(study.volume, absent=("Trachea",)))
    changed = [reading.changed(one, add_person) if one.kind is ResultKind.SR else one for one in objects]
    assert "Secret" not in repr(back(changed, study.volume).reports)


def shifted(ds: Dataset) -> None:
    for item in ds.PerFrameFunctionalGroupsSequence:
        position = item.PlanePositionSequence[0]
        x, y, z = position.ImagePositionPatient
        position.ImagePositionPatient = [x + 5.0, y, z]


def one_slice_off(ds: Dataset) -> None:
    for item in ds.PerFrameFunctionalGroupsSequence:
        position = item.PlanePositionSequence[0]
        x, y, z = position.ImagePositionPatient
        position.ImagePositionPatient = [x, y, z - 2.5]


def turned(ds: Dataset) -> None:
    orientation = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    orientation.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]


def cut_short(ds: Dataset) -> None:
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 2]


def without_frames(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence


def without_the_last_description(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence[-1]


def of_unknown_kind(ds: Dataset) -> None:
    ds.SegmentationType = "PSYCHIC"


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (shifted, "lie beside"),
        (one_slice_off, "names slice"),
        (turned, "turned against"),
        (cut_short, "too short"),
        (without_frames, "cannot be read back"),
        (without_the_last_description, "describes 6 of 7 frames"),
        (of_unknown_kind, "not known"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_wrong_segmentation_is_named_and_not_drawn(tmp_path, harm, reason) -> None:
    study = given.a_study(tmp_path, step_mm=(0.0, 0.0, 2.5))
    objects = encoded(study, given.a_conclusion(study.volume))
    broken = [reading.changed(one, harm) if one.kind is ResultKind.SEG else one for one in objects]
    found = back(broken, study.volume)
    (problem,) = found.problems
    assert problem.kind is ResultKind.SEG
    assert reason in problem.reason
    assert found.structures == {}
    assert found.groups  # the report is read all the same


@pytest.mark.parametrize("content", [b"", b"no DICOM" * 100, b"\0" * 128 + b"DICM" + b"\xff" * 500])
def test_bytes_that_are_no_object_are_named(tmp_path, content) -> None:
    study = given.a_study(tmp_path)
    objects = [replace(one, content=content) for one in encoded(study, given.a_conclusion(study.volume))]
    found = back(objects, study.volume)
    assert [one.kind for one in found.problems] == [one.kind for one in objects]


def test_a_report_that_is_cut_short_does_not_cost_the_page(tmp_path) -> None:
    study = given.a_study(tmp_path)
    objects = encoded(study, given.a_conclusion(study.volume))
    (report,) = [one for one in objects if one.kind is ResultKind.SR]
    reasons = set()
    for cut in range(200, len(report.content), 401):
        found = back([replace(report, content=report.content[:cut])], None)
        reasons |= {one.reason for one in found.problems}
    # pydicom reads what is nested late: where the content tree ends too soon, its reader raises what it likes.
    assert {"It cannot be read back: it has no content.", "It cannot be read back (OSError)."} <= reasons


def test_a_key_object_that_points_at_nothing_is_named(tmp_path) -> None:
    def without_an_instance(ds: Dataset) -> None:
        (first, *_) = [item for item in ds.ContentSequence if "ReferencedSOPSequence" in item]
        del first.ReferencedSOPSequence[0].ReferencedSOPInstanceUID

    study = given.a_study(tmp_path)
    objects = encoded(study, given.a_conclusion(study.volume), PLAIN)
    (key,) = [one for one in objects if one.kind is ResultKind.KEY]
    (problem,) = back([reading.changed(key, without_an_instance)], study.volume).problems
    assert "points at an instance without a UID" in problem.reason
