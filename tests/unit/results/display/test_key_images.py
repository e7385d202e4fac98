"""Key images: every finding on a picture or in words, at its place, marked as a draft, and nobody's name on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset
from scipy import ndimage

from tests import builders
from tests.unit.results import given, projection, reading
from tests.unit.results.display import pictured
from tests.unit.results.display.pictured import Encoded
from worker.domain.findings import Detection, Presence, QualityStatement, Segmentation
from worker.domain.profile import OHIF, PLAIN
from worker.domain.result import ResultKind

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    return pictured.encoded(pictured.a_ct(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    return pictured.encoded(pictured.a_ct(tmp_path_factory.mktemp("study")), profile=pictured.FRAMES)


def pictures(one: Encoded) -> list[Dataset]:
    return [ds for ds in one.of(ResultKind.SC) if "drawn into an image" in ds.DerivationDescription]


def pages(one: Encoded) -> list[Dataset]:
    return [ds for ds in one.of(ResultKind.SC) if "a page of text" in ds.DerivationDescription]


def words(one: Encoded) -> str:
    return " ".join(str(ds.ImageComments) for ds in pages(one))


def coloured(ds: Dataset) -> np.ndarray:
    """(row, column): where the picture is not grey."""
    pixels = ds.pixel_array.astype(int)
    return pixels.max(axis=-1) - pixels.min(axis=-1) > 40


def test_the_page_comes_first_and_says_everything(good: Encoded) -> None:
    first = good.of(ResultKind.SC)[0]
    assert first.InstanceNumber == 1
    assert pages(good)[0].SOPInstanceUID == first.SOPInstanceUID
    for text in (
        "AI DRAFT - not verified by a physician",
        "Right lung: Volume",
        "Lesion 1: probability 0.83",
        "Pneumothorax: present, probability 0.93 (threshold 0.50) - URGENT",
        "Effusion: absent, probability 0.03 (threshold 0.50)",
        "Trachea: not found",
        "Calcification: not found",
        "The series has thick slices.",
        "There may be a lesion.",
        "Not found by the algorithm does not mean that nothing is there.",
        "1.2.3",
    ):
        assert text in words(good)


def test_each_finding_has_the_slice_that_shows_it_best(good: Encoded) -> None:
    shown = [ds.SourceImageSequence[0].ReferencedSOPInstanceUID for ds in pictures(good)]
    refs = [ref.sop_instance_uid for ref in good.study.volume.slices]
    labels = good.conclusion.segmentations[0].labels
    best = {int(np.argmax((labels == n).sum(axis=(1, 2)))) for n in (1, 2)}
    best |= {1, 5, 3}  # two regions, and the middle for what has no place
    best.add(int(np.argmax(good.conclusion.heat_maps[0].values.max(axis=(1, 2)))))
    assert [refs.index(uid) for uid in shown] == sorted(best)


def test_outlines_lie_where_the_structures_lie(good: Encoded) -> None:
    """Measured in millimetres, by the key image's own attributes."""
    labels, volume = good.conclusion.segmentations[0].labels, good.study.volume
    refs = [ref.sop_instance_uid for ref in volume.slices]
    only = [ds for ds in pictures(good) if "Lesion" not in ds.ImageComments and "Coloured" not in ds.ImageComments]
    assert only
    for ds in only:
        index = refs.index(ds.SourceImageSequence[0].ReferencedSOPInstanceUID)
        blue = np.all(np.abs(ds.pixel_array.astype(int) - (70, 160, 255)) < 12, axis=-1)
        # The outline is in one piece; the name beside it and the legend have its colour as well.
        pieces, count = ndimage.label(blue, structure=np.ones((3, 3)))
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        rows, columns = np.nonzero(pieces == np.argmax(sizes) + 1)
        places = np.argwhere(labels[index] == 1)
        place = np.array([float(v) for v in ds.ImagePositionPatient])
        along, down = (np.array([float(v) for v in ds.ImageOrientationPatient[n : n + 3]]) for n in (0, 3))
        row_mm, column_mm = (float(v) for v in ds.PixelSpacing)
        for low, picked in ((True, np.min), (False, np.max)):
            corner = place + down * picked(rows) * row_mm + along * picked(columns) * column_mm
            edge = picked(places, axis=0) + (-0.5 if low else 0.5)
            expected = volume.geometry.to_patient_mm(np.array([index, *edge]))
            assert np.abs((corner - expected)[:2]).max() < 0.6  # less than a pixel of the image
            assert abs((corner - expected)[2]) < 0.01


def test_the_form_is_that_of_a_secondary_capture(good: Encoded) -> None:
    for ds in good.of(ResultKind.SC):
        assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
        assert ds.BurnedInAnnotation == "YES"
        assert list(ds.ImageType) == ["DERIVED", "SECONDARY"]
        assert ds.pixel_array.shape == (ds.Rows, ds.Columns, 3)
        assert max(ds.Rows, ds.Columns) >= 768
    assert len({ds.SeriesInstanceUID for ds in good.of(ResultKind.SC)}) == 1
    assert [ds.InstanceNumber for ds in good.of(ResultKind.SC)] == list(range(1, len(good.of(ResultKind.SC)) + 1))


def test_multi_frame_key_images_are_two_objects(frames: Encoded, good: Encoded) -> None:
    page, slices = frames.of(ResultKind.SC)
    assert {page.SOPClassUID, slices.SOPClassUID} == {"1.2.840.10008.5.1.4.1.1.7.4"}
    assert slices.NumberOfFrames == len(pictures(good)) == len(slices.FrameLabelVector)
    assert slices.pixel_array.shape == (slices.NumberOfFrames, slices.Rows, slices.Columns, 3)
    assert frames.failures() == {}


def test_nobody_is_named(good: Encoded) -> None:
    for ds in good.of(ResultKind.SC):
        said = f"{ds.ImageComments} {ds.DerivationDescription}"
        for private in ("Example", "Ada", "OR-0001", "1960"):
            assert private not in said


def test_another_patient_has_the_same_pixels(tmp_path, good: Encoded) -> None:
    """By construction no identity reaches the pixels; this is what that means."""
    other = pictured.encoded(pictured.a_ct(tmp_path, patient=builders.BEN))
    assert [ds.PatientName for ds in other.of(ResultKind.SC)] != [ds.PatientName for ds in good.of(ResultKind.SC)]
    assert [ds.PixelData for ds in other.of(ResultKind.SC)] == [ds.PixelData for ds in good.of(ResultKind.SC)]


@pytest.mark.parametrize(
    ("orientation", "letters"),
    [
        (builders.AXIAL, ["L", "P"]),
        (builders.SAGITTAL, ["P", "F"]),
        (builders.CORONAL, ["L", "F"]),
        ((0.8, 0.6, 0.0, 0.0, 0.0, -1.0), ["LP", "F"]),
        ((-1.0, 0.0, 0.0, 0.0, 1.0, 0.0), ["R", "P"]),
    ],
)
def test_the_orientation_is_kept(tmp_path, orientation: tuple[float, ...], letters: list[str]) -> None:
    one = pictured.encoded(pictured.a_ct(tmp_path, orientation=orientation))
    assert all(list(ds.PatientOrientation) == letters for ds in pictures(one))
    assert one.failures() == {}


@pytest.mark.parametrize("spacing_mm", [(0.2, 0.15), None])
@pytest.mark.parametrize("modality", ["DX", "CR", "MG"])
def test_projection_images(tmp_path, spacing_mm: tuple[float, float] | None, modality: str) -> None:
    study = pictured.a_radiograph(tmp_path, spacing_mm=spacing_mm, modality=modality, ImageLaterality="R")
    one = pictured.encoded(study)
    (ds,) = pictures(one)
    assert list(ds.PatientOrientation) == ["L", "F"]
    assert ds.ImageLaterality == "R"
    assert "ImagePositionPatient" not in ds
    assert ("PixelSpacing" in ds) == (spacing_mm is not None)
    assert one.failures() == {}


def test_a_cine_run_is_named_by_its_frames(tmp_path) -> None:
    study = projection.cine(tmp_path, "XA", picked=(2, 4, 5))
    one = pictured.encoded(study, pictured.everything(study.volume))
    numbers = [ds.SourceImageSequence[0].ReferencedFrameNumber for ds in pictures(one)]
    assert set(numbers) <= {2, 4, 5}
    assert one.failures() == {}


def test_white_and_black_are_as_a_viewer_shows_them(tmp_path) -> None:
    """MONOCHROME1 in patient space: the volume holds values as measured, a viewer inverts them."""
    grey = [
        pictures(pictured.encoded(pictured.a_ct(tmp_path / name, attributes={"PhotometricInterpretation": name})))[-1]
        for name in ("MONOCHROME1", "MONOCHROME2")
    ]
    inverted, plain = (ds.pixel_array[300:340, 300:340].astype(int).mean() for ds in grey)
    assert abs(inverted + plain - 255) < 6


def test_lossy_compression_is_not_forgotten(tmp_path) -> None:
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": 9.5,
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    one = pictured.encoded(pictured.a_ct(tmp_path, attributes=lossy))
    assert {ds.LossyImageCompression for ds in pictures(one)} == {"01"}


def test_nothing_found_is_a_page_not_silence(tmp_path) -> None:
    study = pictured.a_ct(tmp_path)
    none = Segmentation(np.zeros(study.volume.geometry.shape, np.uint8), (), ("Nodule",))
    one = pictured.encoded(
        study,
        replace(given.a_conclusion(study.volume), findings=(none, pictured.a_classification(Presence.ABSENT))),
        PLAIN,
    )
    assert [ds.SOPInstanceUID for ds in pages(one)] == [ds.SOPInstanceUID for ds in one.of(ResultKind.SC)]
    assert "Nodule: not found" in words(one)
    assert not one.of(ResultKind.KEY)
    assert one.failures() == {}


def test_more_findings_than_pictures_are_listed_in_words(tmp_path) -> None:
    study = pictured.a_ct(tmp_path, slices=40, rows=24, columns=24)
    regions = tuple(pictured.a_region(study.volume, f"Lesion {n}", index=n) for n in range(40))
    one = pictured.encoded(study, replace(given.a_conclusion(study.volume), findings=(Detection(regions),)), PLAIN)
    assert len(pictures(one)) == 16
    for n in range(40):
        assert f"Lesion {n}:" in words(one)
    assert words(one).count("no key image") == 24
    assert one.failures() == {}


def test_statements_without_end_are_counted(tmp_path) -> None:
    study = pictured.a_ct(tmp_path, slices=2, rows=24, columns=24)
    many = tuple(QualityStatement(f"q{n}", f"Statement number {n}.") for n in range(400))
    found = (pictured.a_classification(), *many)
    one = pictured.encoded(study, replace(given.a_conclusion(study.volume), findings=found), PLAIN)
    assert len(pages(one)) == 8
    assert "more lines, which are not shown here" in words(one)


@pytest.mark.parametrize("label", ["肺結節", "Knötchen", "Noyau thalamique médian", "x" * 200, "a\\b^c=d", "узелок"])
def test_any_label_gives_a_picture(tmp_path, label: str) -> None:
    study = pictured.a_ct(tmp_path, slices=3)
    region = pictured.a_region(study.volume, label, index=1)
    one = pictured.encoded(study, replace(given.a_conclusion(study.volume), findings=(Detection((region,)),)))
    assert one.failures() == {}
    if label in {"肺結節", "узелок"}:  # what the font lacks is said by the code's meaning
        assert "Nodule" in words(one)


@pytest.mark.parametrize("kind", ["box", "circle", "ellipse", "point", "line", "polygon"])
def test_every_shape_is_drawn(tmp_path, kind: str) -> None:
    study = pictured.a_ct(tmp_path, slices=3)
    region = pictured.a_region(study.volume, "Lesion", index=1, kind=kind)
    one = pictured.encoded(study, replace(given.a_conclusion(study.volume), findings=(Detection((region,)),)))
    assert one.failures() == {}
    (ds,) = pictures(one)
    assert coloured(ds)[40:700].sum() > 50


def test_an_image_much_larger_than_a_screen_is_made_smaller(tmp_path) -> None:
    study = pictured.a_ct(tmp_path, slices=1, rows=2000, columns=1800)
    one = pictured.encoded(study, replace(given.a_conclusion(study.volume)))
    (ds,) = pictures(one)
    assert ds.PixelSpacing[0] * 1536 == pytest.approx(0.8 * 2000, rel=1e-3)
    assert max(ds.Rows, ds.Columns) < 1800
    assert one.failures() == {}


def test_two_heat_maps_are_two_pictures(tmp_path) -> None:
    study = pictured.a_ct(tmp_path)
    maps = (pictured.a_heat_map(study.volume), pictured.a_heat_map(study.volume, label="Doubt"))
    one = pictured.encoded(study, replace(given.a_conclusion(study.volume), findings=maps), PLAIN)
    assert ["Coloured: Suspicion" in ds.ImageComments for ds in pictures(one)] == [True, False]
    assert one.failures() == {}


def test_ohif_gets_none(tmp_path) -> None:
    assert not pictured.encoded(pictured.a_ct(tmp_path), profile=OHIF).of(ResultKind.SC)


# ---- the gate


def put(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda ds: setattr(ds, keyword, value)


def cut(keyword: str) -> Callable[[Dataset], None]:
    return lambda ds: delattr(ds, keyword)


def pixels(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Dataset], None]:
    def apply(ds: Dataset) -> None:
        ds.PixelData = np.ascontiguousarray(change(ds.pixel_array)).tobytes()

    return apply


def without_colour(stack: np.ndarray) -> np.ndarray:
    return np.repeat(stack.min(axis=-1, keepdims=True), 3, axis=-1)


def source(ds: Dataset) -> Dataset:
    return ds.SourceImageSequence[0]


def commented(text: str) -> Callable[[Dataset], None]:
    return lambda ds: setattr(ds, "ImageComments", f"{ds.ImageComments} {text}")


SEEDED = {
    "nothing drawn": (pixels(without_colour), "sc-drawn"),
    "black": (pixels(lambda p: p * 0), "sc-drawn"),
    "flipped left to right": (pixels(lambda p: p[:, ::-1]), "sc-drawn"),
    "turned upside down": (pixels(lambda p: p[::-1]), "sc-drawn"),
    "shifted": (pixels(lambda p: np.roll(p, 60, axis=1)), "sc-drawn"),
    "pixel data too short": (lambda d: setattr(d, "PixelData", d.PixelData[:-6]), "sc-form"),
    "palette": (put("PhotometricInterpretation", "PALETTE COLOR"), "sc-form"),
    "planes": (put("PlanarConfiguration", 1), "sc-form"),
    "an original": (put("ImageType", ["ORIGINAL", "PRIMARY"]), "sc-form"),
    "frames": (put("NumberOfFrames", 2), "sc-form"),
    "not burned in": (put("BurnedInAnnotation", "NO"), "sc-draft"),
    "no draft in its derivation": (put("DerivationDescription", "Findings drawn into an image"), "sc-draft"),
    "the patient's name": (commented("Example Ada"), "sc-draft"),
    "the patient's number": (commented("OR-0001"), "sc-draft"),
    "no version": (lambda d: setattr(d, "ImageComments", d.ImageComments.replace("1.2.3", "")), "sc-draft"),
    "another source": (lambda d: setattr(source(d), "ReferencedSOPInstanceUID", "1.2.3"), "sc-references"),
    "another source class": (lambda d: setattr(source(d), "ReferencedSOPClassUID", "1.2.3"), "sc-references"),
    "another purpose": (
        lambda d: setattr(source(d).PurposeOfReferenceCodeSequence[0], "CodeValue", "121321"), "sc-references",
    ),
    "a frame of nothing": (lambda d: setattr(source(d), "ReferencedFrameNumber", 1), "sc-references"),
    "another orientation": (put("PatientOrientation", ["R", "P"]), "sc-geometry"),
    "no orientation": (put("PatientOrientation", None), "sc-geometry"),
    "the spacing of the original": (put("PixelSpacing", [0.8, 0.7]), "sc-geometry"),
    "moved": (
        lambda d: setattr(d, "ImagePositionPatient", [float(v) + 1 for v in d.ImagePositionPatient]), "sc-geometry",
    ),
    "turned": (put("ImageOrientationPatient", [-1, 0, 0, 0, 1, 0]), "sc-geometry"),
    "another frame of reference": (put("FrameOfReferenceUID", "1.2.3"), "sc-geometry"),
    "cut off": (
        lambda d: (setattr(d, "PixelData", d.PixelData[: 300 * d.Columns * 3]), setattr(d, "Rows", 300)),
        "sc-geometry",
    ),
    "another patient": (put("PatientID", "SOMEONE-ELSE"), "sc-identity"),
    "another modality": (put("Modality", "CT"), "sc-attributes"),
    "no conversion type": (cut("ConversionType"), "sc-attributes"),
    "a description that hides the draft": (put("SeriesDescription", "Pictures"), "sc-draft"),
}  # fmt: skip


def a_picture(one: Encoded) -> int:
    """Where the first picture with nothing but segments on it is."""
    kinds = [item.kind for item in one.objects]
    captures = one.of(ResultKind.SC)
    plain = next(
        n
        for n, ds in enumerate(captures)
        if "drawn into" in ds.DerivationDescription and "Coloured" not in ds.ImageComments
    )
    return kinds.index(ResultKind.SC) + plain


def test_good_key_images_pass(good: Encoded) -> None:
    assert good.failures() == {}
    assert {"sc-set", "sc-words", "sc-form", "sc-draft", "sc-references", "sc-geometry", "sc-drawn"} <= {
        check.name for check in good.check().checks
    }


@pytest.mark.parametrize("name", SEEDED)
def test_seeded_errors_of_a_key_image_are_noticed(good: Encoded, name: str) -> None:
    change, expected = SEEDED[name]
    objects = list(good.objects)
    at = a_picture(good)
    objects[at] = reading.changed(objects[at], change)
    failed = {check.name: check.detail for check in good.check(objects).failures}
    assert expected in failed, f"only {failed}"
    for detail in failed.values():
        assert "Example" not in detail
        assert "OR-0001" not in detail


def test_seeded_errors_of_the_set_are_noticed(good: Encoded) -> None:
    others = [one for one in good.objects if one.kind is not ResultKind.SC]
    captures = [one for one in good.objects if one.kind is ResultKind.SC]
    start = [one.kind for one in good.objects].index(ResultKind.SC)

    def failures(changed: list) -> set[str]:
        return set(good.failures([*others[:start], *changed, *others[start:]]))

    assert "sc-set" in failures(captures[1:])  # no page
    assert "sc-set" in failures(captures[:-1])  # a slice is missing
    assert "pictures" in failures([])
    silent = reading.changed(captures[0], lambda d: setattr(d, "ImageComments", "AI DRAFT, version 1.2.3"))
    assert "sc-words" in failures([silent, *captures[1:]])
    assert "pictures" in good.failures([*others, *captures])  # after the presentation state


def test_frames_without_labels_are_noticed(frames: Encoded) -> None:
    at = [one.kind for one in frames.objects].index(ResultKind.SC) + 1
    objects = list(frames.objects)
    objects[at] = reading.changed(objects[at], lambda d: d.FrameLabelVector.pop())
    assert {"sc-form", "sc-drawn"} <= set(frames.failures(objects))
