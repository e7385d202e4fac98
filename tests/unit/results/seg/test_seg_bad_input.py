"""What a model or a scanner may hand over: each gives a valid SEG, or a clear refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from tests import builders
from tests.unit.results import given, projection, reading
from tests.unit.results.seg import seg_judged, seg_reader
from worker.domain.errors import PermanentError
from worker.domain.findings import Conclusion, Segment, Segmentation
from worker.domain.profile import OHIF, Profile, SegmentEncoding
from worker.results.encoder import DicomEncoder

pytestmark = pytest.mark.slow

ENCODINGS = (SegmentEncoding.BINARY, SegmentEncoding.LABELMAP, SegmentEncoding.FRACTIONAL)
NO_CODE = given.Code("", "SCT", "Lung")


def profile(encoding: SegmentEncoding) -> Profile:
    return replace(OHIF, segmentation=encoding, report=False)


def concluded(study: given.Study, labels: NDArray[Any], **changes: Any) -> Conclusion:
    """One segment, with something changed in it, for every number that the labels hold."""
    count = int(labels.max(initial=0))
    segments = tuple(
        replace(given.a_segment(n, f"Structure {n}", volume=study.volume, labels=labels), **changes)
        for n in range(1, count + 1)
    )
    return given.a_conclusion(study.volume, labels, findings=(Segmentation(labels, segments),))


def refused(conclusion: Conclusion, study: given.Study) -> str:
    with pytest.raises(PermanentError) as caught:
        DicomEncoder().encode(conclusion, study.evidence, given.CONTEXT)
    assert caught.value.next_step
    return caught.value.code


def passes(conclusion: Conclusion, study: given.Study, encoding: SegmentEncoding) -> dict[int, seg_reader.Found]:
    """Encode, gate, and read back with the independent reader: the voxels must be the labels."""
    seg = seg_judged.encoded(conclusion, study.evidence, profile(encoding))
    assert seg_judged.failures(seg, conclusion, study.evidence, profile(encoding)) == {}
    found = seg_reader.read(seg.content)
    labels = conclusion.segmentations[0].labels
    assert {n: len(one.on_images) for n, one in found.items()} == {
        segment.number: int(np.count_nonzero(labels == segment.number))
        for segment in conclusion.segmentations[0].segments
    }
    return found


MASKS: dict[str, Callable[[NDArray[np.uint8]], None]] = {
    "first voxel": lambda labels: labels.__setitem__((0, 0, 0), 1),
    "last voxel": lambda labels: labels.__setitem__((-1, -1, -1), 1),
    "the whole frame of an image": lambda labels: (
        labels[:, [0, -1], :].fill(0), labels.__setitem__((slice(None), [0, -1], slice(None)), 1),
        labels.__setitem__((slice(None), slice(None), [0, -1]), 1),
    )[0],
    "one slice only": lambda labels: labels.__setitem__((2, slice(4, 9), slice(3, 20)), 1),
    "everything": lambda labels: labels.fill(1),
    "a line of single voxels": lambda labels: labels.__setitem__((slice(None), 7, slice(None, None, 2)), 1),
}  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", MASKS)
def test_odd_masks(tmp_path, name, encoding) -> None:
    study = given.a_study(tmp_path, slices=4)
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    MASKS[name](labels)
    passes(concluded(study, labels), study, encoding)


def test_a_whole_frame_of_a_label_map_still_names_its_background(tmp_path) -> None:
    study = given.a_study(tmp_path, slices=2)
    labels = np.ones(study.volume.geometry.shape, np.uint8)
    seg = seg_judged.encoded(concluded(study, labels), study.evidence, profile(SegmentEncoding.LABELMAP))
    assert [item.SegmentNumber for item in reading.dataset(seg).SegmentSequence] == [0, 1]


def test_an_empty_mask_that_is_called_a_structure(tmp_path) -> None:
    study = given.a_study(tmp_path, slices=3)
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    empty = given.a_segment(1, "Nothing", volume=study.volume, labels=labels)
    assert refused(given.a_conclusion(study.volume, findings=(Segmentation(labels, (empty,)),)), study) == (
        "empty-segment"
    )


def test_an_empty_mask_that_is_called_absent_makes_no_seg(tmp_path) -> None:
    study = given.a_study(tmp_path, slices=3)
    nothing = Segmentation(np.zeros(study.volume.geometry.shape, np.uint8), (), absent=("Lung",))
    objects = DicomEncoder().encode(given.a_conclusion(study.volume, findings=(nothing,)), study.evidence,
                                    given.CONTEXT)  # fmt: skip
    assert "SEG" not in [one.kind for one in objects]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("count", [200, 300])
def test_hundreds_of_segments(tmp_path, count, encoding) -> None:
    study = given.a_study(tmp_path, slices=3)
    labels = np.zeros(study.volume.geometry.shape, np.uint16 if count > 255 else np.uint8)
    labels.reshape(-1)[: 6 * count] = np.repeat(np.arange(1, count + 1), 6)
    conclusion = concluded(study, labels)
    found = passes(conclusion, study, encoding)
    assert len(found) == count
    if encoding is SegmentEncoding.LABELMAP:
        seg = seg_judged.encoded(conclusion, study.evidence, profile(encoding))
        assert reading.dataset(seg).BitsAllocated == (16 if count > 255 else 8)


UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "type without code": ({"type": NO_CODE}, "segment-unnamed"),
    "category without code": ({"category": replace(NO_CODE, scheme="")}, "segment-unnamed"),
    "site without code": ({"site": NO_CODE}, "segment-unnamed"),
    "no label": ({"label": "  "}, "segment-unnamed"),
    "a backslash": ({"label": "Lung\\left"}, "segment-unnamed"),
    "a line break": ({"tracking_identifier": "AI\nLung"}, "segment-unnamed"),
    "no tracking identifier": ({"tracking_identifier": ""}, "segment-unnamed"),
    "a colour that is none": ({"colour_rgb": (0, 256, 0)}, "segment-unnamed"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_segments_that_cannot_be_described(tmp_path, name) -> None:
    study = given.a_study(tmp_path, slices=2)
    labels = np.ones(study.volume.geometry.shape, np.uint8)
    changes, code = UNFIT[name]
    assert refused(concluded(study, labels, **changes), study) == code


def test_two_structures_under_one_tracking_identifier(tmp_path) -> None:
    study = given.a_study(tmp_path, slices=2)
    labels = np.ones(study.volume.geometry.shape, np.uint8)
    labels[0] = 2
    assert refused(concluded(study, labels, tracking_identifier="AI"), study) == "segment-tracked-twice"


def test_a_voxel_that_no_segment_describes(tmp_path) -> None:
    study = given.a_study(tmp_path, slices=2)
    labels = np.ones(study.volume.geometry.shape, np.uint8)
    described: tuple[Segment, ...] = concluded(study, labels).segments
    labels[1, 5, 5] = 9
    conclusion = given.a_conclusion(study.volume, findings=(Segmentation(labels, described),))
    assert refused(conclusion, study) == "undescribed-label"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "label", ["Lunge rechts, mit Überlänge", "右肺", "Лёгкое", "رئة", "x" * 80, " padded ", "a" + "\u0301" * 3]
)
def test_labels_outside_latin_and_too_long(tmp_path, label, encoding) -> None:
    study = given.a_study(tmp_path, slices=2)
    labels = np.ones(study.volume.geometry.shape, np.uint8)
    conclusion = concluded(study, labels, label=label)
    passes(conclusion, study, encoding)


@pytest.mark.parametrize("name", ["Yamada^Tarou=山田^太郎=やまだ^たろう", "Люкceмбypг", "Wang^XiaoDong=王^小东"])
def test_patients_outside_latin(tmp_path, name) -> None:
    study = given.a_study(tmp_path, slices=2, patient=builders.Patient(name=name))
    conclusion = concluded(study, np.ones(study.volume.geometry.shape, np.uint8))
    for encoding in ENCODINGS:
        passes(conclusion, study, encoding)


OPTIONAL = (
    "SliceThickness", "SliceLocation", "PatientPosition", "BodyPartExamined", "PositionReferenceIndicator",
    "InstanceNumber", "SeriesNumber", "StudyDescription", "StudyID", "AccessionNumber", "ReferringPhysicianName",
    "PatientBirthDate", "PatientSex", "PatientAge", "Manufacturer", "SoftwareVersions", "LossyImageCompression",
    "SeriesDescription", "AcquisitionNumber",
)  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_images_without_optional_attributes(tmp_path, encoding) -> None:
    study = given.a_study(tmp_path, slices=3, attributes=dict.fromkeys(OPTIONAL))
    passes(concluded(study, np.ones(study.volume.geometry.shape, np.uint8)), study, encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_images_that_went_through_lossy_compression(tmp_path, encoding) -> None:
    study = given.a_study(tmp_path, slices=2)
    # Only the last of them: that is enough.
    ds = dcmread(study.paths[-1])
    ds.LossyImageCompression, ds.LossyImageCompressionRatio, ds.LossyImageCompressionMethod = "01", 12.5, "ISO_10918_1"
    builders.write(ds, study.paths[-1])
    study = replace(study, evidence=builders.stored_instances(study.paths))
    conclusion = concluded(study, np.ones(study.volume.geometry.shape, np.uint8))
    passes(conclusion, study, encoding)
    seg = seg_judged.encoded(conclusion, study.evidence, profile(encoding))
    assert reading.dataset(seg).LossyImageCompression == "01"


def test_images_without_a_frame_of_reference(tmp_path) -> None:
    study = given.a_study(tmp_path, slices=2, attributes={"FrameOfReferenceUID": None})
    conclusion = concluded(study, np.ones(study.volume.geometry.shape, np.uint8))
    assert refused(conclusion, study) == "no-frame-of-reference"


BARE = ("PatientOrientation", "StudyID", "AccessionNumber", "ReferringPhysicianName", "PatientSex", "InstanceNumber",
        "LossyImageCompression", "ImageType")  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("modality", projection.CLASSES)
def test_projection_images_without_optional_attributes(tmp_path, modality, encoding) -> None:
    ds = projection.an_image(modality=modality)
    for keyword in BARE:
        delattr(ds, keyword)
    study = projection.a_study(tmp_path, [ds])
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    labels[0, 0, 0], labels[0, -1, -1] = 1, 2
    passes(concluded(study, labels), study, encoding)
