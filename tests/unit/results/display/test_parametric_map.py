"""Parametric maps: the model's numbers, in their place, with their meaning; and what cannot be one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests import builders
from tests.unit.results import given, reading
from tests.unit.results.display import pictured
from tests.unit.results.display.pictured import Encoded
from worker.domain.errors import PermanentError
from worker.domain.profile import OHIF
from worker.domain.result import ResultKind

OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    study = pictured.a_ct(tmp_path_factory.mktemp("study"))
    conclusion = replace(
        given.a_conclusion(study.volume), findings=(pictured.a_heat_map(study.volume), pictured.a_classification())
    )
    return pictured.encoded(study, conclusion)


def only_heat(study: given.Study) -> Encoded:
    return pictured.encoded(
        study, replace(given.a_conclusion(study.volume), findings=(pictured.a_heat_map(study.volume),))
    )


def test_another_library_reads_the_numbers_and_their_places(good: Encoded) -> None:
    (one,) = (one for one in good.objects if one.kind is ResultKind.PM)
    read = hd.pm.ParametricMap.from_dataset(reading.dataset(one))
    found = read.get_volume(dtype=np.float32)
    # It may run through the slices the other way: what counts is which number is at which place in the patient.
    index = np.argwhere(np.ones(found.array.shape[:3], dtype=bool)).astype(np.float64)
    places = index @ found.affine[:3, :3].T + found.affine[:3, 3]
    ours = good.study.volume.geometry.to_index(places)
    assert np.abs(ours - ours.round()).max() < 1e-4
    values = good.conclusion.heat_maps[0].values
    assert np.array_equal(found.array.ravel(), values[tuple(ours.round().astype(int).T)])
    assert found.frame_of_reference_uid == good.study.volume.frame_of_reference_uid


def test_it_says_what_the_numbers_are(good: Encoded) -> None:
    (ds,) = good.of(ResultKind.PM)
    (mapping,) = ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    (quantity,) = mapping.QuantityDefinitionSequence
    assert quantity.ConceptCodeSequence[0].CodeValue == pictured.ACTIVATION.value
    window = ds.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0]
    assert (window.WindowCenter, window.WindowWidth, window.VOILUTFunction) == (0.5, 1.0, "LINEAR_EXACT")
    assert "DRAFT" in ds.SeriesDescription
    assert ds.ContentDescription.startswith("AI DRAFT")


def test_every_slice_has_a_frame_that_names_its_image(good: Encoded) -> None:
    """OHIF takes the n-th frame for the n-th of as many images as there are frames."""
    (ds,) = good.of(ResultKind.PM)
    named = [
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for frame in ds.PerFrameFunctionalGroupsSequence
    ]
    assert named == [ref.sop_instance_uid for ref in good.study.volume.slices]


@pytest.mark.parametrize(
    "arguments",
    [
        {"orientation": builders.SAGITTAL},
        {"orientation": builders.CORONAL},
        {"orientation": OBLIQUE},
        {"slices": 1},
        {"step_mm": (0.4, 0.0, 2.5)},
        {"modality": "MR"},
    ],
    ids=["sagittal", "coronal", "oblique", "one slice", "tilted", "MR"],
)
def test_it_lies_where_the_images_lie(tmp_path, arguments: dict[str, object]) -> None:
    one = only_heat(given.a_study(tmp_path, **arguments))
    assert one.of(ResultKind.PM)
    assert one.failures() == {}


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)], ids=["in order", "shuffled"])
def test_frames_of_a_multi_frame_image_are_named_by_their_numbers(tmp_path, order: tuple[int, ...]) -> None:
    study = given.an_enhanced_study(tmp_path, frame_order=order, slices=4)
    one = only_heat(study)
    (ds,) = one.of(ResultKind.PM)
    numbers = [
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        for frame in ds.PerFrameFunctionalGroupsSequence
    ]
    assert numbers == [ref.frame_number for ref in study.volume.slices]
    assert one.failures() == {}


def test_the_same_work_gives_the_same_bytes(good: Encoded) -> None:
    again = pictured.encoded(good.study, good.conclusion)
    assert [one.content for one in again.objects] == [one.content for one in good.objects]


def test_a_projection_image_gets_key_images_in_its_place(tmp_path) -> None:
    """A parametric map has to lie in the patient; a heat map must not vanish for that."""
    study = pictured.a_radiograph(tmp_path)
    conclusion = replace(given.a_conclusion(study.volume), findings=(pictured.a_heat_map(study.volume),))
    one = pictured.encoded(study, conclusion, OHIF)
    assert not one.of(ResultKind.PM)
    assert len(one.of(ResultKind.SC)) == 2
    assert one.failures() == {}


def test_a_profile_without_heat_maps_gets_none(tmp_path) -> None:
    study = pictured.a_ct(tmp_path)
    one = pictured.encoded(study, profile=replace(OHIF, heat_maps=False))
    assert not one.of(ResultKind.PM)
    assert not one.of(ResultKind.SC)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda h: replace(h, values=h.values[:-1]), "heat-map-off-grid"),
        (lambda h: replace(h, values=h.values[:, :, ::2]), "heat-map-off-grid"),
        (lambda h: replace(h, values=np.full_like(h.values, np.nan)), "heat-map-not-finite"),
        (lambda h: replace(h, value_range=(1.0, 1.0)), "heat-map-not-finite"),
        (lambda h: replace(h, value_range=(0.0, float("inf"))), "heat-map-not-finite"),
    ],
)
def test_a_heat_map_that_contradicts_itself_is_refused(good: Encoded, change: Callable, code: str) -> None:
    broken = replace(good.conclusion, findings=(change(good.conclusion.heat_maps[0]),))
    with pytest.raises(PermanentError) as caught:
        pictured.encoded(good.study, broken)
    assert caught.value.code == code


def test_numbers_outside_the_range_are_kept(good: Encoded) -> None:
    heat_map = good.conclusion.heat_maps[0]
    wide = replace(heat_map, values=heat_map.values * 500 - 100)
    one = pictured.encoded(good.study, replace(good.conclusion, findings=(wide,)))
    assert one.failures() == {}
    (ds,) = one.of(ResultKind.PM)
    assert np.array_equal(np.frombuffer(ds.FloatPixelData, "<f4"), wide.values.ravel())


# ---- the gate


def frame(ds: Dataset, number: int = 0) -> Dataset:
    return ds.PerFrameFunctionalGroupsSequence[number]


def source(ds: Dataset) -> Dataset:
    return frame(ds).DerivationImageSequence[0].SourceImageSequence[0]


def shared(ds: Dataset) -> Dataset:
    return ds.SharedFunctionalGroupsSequence[0]


def mapping(ds: Dataset) -> Dataset:
    return shared(ds).RealWorldValueMappingSequence[0]


def put(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda ds: setattr(ds, keyword, value)


def values(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        stored = np.frombuffer(ds.FloatPixelData, "<f4").reshape(-1, ds.Rows, ds.Columns)
        ds.FloatPixelData = np.ascontiguousarray(change(stored.copy())).tobytes()

    return apply


def moved(mm: float) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        plane = frame(ds).PlanePositionSequence[0]
        plane.ImagePositionPatient = [float(v) + mm for v in plane.ImagePositionPatient]

    return apply


SEEDED = {
    "flipped left to right": (values(lambda v: v[:, :, ::-1]), "pm-values"),
    "flipped front to back": (values(lambda v: v[:, ::-1]), "pm-values"),
    "frames in another order": (values(lambda v: v[::-1]), "pm-values"),
    "one number changed": (values(lambda v: np.where(v == v.max(), 0, v).astype("<f4")), "pm-values"),
    "numbers scaled": (values(lambda v: v * np.float32(1.001)), "pm-values"),
    "a frame moved": (moved(1.0), "pm-frames"),
    "a frame far away": (moved(9.0), "pm-values"),
    "a frame twice on a slice": (
        lambda d: setattr(frame(d, 1), "DerivationImageSequence", frame(d).DerivationImageSequence), "pm-values",
    ),
    "a frame less": (lambda d: d.PerFrameFunctionalGroupsSequence.pop(), "pm-form"),
    "a frame more": (lambda d: setattr(d, "NumberOfFrames", d.NumberOfFrames + 1), "pm-form"),
    "pixel data too short": (lambda d: setattr(d, "FloatPixelData", d.FloatPixelData[:-4]), "pm-form"),
    "pixel data as well": (lambda d: d.add_new("PixelData", "OW", b"\0\0"), "pm-form"),
    "double bits": (put("BitsAllocated", 64), "pm-form"),
    "inverted": (put("PresentationLUTShape", "INVERSE"), "pm-form"),
    "original": (put("ImageType", ["ORIGINAL", "PRIMARY", "VOLUME", "QUANTITY"]), "pm-form"),
    "rescaled": (
        lambda d: setattr(shared(d).PixelValueTransformationSequence[0], "RescaleSlope", 2), "pm-form",
    ),
    "no draft in its description": (put("ContentDescription", "Heat"), "pm-said"),
    "other axes": (
        lambda d: setattr(shared(d).PlaneOrientationSequence[0], "ImageOrientationPatient", [-1, 0, 0, 0, 1, 0]),
        "pm-frames",
    ),
    "other spacing": (lambda d: setattr(shared(d).PixelMeasuresSequence[0], "PixelSpacing", [9, 9]), "pm-frames"),
    "no derivation image": (lambda d: delattr(frame(d), "DerivationImageSequence"), "pm-frames"),
    "dangling source": (lambda d: setattr(source(d), "ReferencedSOPInstanceUID", "1.2.3"), "pm-frames"),
    "wrong source class": (lambda d: setattr(source(d), "ReferencedSOPClassUID", "1.2.3"), "pm-frames"),
    "another unit": (
        lambda d: setattr(mapping(d).MeasurementUnitsCodeSequence[0], "CodeValue", "mm"), "pm-meaning",
    ),
    "another quantity": (
        lambda d: setattr(mapping(d).QuantityDefinitionSequence[0].ConceptCodeSequence[0], "CodeValue", "113041"),
        "pm-meaning",
    ),
    "another slope": (lambda d: setattr(mapping(d), "RealWorldValueSlope", 2.0), "pm-meaning"),
    "range too narrow": (
        lambda d: setattr(mapping(d), "DoubleFloatRealWorldValueLastValueMapped", 0.5), "pm-meaning",
    ),
    "another window": (lambda d: setattr(shared(d).FrameVOILUTSequence[0], "WindowWidth", 5), "pm-meaning"),
    "an undefined window": (
        lambda d: delattr(shared(d).FrameVOILUTSequence[0], "VOILUTFunction"), "pm-meaning",
    ),
    "no mapping": (lambda d: delattr(shared(d), "RealWorldValueMappingSequence"), "pm-meaning"),
    "no referenced series": (lambda d: delattr(d, "ReferencedSeriesSequence"), "pm-references"),
    "an image not referenced": (
        lambda d: d.ReferencedSeriesSequence[0].ReferencedInstanceSequence.pop(), "pm-references",
    ),
    "another frame of reference": (put("FrameOfReferenceUID", "1.2.3"), "pm-references"),
    "another patient": (put("PatientID", "SOMEONE-ELSE"), "pm-identity"),
    "another modality": (put("Modality", "CT"), "pm-attributes"),
    "no label": (lambda d: delattr(d, "ContentLabel"), "pm-attributes"),
    "a description that hides the draft": (put("SeriesDescription", "Heat"), "pm-draft"),
}  # fmt: skip


def test_good_maps_pass(good: Encoded) -> None:
    assert good.failures() == {}
    assert {"pm-form", "pm-meaning", "pm-references", "pm-frames", "pm-values", "pm-identity"} <= {
        check.name for check in good.check().checks
    }


@pytest.mark.parametrize("name", SEEDED)
def test_seeded_errors_of_a_map_are_noticed(good: Encoded, name: str) -> None:
    change, expected = SEEDED[name]
    objects = [reading.changed(one, change) if one.kind is ResultKind.PM else one for one in good.objects]
    failed = good.failures(objects)
    assert expected in failed, f"only {failed}"


def test_a_map_that_is_missing_or_late_is_noticed(good: Encoded) -> None:
    maps = [one for one in good.objects if one.kind is ResultKind.PM]
    others = [one for one in good.objects if one.kind is not ResultKind.PM]
    assert "pictures" in good.failures(others)
    assert "pictures" in good.failures([*others, *maps])
    assert "pictures" in good.failures([*maps, *maps, *others])


@pytest.mark.parametrize(("fits", "said"), [(True, []), (False, ["no-place-in-the-patient"])])
def test_a_heat_map_that_gets_no_parametric_map_is_logged(tmp_path, caplog, fits, said) -> None:
    study = pictured.a_ct(tmp_path) if fits else pictured.a_radiograph(tmp_path)
    with caplog.at_level("INFO", logger="worker.results.display.parametric_map"):
        only_heat(study)
    events = [one for one in caplog.records if one.getMessage() == "heat-map-on-key-images-only"]
    assert [one.code for one in events] == said
    assert all(one.series_instance_uid == study.volume.series_instance_uid for one in events)
