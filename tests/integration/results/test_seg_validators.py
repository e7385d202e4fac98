"""Every encoding of a segmentation, in patient space and on projection images, judged by programs of others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own documentation calls it so
from pydicom import dcmread

from tests.integration.results import validators
from tests.unit.results import given, projection
from tests.unit.results.seg import seg_judged
from tests.unit.results.test_geometry import IN_PLANES, PROFILES, turned
from worker.domain.profile import SegmentEncoding

SITE = given.Code("39607008", "SCT", "Lung")


def written(study: given.Study, conclusion: given.Conclusion, encoding: SegmentEncoding, folder: Path) -> Path:
    path = folder / "seg.dcm"
    path.write_bytes(seg_judged.encoded(conclusion, study.evidence, PROFILES[encoding]).content)
    return path


def label_map(path: Path, folder: Path) -> dict[str, validators.Mask]:
    """What dcmqi makes of a label map: one image with the numbers of all segments."""
    status, output = validators.run(
        "segimage2itkimage", "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd", "--prefix", "s"
    )
    assert status == 0, output
    (file,) = folder.glob("s-*.nrrd")
    image = sitk.ReadImage(str(file))
    voxels = sitk.GetArrayFromImage(image)
    return {
        item.SegmentLabel: validators.Mask(voxels == int(item.SegmentNumber), image)
        for item in dcmread(path).SegmentSequence
    }


@pytest.mark.parametrize("encoding", PROFILES)
@pytest.mark.parametrize("name", IN_PLANES)
def test_on_projection_images(tmp_path, name, encoding) -> None:
    study = IN_PLANES[name](tmp_path / "images")
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    labels[0, 2:7, 3:9], labels[-1, 15:, 11:] = 1, 2
    path = written(study, given.a_conclusion(study.volume, labels), encoding, tmp_path)
    assert validators.dciodvfy(path) == []
    assert validators.dcentvfy([*study.paths, path], about=[path]) == []


@pytest.mark.parametrize("modality", projection.CLASSES)
def test_on_each_modality(tmp_path, modality) -> None:
    study = projection.single(tmp_path / "images", modality)
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    labels[0, 2:7, 3:9], labels[-1, 15:, 11:] = 1, 2
    path = written(study, given.a_conclusion(study.volume, labels), SegmentEncoding.BINARY, tmp_path)
    assert validators.dciodvfy(path) == []


@pytest.mark.parametrize("encoding", PROFILES)
def test_in_patient_space(tmp_path, encoding) -> None:
    """With a site and a side; and dcmqi reads the same voxels in the same places."""
    study = given.a_study(tmp_path / "images", orientation=turned(25, -15, 40))
    conclusion = given.a_conclusion(study.volume)
    finding = conclusion.segmentations[0]
    lung, nodule = finding.segments
    finding = replace(finding, segments=(lung, replace(nodule, site=SITE, laterality=given.LEFT)))
    path = written(study, replace(conclusion, findings=(finding,)), encoding, tmp_path)
    assert validators.dciodvfy(path) == []
    masks = label_map(path, tmp_path) if encoding is SegmentEncoding.LABELMAP else validators.segimage2itkimage(
        path, tmp_path
    )  # fmt: skip
    for segment in finding.segments:
        index = np.argwhere(finding.labels == segment.number).astype(float)
        expected = validators.in_order(study.volume.geometry.to_patient_mm(index))
        found = masks[segment.label].points_mm()
        assert len(found) == len(expected)
        assert np.abs(validators.in_order(found) - expected).max() < 0.01


def test_segments_that_lie_in_others(tmp_path) -> None:
    """Others read the outer one whole."""
    study = given.a_study(tmp_path / "images", orientation=turned(25, -15, 40))
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    labels[1:5, 6:26, 8:30], labels[2:4, 12:20, 14:24] = 1, 2
    path = written(study, given.a_nested_conclusion(study.volume, labels), SegmentEncoding.BINARY, tmp_path)
    assert validators.dciodvfy(path) == []
    masks = validators.segimage2itkimage(path, tmp_path)
    for label, mask in (("Right lung", labels > 0), ("Nodule 1", labels == 2)):
        expected = validators.in_order(study.volume.geometry.to_patient_mm(np.argwhere(mask).astype(float)))
        found = masks[label].points_mm()
        assert len(found) == len(expected)
        assert np.abs(validators.in_order(found) - expected).max() < 0.01
