"""A real chest CT (LIDC-IDRI-0001) with lungs found by threshold: from the files to objects that everybody reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tests import builders
from tests.integration.results import validators
from tests.unit.results import given
from worker.decode.series.headers import HeaderReader
from worker.decode.series.volumes import VolumeReader
from worker.domain.codes import Code
from worker.domain.findings import Conclusion, Segmentation
from worker.domain.result import EncodedObject
from worker.domain.study import StoredInstance
from worker.gate.result_gate import ResultGate
from worker.pictures.overlay import write_overlay
from worker.results.encoder import DicomEncoder
from worker.samples import fetch

pytestmark = [pytest.mark.dcmtk, pytest.mark.slow]


@dataclass(frozen=True)
class Analysed:
    paths: tuple[Path, ...]
    evidence: tuple[StoredInstance, ...]
    conclusion: Conclusion
    objects: tuple[EncodedObject, ...]
    files: tuple[Path, ...]


def lungs_of(hu: NDArray[np.float32]) -> NDArray[np.uint8]:
    """1 right lung, 2 left lung (the patient lies on the back, so image columns run to the left), 3 bright things."""
    air, _ = ndimage.label(hu < -320)
    outside = np.unique(np.concatenate([air[:, edge].ravel() for edge in (0, -1)]))
    sizes = np.bincount(air.ravel())
    sizes[outside] = sizes[0] = 0
    lung = air == int(np.argmax(sizes))
    labels = np.zeros(hu.shape, np.uint8)
    labels[hu > 250] = 3
    labels[lung] = 2
    labels[:, :, :256][lung[:, :, :256]] = 1
    return labels


@pytest.fixture(scope="module")
def analysed(sample_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    paths = tuple(sorted(fetch("chest-ct", sample_cache).glob("*.dcm")))
    evidence = builders.stored_instances(paths)
    reader = HeaderReader()
    (series,) = reader.series(reader.headers(evidence))
    volume = VolumeReader().volume(series)
    labels = lungs_of(volume.voxels)
    bone = given.a_segment(3, "Bone", volume=volume, labels=labels)
    segments = (
        given.a_segment(1, "Right lung", volume=volume, labels=labels, side=given.RIGHT),
        given.a_segment(2, "Left lung", volume=volume, labels=labels, side=given.LEFT),
        type(bone)(bone.number, bone.label, bone.category, Code("272673000", "SCT", "Bone"), (240, 240, 200),
                   bone.measurements, bone.tracking_identifier),
    )  # fmt: skip
    conclusion = Conclusion(given.ALGORITHM, volume, (Segmentation(labels, segments, absent=("Trachea",)),))
    objects = DicomEncoder().encode(conclusion, evidence, given.CONTEXT)
    folder = tmp_path_factory.mktemp("results")
    files = []
    for name, item in zip(("seg", "sr", "text"), objects, strict=True):
        files.append(folder / f"{name}.dcm")
        files[-1].write_bytes(item.content)
    return Analysed(paths, evidence, conclusion, objects, tuple(files))


def test_the_gate_passes(analysed: Analysed) -> None:
    report = ResultGate().check(analysed.objects, analysed.conclusion, analysed.evidence, given.CONTEXT)
    assert report.passed, report.failures


def test_validators_find_nothing(analysed: Analysed) -> None:
    seg, report, text = analysed.files
    assert [validators.dciodvfy(path) for path in analysed.files] == [[], [], []]
    assert [validators.dsrdump(path) for path in (report, text)] == [[], []]
    assert validators.dcentvfy([*analysed.paths, *analysed.files], about=[seg, report, text]) == []


def test_dcmqi_reads_the_same_masks_in_the_same_place(analysed: Analysed, tmp_path: Path) -> None:
    finding, geometry = analysed.conclusion.findings[0], analysed.conclusion.volume.geometry
    masks = validators.segimage2itkimage(analysed.files[0], tmp_path)
    for segment in finding.segments:
        mask = masks[segment.label]
        # The reader's grid may begin at the first slice that holds something: compare in patient coordinates.
        origin = np.array(mask.image.TransformIndexToPhysicalPoint((0, 0, 0)))
        first = geometry.to_index(origin)
        assert np.abs(first - np.round(first)).max() < 1e-3
        begin = np.round(first).astype(int)
        steps = np.array(mask.image.GetDirection()).reshape(3, 3) @ np.diag(mask.image.GetSpacing())
        assert np.abs(steps[:, ::-1] - geometry.affine_lps[:3, :3]).max() < 1e-3
        expected = finding.labels == segment.number
        window = tuple(slice(b, b + n) for b, n in zip(begin, mask.voxels.shape, strict=True))
        assert np.array_equal(mask.voxels, expected[window])
        assert np.count_nonzero(mask.voxels) == np.count_nonzero(expected)


def test_dcmqi_reads_the_same_volumes(analysed: Analysed, tmp_path: Path) -> None:
    volumes = {
        group["TrackingIdentifier"]: float(item["value"])
        for group in validators.tid1500reader(analysed.files[1], tmp_path)
        for item in group["measurementItems"]
        if item["quantity"]["CodeMeaning"] == "Volume"
    }
    segments = analysed.conclusion.findings[0].segments
    assert volumes == {s.tracking_identifier: pytest.approx(s.measurements[0].value, rel=1e-5) for s in segments}
    assert 1500 < volumes["AI Right lung"] < 2500


def test_the_right_lung_is_on_the_patients_right(analysed: Analysed) -> None:
    finding, geometry = analysed.conclusion.findings[0], analysed.conclusion.volume.geometry
    right, left = (geometry.to_patient_mm(np.argwhere(finding.labels == n).astype(float)).mean(axis=0) for n in (1, 2))
    assert right[0] < left[0], "in LPS the patient's left is positive"


def test_the_picture(analysed: Analysed, tmp_path: Path) -> None:
    path = tmp_path / "overlay.png"
    write_overlay(analysed.conclusion, path)
    assert path.stat().st_size > 100_000
