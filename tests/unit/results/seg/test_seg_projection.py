"""SEG on projection and ultrasound images: pixel on pixel, without a place in the patient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from tests import builders
from tests.unit.results import given, projection, reading
from tests.unit.results.seg import seg_judged
from worker.domain.errors import PermanentError
from worker.domain.profile import OHIF, WEASIS
from worker.domain.volume import SliceRef, Space
from worker.results.encoder import DicomEncoder
from worker.results.evidence import read_source


def concluded(study: given.Study):
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    labels[0, 2:7, 3:9], labels[-1, 15:, 11:] = 1, 2
    return given.a_conclusion(study.volume, labels)


def encoded(study: given.Study) -> Dataset:
    return reading.dataset(seg_judged.encoded(concluded(study), study.evidence, OHIF))


def test_nothing_is_said_of_a_place(tmp_path) -> None:
    ds = encoded(projection.single(tmp_path, "DX", spacing_mm=(0.2, 0.15)))
    for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator", "DimensionOrganizationType"):
        assert keyword not in ds
    shared = ds.SharedFunctionalGroupsSequence[0]
    # The rows and columns of the image, which viewers look for; without a position it is no place in the patient.
    assert list(shared.PlaneOrientationSequence[0].ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
    assert [e.keyword for e in shared.PixelMeasuresSequence[0]] == ["PixelSpacing"]
    assert [float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing] == [0.2, 0.15]
    assert all("PlanePositionSequence" not in frame for frame in ds.PerFrameFunctionalGroupsSequence)
    assert list(ds.PatientOrientation) == ["L", "F"]


def test_without_a_known_spacing_nothing_is_measured(tmp_path) -> None:
    study = projection.single(tmp_path)
    # The distance of planes, of which there is but one, stands for measures in viewers that want them.
    (measures,) = encoded(study).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert [element.keyword for element in measures] == ["SpacingBetweenSlices"]
    without = reading.dataset(seg_judged.encoded(concluded(study), study.evidence, WEASIS))
    assert "PixelMeasuresSequence" not in without.SharedFunctionalGroupsSequence[0]


def test_frames_of_a_run_are_told_apart_by_their_time(tmp_path) -> None:
    study = projection.cine(tmp_path, "XA", picked=[2, 4, 5])
    ds = encoded(study)
    assert ds.DimensionIndexSequence[-1].DimensionIndexPointer == 0x00209128
    times = [frame.FrameContentSequence[0].TemporalPositionIndex for frame in ds.PerFrameFunctionalGroupsSequence]
    assert times == [2, 5]
    for frame, number in zip(ds.PerFrameFunctionalGroupsSequence, times, strict=True):
        assert frame.FrameContentSequence[0].DimensionIndexValues[-1] == number
        image = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert image.ReferencedFrameNumber == number
        assert image.ReferencedSOPClassUID == projection.CLASSES["XA"]
    assert len(ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 1


def test_images_of_a_series_are_told_apart_by_their_name(tmp_path) -> None:
    study = projection.several(tmp_path)
    ds = encoded(study)
    labels = [frame.FrameContentSequence[0].FrameLabel for frame in ds.PerFrameFunctionalGroupsSequence]
    assert labels == ["Image 1", "Image 3"]
    for frame, ref in zip(ds.PerFrameFunctionalGroupsSequence, study.volume.slices[::2], strict=True):
        image = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert image.ReferencedSOPInstanceUID == ref.sop_instance_uid
        assert "ReferencedFrameNumber" not in image
    assert len(ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 3


def test_a_frame_of_reference_that_all_images_share_is_kept(tmp_path) -> None:
    uid = builders.a_uid("detector")
    images = [projection.an_image(instance=n, FrameOfReferenceUID=uid) for n in (1, 2)]
    study = projection.a_study(tmp_path / "same", images)
    assert encoded(study).FrameOfReferenceUID == uid
    assert seg_judged.failures(seg_judged.encoded(concluded(study), study.evidence, OHIF), concluded(study),
                               study.evidence, OHIF) == {}  # fmt: skip
    images[1].FrameOfReferenceUID = builders.a_uid("another")
    assert "FrameOfReferenceUID" not in encoded(projection.a_study(tmp_path / "other", images))


def test_source_of_projection_images(tmp_path) -> None:
    study = projection.single(tmp_path / "a", "DX", spacing_mm=(0.2, 0.15))
    source = read_source(study.volume, study.evidence)
    frame = source.frames[0]
    assert (frame.position, frame.orientation, frame.number) == (None, None, None)
    assert frame.pixel_spacing_mm == pytest.approx((0.2, 0.15))
    assert source.pixel_area_mm2 == pytest.approx(0.03)
    assert not source.in_patient_space
    unknown = projection.cine(tmp_path / "b")
    source = read_source(unknown.volume, unknown.evidence)
    assert [frame.number for frame in source.frames] == [1, 2, 3, 4, 5]
    assert source.frames[0].pixel_spacing_mm is source.pixel_area_mm2 is source.frame_of_reference_uid is None


def test_patient_space_still_asks_for_positions(tmp_path) -> None:
    study = projection.single(tmp_path)
    with pytest.raises(PermanentError) as caught:
        read_source(replace(study.volume, space=Space.PATIENT), study.evidence)
    assert caught.value.code == "geometry-missing"


def test_images_of_two_sizes(tmp_path) -> None:
    study = projection.a_study(tmp_path, [projection.an_image(instance=1), projection.an_image(instance=2, columns=30)])
    with pytest.raises(PermanentError) as caught:
        DicomEncoder().encode(concluded(study), study.evidence, given.CONTEXT)
    assert caught.value.code == "mixed-orientations"


def frame(ds: Dataset, keyword: str) -> Dataset:
    return ds.PerFrameFunctionalGroupsSequence[0][keyword].value[0]


def source_image(ds: Dataset) -> Dataset:
    return frame(ds, "DerivationImageSequence").SourceImageSequence[0]


def an_item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def spacing(value: list[float]) -> Callable[[Dataset], None]:
    def change(ds: Dataset) -> None:
        ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = [an_item(PixelSpacing=value)]

    return change


def place(ds: Dataset) -> None:
    ds.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence = [an_item(ImagePositionPatient=[0, 0, 0])]


SINGLE: Callable[[Path], given.Study] = lambda folder: projection.single(folder, "DX", spacing_mm=(0.2, 0.15))  # noqa: E731

SEEDED = {
    "a frame of reference of nobody": (
        SINGLE, lambda d: setattr(d, "FrameOfReferenceUID", "1.2.3.4"), "seg-frame-of-reference",
    ),
    "a place in the patient": (SINGLE, place, "seg-frames"),
    "another spacing": (SINGLE, spacing([0.15, 0.2]), "seg-frames"),
    "no spacing": (
        SINGLE, lambda d: delattr(d.SharedFunctionalGroupsSequence[0], "PixelMeasuresSequence"), "seg-frames",
    ),
    "a spacing that is not known": (projection.cine, spacing([1, 1]), "seg-frames"),
    "no frame number": (projection.cine, lambda d: delattr(source_image(d), "ReferencedFrameNumber"), "seg-frames"),
    "a frame that the image does not have": (
        projection.cine, lambda d: setattr(source_image(d), "ReferencedFrameNumber", 6), "seg-frames",
    ),
    "the frame after": (
        projection.cine, lambda d: setattr(source_image(d), "ReferencedFrameNumber", 2), "segment-1-geometry",
    ),
    "no time": (
        projection.cine, lambda d: delattr(frame(d, "FrameContentSequence"), "TemporalPositionIndex"),
        "seg-dimensions",
    ),
    "another image of the series": (
        projection.several,
        lambda d: setattr(
            source_image(d), "ReferencedSOPInstanceUID",
            d.ReferencedSeriesSequence[0].ReferencedInstanceSequence[1].ReferencedSOPInstanceUID,
        ),
        "segment-1-geometry",
    ),
    "the class of a CT": (
        projection.several,
        lambda d: setattr(source_image(d), "ReferencedSOPClassUID", "1.2.840.10008.5.1.4.1.1.2.1"), "seg-frames",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEDED)
def test_seeded_errors_are_noticed(tmp_path, name) -> None:
    make, change, expected = SEEDED[name]
    study = make(tmp_path)
    conclusion = concluded(study)
    seg = seg_judged.encoded(conclusion, study.evidence, OHIF)
    assert seg_judged.failures(seg, conclusion, study.evidence, OHIF) == {}
    assert expected in seg_judged.failures(seg, conclusion, study.evidence, OHIF, change)


@pytest.mark.parametrize(
    "attributes",
    [
        {"PixelSpacing": [0.2, 0.15]},
        {"ImagerPixelSpacing": [0.2, 0.15]},
        {"NominalScannedPixelSpacing": [0.2, 0.15]},
        {"ImagerPixelSpacing": [0.3, 0.225], "EstimatedRadiographicMagnificationFactor": 1.5},
        {"SequenceOfUltrasoundRegions": [projection.a_region(row_cm=0.02, column_cm=0.015)]},
    ],
)
def test_spacings_that_an_image_may_state(tmp_path, attributes) -> None:
    study = projection.a_study(tmp_path, [projection.an_image(**attributes)], spacing_mm=(0.2, 0.15))
    seg = seg_judged.encoded(concluded(study), study.evidence, OHIF)
    assert seg_judged.failures(seg, concluded(study), study.evidence, OHIF) == {}


def test_a_spacing_that_no_image_states(tmp_path) -> None:
    study = projection.a_study(tmp_path, [projection.an_image(ImagerPixelSpacing=[0.1, 0.1])], spacing_mm=(0.2, 0.15))
    seg = seg_judged.encoded(concluded(study), study.evidence, OHIF)
    assert "seg-frames" in seg_judged.failures(seg, concluded(study), study.evidence, OHIF)


def test_a_frame_that_the_run_does_not_have(tmp_path) -> None:
    study = projection.cine(tmp_path)
    uid = study.evidence[0].sop_instance_uid
    volume = replace(study.volume, slices=(*study.volume.slices[:4], SliceRef(uid, 9)))
    wrong = replace(study, volume=volume)
    seg = seg_judged.encoded(concluded(wrong), study.evidence, OHIF)
    assert "seg-frames" in seg_judged.failures(seg, concluded(wrong), study.evidence, OHIF)


def test_other_profiles_state_no_orientation_at_all(tmp_path) -> None:
    study = projection.single(tmp_path, "DX", spacing_mm=(0.2, 0.15))
    seg = seg_judged.encoded(concluded(study), study.evidence, WEASIS)
    assert "PlaneOrientationSequence" not in reading.dataset(seg).SharedFunctionalGroupsSequence[0]
    assert seg_judged.failures(seg, concluded(study), study.evidence, WEASIS) == {}
    # Which of the two it is has to be what the profile says.
    assert "seg-frames" in seg_judged.failures(seg, concluded(study), study.evidence, OHIF)


def test_measures_that_stand_for_none_are_what_the_profile_says(tmp_path) -> None:
    study = projection.single(tmp_path)
    for profile, other in ((OHIF, WEASIS), (WEASIS, OHIF)):
        seg = seg_judged.encoded(concluded(study), study.evidence, profile)
        assert seg_judged.failures(seg, concluded(study), study.evidence, profile) == {}
        assert "distance of planes" in str(seg_judged.failures(seg, concluded(study), study.evidence, other))


def test_an_orientation_that_claims_something_is_noticed(tmp_path) -> None:
    study = projection.single(tmp_path, "DX", spacing_mm=(0.2, 0.15))
    seg = seg_judged.encoded(concluded(study), study.evidence, OHIF)

    def turn(ds: Dataset) -> None:
        orientation = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
        orientation.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]

    assert "seg-frames" in seg_judged.failures(seg, concluded(study), study.evidence, OHIF, turn)
