"""Presentation states: outlines and shapes on the right images, at the right place, over the right values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests.unit.results import given, projection, reading
from tests.unit.results.display import pictured
from tests.unit.results.display.pictured import Encoded
from worker.domain.findings import Detection
from worker.domain.profile import OHIF, WEASIS
from worker.domain.regions import Circle
from worker.domain.result import ResultKind

pytestmark = pytest.mark.slow

STATES = replace(WEASIS, name="states", key_object_selection=False)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    windows = {"WindowCenter": [40, 300], "WindowWidth": [400, 9]}
    study = pictured.a_ct(tmp_path_factory.mktemp("study"), attributes=windows)
    return pictured.encoded(study, profile=STATES)


def state(one: Encoded) -> Dataset:
    (ds,) = one.of(ResultKind.PR)
    return ds


def graphics(ds: Dataset, kind: str) -> list[tuple[Dataset, np.ndarray]]:
    """(image, points) of every graphic of a type."""
    return [
        (annotation.ReferencedImageSequence[0], np.array(item.GraphicData).reshape(-1, 2))
        for annotation in ds.GraphicAnnotationSequence
        for item in annotation.get("GraphicObjectSequence") or []
        if item.GraphicType == kind
    ]


def texts(ds: Dataset) -> list[str]:
    return [
        str(item.UnformattedTextValue)
        for annotation in ds.GraphicAnnotationSequence
        for item in annotation.get("TextObjectSequence") or []
    ]


def test_outlines_enclose_the_structures(good: Encoded) -> None:
    labels = good.conclusion.segmentations[0].labels
    refs = [ref.sop_instance_uid for ref in good.study.volume.slices]
    seen = 0
    for image, points in graphics(state(good), "POLYLINE"):
        index = refs.index(image.ReferencedSOPInstanceUID)
        for number in (1, 2):
            places = np.argwhere(labels[index] == number)
            if len(places) and np.array_equal(points.min(axis=0), places.min(axis=0)[::-1]):
                assert np.array_equal(points.max(axis=0), places.max(axis=0)[::-1] + 1)
                seen += 1
    assert seen >= 4


def test_shapes_are_what_they_were(good: Encoded) -> None:
    ((_, circle),) = graphics(state(good), "CIRCLE")
    shape = good.conclusion.regions[1].shape
    assert isinstance(shape, Circle)
    assert np.allclose(circle[0], np.array(shape.centre)[::-1] + 0.5)
    assert np.linalg.norm(circle[1] - circle[0]) == pytest.approx(shape.radius_px, rel=1e-5)


def test_every_image_says_that_it_is_a_draft(good: Encoded) -> None:
    ds = state(good)
    images = {a.ReferencedImageSequence[0].ReferencedSOPInstanceUID for a in ds.GraphicAnnotationSequence}
    said = [text for text in texts(ds) if "AI DRAFT - not verified" in text]
    assert len(said) == len(images) > 2
    assert any("Lesion 1: probability 0.83" in text for text in said)
    assert not any("Example" in text or "OR-0001" in text for text in texts(ds))


def test_values_are_shown_as_the_images_show_them(good: Encoded) -> None:
    ds = state(good)
    assert (ds.RescaleSlope, ds.RescaleIntercept) == (1, -1024)
    assert {(item.WindowCenter, item.WindowWidth) for item in ds.SoftcopyVOILUTSequence} == {(40, 400)}
    assert ds.PresentationLUTShape == "IDENTITY"
    (area,) = ds.DisplayedAreaSelectionSequence
    assert list(area.DisplayedAreaBottomRightHandCorner) == [64, 48]
    assert [float(v) for v in area.PresentationPixelSpacing] == [0.8, 0.7]


def test_images_without_a_window_get_one_that_suits(tmp_path) -> None:
    one = pictured.encoded(pictured.a_ct(tmp_path), profile=STATES)
    assert all(float(item.WindowWidth) >= 1 for item in state(one).SoftcopyVOILUTSequence)
    assert one.failures() == {}


def test_inverted_images_stay_inverted(tmp_path) -> None:
    study = pictured.a_radiograph(tmp_path, modality="CR", PhotometricInterpretation="MONOCHROME1")
    one = pictured.encoded(study, profile=STATES)
    assert state(one).PresentationLUTShape == "INVERSE"
    assert "SoftcopyVOILUTSequence" not in state(one)  # the volume's values are not those of the image
    assert one.failures() == {}


def test_colour_images_have_none(tmp_path) -> None:
    study = pictured.a_radiograph(tmp_path, PhotometricInterpretation="RGB")
    one = pictured.encoded(study, profile=STATES)
    assert not one.of(ResultKind.PR)
    assert one.failures() == {}


@pytest.mark.parametrize("spacing_mm", [(0.2, 0.15), None])
def test_pixels_are_as_high_and_wide_as_they_are(tmp_path, spacing_mm: tuple[float, float] | None) -> None:
    one = pictured.encoded(pictured.a_radiograph(tmp_path, spacing_mm=spacing_mm), profile=STATES)
    (area,) = state(one).DisplayedAreaSelectionSequence
    assert ("PresentationPixelSpacing" in area) == (spacing_mm is not None)
    assert one.failures() == {}


def test_frames_are_named_by_their_numbers(tmp_path) -> None:
    study = projection.cine(tmp_path, "XA", picked=(2, 4, 5))
    one = pictured.encoded(study, pictured.everything(study.volume), STATES)
    (image,) = state(one).ReferencedSeriesSequence[0].ReferencedImageSequence
    assert set(image.ReferencedFrameNumber) <= {2, 4, 5}
    assert one.failures() == {}


@pytest.mark.parametrize("kind", ["box", "circle", "ellipse", "point", "line", "polygon"])
@pytest.mark.parametrize("at_the_edge", [False, True])
def test_every_shape_stays_inside_the_image(tmp_path, kind: str, at_the_edge: bool) -> None:
    study = pictured.a_ct(tmp_path, slices=2)
    region = pictured.a_region(study.volume, "Lesion", index=1, kind=kind)
    if at_the_edge and kind == "circle":
        region = replace(region, shape=Circle((2.0, 60.0), 9.0))
    one = pictured.encoded(study, replace(given.a_conclusion(study.volume), findings=(Detection((region,)),)), STATES)
    assert one.failures() == {}


def test_slices_whose_values_mean_something_else_get_their_own(tmp_path) -> None:
    """As in PET, where every image has its own rescale slope."""
    from pydicom import dcmread, dcmwrite

    study = pictured.a_ct(tmp_path)
    ds = dcmread(study.paths[1])
    ds.RescaleSlope = 2.5
    dcmwrite(study.paths[1], ds)
    one = pictured.encoded(study, profile=STATES)
    assert sorted(float(ds.RescaleSlope) for ds in one.of(ResultKind.PR)) == [1.0, 2.5]
    assert one.failures() == {}


def test_ohif_gets_none(tmp_path) -> None:
    assert not pictured.encoded(pictured.a_ct(tmp_path), profile=OHIF).of(ResultKind.PR)


# ---- the gate


def put(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda ds: setattr(ds, keyword, value)


def annotation(ds: Dataset, number: int = 0) -> Dataset:
    return ds.GraphicAnnotationSequence[number]


def graphic(ds: Dataset) -> Dataset:
    return annotation(ds).GraphicObjectSequence[0]


def points(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        item = graphic(ds)
        item.GraphicData = change(np.array(item.GraphicData).reshape(-1, 2)).ravel().tolist()
        item.NumberOfGraphicPoints = len(item.GraphicData) // 2

    return apply


def written(ds: Dataset, units: str) -> list[Dataset]:
    return [
        item
        for holder in ds.GraphicAnnotationSequence
        for item in holder.get("TextObjectSequence") or []
        if item.BoundingBoxAnnotationUnits == units
    ]


def words(units: str, old: str, new: str) -> Callable[[Dataset], None]:
    """Other words in the first text that has the old ones."""

    def apply(ds: Dataset) -> None:
        item = next(one for one in written(ds, units) if old in one.UnformattedTextValue)
        item.UnformattedTextValue = item.UnformattedTextValue.replace(old, new)

    return apply


def names_swapped(ds: Dataset) -> None:
    """Of two findings on one slice."""
    of_slice: dict[str, list[Dataset]] = {}
    for holder in ds.GraphicAnnotationSequence:
        uid = holder.ReferencedImageSequence[0].ReferencedSOPInstanceUID
        found = holder.get("TextObjectSequence") or []
        of_slice.setdefault(uid, []).extend(one for one in found if one.BoundingBoxAnnotationUnits == "PIXEL")
    one, other = next(texts[:2] for texts in of_slice.values() if len(texts) > 1)
    one.UnformattedTextValue, other.UnformattedTextValue = other.UnformattedTextValue, one.UnformattedTextValue


def on_another_slice(ds: Dataset) -> None:
    annotation(ds).ReferencedImageSequence = annotation(ds, -1).ReferencedImageSequence


SEEDED = {
    "rows and columns swapped": (points(lambda p: p[:, ::-1]), "pr-graphics"),
    "moved by three pixels": (points(lambda p: p + 3), "pr-graphics"),
    "outside the image": (points(lambda p: p + 500), "pr-graphics"),
    "a graphic less": (lambda d: delattr(annotation(d), "GraphicObjectSequence"), "pr-graphics"),
    "on another slice": (on_another_slice, "pr-graphics"),
    "a point of many": (lambda d: setattr(graphic(d), "GraphicType", "POINT"), "pr-graphics"),
    "points miscounted": (lambda d: setattr(graphic(d), "NumberOfGraphicPoints", 3), "pr-graphics"),
    "filled": (lambda d: setattr(graphic(d), "GraphicFilled", "Y"), "pr-graphics"),
    "in units of the display": (lambda d: setattr(graphic(d), "GraphicAnnotationUnits", "DISPLAY"), "pr-graphics"),
    "a layer that is not described": (lambda d: d.GraphicLayerSequence.pop(), "pr-form"),
    "two layers of one order": (lambda d: setattr(d.GraphicLayerSequence[0], "GraphicLayerOrder", 2), "pr-form"),
    "no draft on an image": (
        lambda d: [
            setattr(item, "UnformattedTextValue", "Look")
            for a in d.GraphicAnnotationSequence[-1:] for item in a.TextObjectSequence
        ],
        "pr-form",
    ),
    "another number": (words("DISPLAY", "probability 0.83", "probability 0.38"), "pr-words"),
    "another volume": (words("DISPLAY", " mL", "0 mL"), "pr-words"),
    "another finding": (words("DISPLAY", "Lesion 1", "Lesion 2"), "pr-words"),
    "a longer name": (words("DISPLAY", "Lesion 1", "Lesion 11"), "pr-words"),
    "another version": (words("DISPLAY", "version 1.2.3", "version 1.2.4"), "pr-words"),
    "a word more": (words("DISPLAY", "Lesion 1", "Malignant Lesion 1"), "pr-words"),
    "a finding said twice": (words("DISPLAY", "AI DRAFT", "Nodule 1\r\nAI DRAFT"), "pr-words"),
    "a draft that is none": (words("DISPLAY", "not verified", "verified"), "pr-words"),
    "another name beside a graphic": (words("PIXEL", "Lesion 1", "Lesion 2"), "pr-graphics"),
    "the other side": (words("PIXEL", "Right", "Left"), "pr-graphics"),
    "names of two graphics swapped": (names_swapped, "pr-graphics"),
    "a name less": (lambda d: delattr(annotation(d), "TextObjectSequence"), "pr-graphics"),
    "another colour": (
        lambda d: setattr(
            d.GraphicLayerSequence[0], "GraphicLayerRecommendedDisplayCIELabValue",
            d.GraphicLayerSequence[1].GraphicLayerRecommendedDisplayCIELabValue,
        ),
        "pr-graphics",
    ),
    "a text without room": (
        lambda d: setattr(annotation(d, -1).TextObjectSequence[0], "BoundingBoxBottomRightHandCorner", [0.0, 0.0]),
        "pr-form",
    ),
    "a description without draft": (put("ContentDescription", "Outlines"), "pr-form"),
    "another series": (
        lambda d: setattr(d.ReferencedSeriesSequence[0], "SeriesInstanceUID", "1.2.3"), "pr-references",
    ),
    "an image not referenced": (
        lambda d: d.ReferencedSeriesSequence[0].ReferencedImageSequence.pop(), "pr-references",
    ),
    "another class": (
        lambda d: setattr(
            d.ReferencedSeriesSequence[0].ReferencedImageSequence[0], "ReferencedSOPClassUID", "1.2.3"
        ),
        "pr-references",
    ),
    "a part of the image": (
        lambda d: setattr(d.DisplayedAreaSelectionSequence[0], "DisplayedAreaBottomRightHandCorner", [20, 20]),
        "pr-area",
    ),
    "another aspect": (
        lambda d: setattr(d.DisplayedAreaSelectionSequence[0], "PresentationPixelSpacing", [1, 2]), "pr-area",
    ),
    "inverted": (put("PresentationLUTShape", "INVERSE"), "pr-values"),
    "another intercept": (put("RescaleIntercept", 0), "pr-values"),
    "no modality LUT": (lambda d: delattr(d, "RescaleIntercept"), "pr-values"),
    "a window without width": (
        lambda d: setattr(d.SoftcopyVOILUTSequence[0], "WindowWidth", 0), "pr-values",
    ),
    "another patient": (put("PatientID", "SOMEONE-ELSE"), "pr-identity"),
    "no label": (lambda d: delattr(d, "ContentLabel"), "pr-attributes"),
    "another modality": (put("Modality", "CT"), "pr-attributes"),
    "a description that hides the draft": (put("SeriesDescription", "State"), "pr-draft"),
}  # fmt: skip


def test_a_good_state_passes(good: Encoded) -> None:
    assert good.failures() == {}
    assert {"pr-set", "pr-form", "pr-references", "pr-area", "pr-values", "pr-graphics"} <= {
        check.name for check in good.check().checks
    }


@pytest.mark.parametrize("name", SEEDED)
def test_seeded_errors_of_a_state_are_noticed(good: Encoded, name: str) -> None:
    change, expected = SEEDED[name]
    objects = [reading.changed(one, change) if one.kind is ResultKind.PR else one for one in good.objects]
    failed = good.failures(objects)
    assert expected in failed, f"only {failed}"


def test_a_state_too_few_or_too_early_is_noticed(good: Encoded) -> None:
    others = [one for one in good.objects if one.kind is not ResultKind.PR]
    states = [one for one in good.objects if one.kind is ResultKind.PR]
    assert "pictures" in good.failures(others)
    assert "pictures" in good.failures([*states, *others])

    def silent(ds: Dataset) -> None:
        kept = ds.GraphicAnnotationSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID
        ds.GraphicAnnotationSequence = [
            a for a in ds.GraphicAnnotationSequence if a.ReferencedImageSequence[0].ReferencedSOPInstanceUID == kept
        ]

    assert "pr-set" in good.failures([*others, *(reading.changed(one, silent) for one in states)])
