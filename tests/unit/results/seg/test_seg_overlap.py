"""Segments that lie in others: the outer one is whole in every object, and what is missing of it is noticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.results import given, reading
from tests.unit.results.display import pictured
from tests.unit.results.seg import seg_judged, seg_reader
from worker.domain.findings import Conclusion, Measurement
from worker.domain.profile import Profile, SegmentEncoding
from worker.gate.result_gate import ResultGate
from worker.pictures.scene import scene_of
from worker.results.encoder import DicomEncoder

PROFILES = {
    encoding: Profile(name=encoding.value, segmentation=encoding)
    for encoding in (SegmentEncoding.BINARY, SegmentEncoding.LABELMAP, SegmentEncoding.FRACTIONAL)
}


def labels_of(study: given.Study, *, ring: bool = True) -> np.ndarray:
    """A nodule (2) in a lung (1); without the ring, nothing of the lung but the nodule was marked."""
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    if ring:
        labels[1:5, 6:26, 8:30] = 1
    labels[2:4, 12:20, 14:24] = 2
    return labels


def flat(conclusion: Conclusion) -> Conclusion:
    """The same label map, of which nobody says that one lies in the other."""
    (finding,) = conclusion.segmentations
    whole, nodule = finding.segments
    own = float(np.count_nonzero(finding.labels == 1)) * conclusion.volume.geometry.voxel_volume_mm3 / 1000
    measured: tuple[Measurement, ...] = (replace(whole.measurements[0], value=own),)
    return replace(
        conclusion, findings=(replace(finding, segments=(replace(whole, contains=(), measurements=measured), nodule)),)
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> given.Study:
    return given.a_study(tmp_path_factory.mktemp("study"))


@pytest.mark.parametrize("ring", [True, False])
@pytest.mark.parametrize("encoding", PROFILES)
def test_the_outer_segment_is_whole(study: given.Study, encoding: SegmentEncoding, ring: bool) -> None:
    conclusion = given.a_nested_conclusion(study.volume, labels_of(study, ring=ring))
    seg = seg_judged.encoded(conclusion, study.evidence, PROFILES[encoding])
    assert seg_judged.failures(seg, conclusion, study.evidence, PROFILES[encoding]) == {}
    ds = reading.dataset(seg)
    # A label map has no room for a second segment in a voxel.
    kind = {SegmentEncoding.LABELMAP: "BINARY"}.get(encoding, encoding.upper())
    assert (ds.SegmentationType, ds.SegmentsOverlap) == (kind, "YES")
    labels = conclusion.segmentations[0].labels
    found = seg_reader.read(seg.content)
    for number, mask in ((1, labels > 0), (2, labels == 2)):
        expected = {
            (str(study.volume.slices[k].sop_instance_uid), None, int(row), int(column))
            for k, row, column in np.argwhere(mask)
        }
        assert found[number].on_images == expected


@pytest.mark.parametrize("ring", [True, False])
def test_every_object_about_it_passes_the_gate(study: given.Study, ring: bool) -> None:
    conclusion = given.a_nested_conclusion(study.volume, labels_of(study, ring=ring))
    objects = DicomEncoder(standard=pictured.FULL).encode(conclusion, study.evidence, given.CONTEXT)
    report = ResultGate(standard=pictured.FULL).check(objects, conclusion, study.evidence, given.CONTEXT)
    assert [one for one in report.checks if not one.passed] == []


def test_a_hollow_outer_segment_is_refused(study: given.Study) -> None:
    """As a label map alone would make it: without what lies in it."""
    conclusion = given.a_nested_conclusion(study.volume, labels_of(study))
    profile = PROFILES[SegmentEncoding.BINARY]
    hollow = DicomEncoder(standard=profile).encode(flat(conclusion), study.evidence, given.CONTEXT)
    report = ResultGate(standard=profile).check(hollow, conclusion, study.evidence, given.CONTEXT)
    failed = {one.name for one in report.failures}
    assert {"seg-form", "segment-1-geometry", "sr-measurements"} <= failed
    assert "segment-2-geometry" not in failed


def test_segments_that_do_not_overlap_must_not_be_said_to(study: given.Study) -> None:
    conclusion = given.a_nested_conclusion(study.volume, labels_of(study))
    profile = PROFILES[SegmentEncoding.BINARY]
    seg = seg_judged.encoded(conclusion, study.evidence, profile)
    assert set(seg_judged.failures(seg, flat(conclusion), study.evidence, profile)) == {
        "seg-form", "segment-1-geometry"
    }  # fmt: skip


def test_pictures_show_it_whole(study: given.Study) -> None:
    conclusion = given.a_nested_conclusion(study.volume, labels_of(study))
    whole, nodule = scene_of(conclusion).structures
    labels = conclusion.segmentations[0].labels
    for k in range(len(labels)):
        np.testing.assert_array_equal(whole.mask(k), labels[k] > 0)
        assert whole.voxels.get(k, 0) == np.count_nonzero(labels[k])
        assert nodule.voxels.get(k, 0) == np.count_nonzero(labels[k] == 2)
