"""Mask to SEG to patient coordinates and back, for every way in which images can lie."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as forall
from hypothesis import strategies as st

from tests import builders
from tests.unit.results import given, reading
from worker.results.encoder import DicomEncoder
from worker.results.gate import ResultGate


def turned(*degrees: float) -> tuple[float, ...]:
    """Orientation of an axial plane that was turned about the three patient axes."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return (*matrix[:, 0], *matrix[:, 1])


CORPUS = {
    "axial": {},
    "sagittal": {"orientation": builders.SAGITTAL},
    "coronal": {"orientation": builders.CORONAL},
    "oblique": {"orientation": turned(25, -15, 40)},
    "feet-first": {"orientation": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)},
    "prone": {"orientation": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)},
    "rows-swapped": {"orientation": (0.0, 1.0, 0.0, 1.0, 0.0, 0.0)},
    "tilted": {"step_mm": (0.0, 1.2, 4.8)},
    "descending": {"step_mm": (0.0, 0.0, -2.5)},
    "anisotropic": {"spacing_mm": (7.5, 0.3, 1.9)},
    "single-slice": {"slices": 1},
    "mr": {"modality": "MR", "orientation": builders.SAGITTAL},
    "odd-size": {"rows": 17, "columns": 23, "slices": 5},
}


def round_trip(study: given.Study, labels=None):
    conclusion = given.a_conclusion(study.volume, labels)
    objects = DicomEncoder().encode(conclusion, study.evidence, given.CONTEXT)
    report = ResultGate().check(objects, conclusion, study.evidence, given.CONTEXT)
    assert report.passed, report.failures
    return objects


@pytest.mark.parametrize("name", CORPUS)
def test_corpus(tmp_path, name) -> None:
    arguments = CORPUS[name]
    study = given.a_study(tmp_path, **arguments)
    labels = None
    if arguments.get("slices") == 1:
        labels = np.zeros(study.volume.geometry.shape, np.uint8)
        labels[0, 3:9, 4:20], labels[0, 20:, 30:] = 1, 2
    round_trip(study, labels)


@pytest.mark.parametrize("order", [None, [3, 1, 0, 2], [0, 0, 1, 1, 2, 2], [2, 1, 0]])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_multi_frame(tmp_path, order, modality) -> None:
    study = given.an_enhanced_study(tmp_path, frame_order=order, modality=modality, orientation=builders.SAGITTAL)
    seg, report = (reading.dataset(item) for item in round_trip(study))
    numbers = {ref.frame_number for ref in study.volume.slices}
    used = {
        f.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        for f in seg.PerFrameFunctionalGroupsSequence
    }
    assert used <= numbers
    for region in reading.named(report, "111030"):
        assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber in numbers
    assert not reading.named(report, "111028")


def test_several_multi_frame_objects_of_one_series(tmp_path) -> None:
    parts = []
    for k in range(3):
        ds = builders.an_enhanced_ct(slices=1, instance=k + 1, origin=(-14.0, -12.0, 2.5 * k))
        parts.append(builders.write(ds, tmp_path / f"{k}.dcm"))
    evidence = builders.stored_instances(parts)
    matrix = given.affine(orientation=builders.AXIAL, origin=(-14.0, -12.0, 0.0), spacing_mm=(2.5, 0.8, 0.7), step=None)
    refs = tuple(given.SliceRef(instance.sop_instance_uid, 1) for instance in evidence)
    volume = given.a_volume(parts[0], matrix, refs, (3, 32, 40), "CT")
    seg = reading.dataset(round_trip(given.Study(tuple(parts), evidence, volume))[0])
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 3


def test_a_subset_of_the_slices(tmp_path) -> None:
    study = given.a_study(tmp_path)
    matrix = study.volume.geometry.affine_lps.copy()
    matrix[:3, 3] += 2 * matrix[:3, 0]
    volume = given.a_volume(study.paths[0], matrix, study.volume.slices[2:5], (3, 32, 40), "CT")
    report = reading.dataset(round_trip(given.Study(study.paths, study.evidence, volume))[1])
    series = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert sum(len(item.ReferencedSOPSequence) for item in series) == 3 + 1


PLACES = {
    "first voxel": (0, 0, 0),
    "last voxel": (5, 31, 39),
    "corner of a middle slice": (2, 0, 39),
    "somewhere": (3, 15, 20),
}


@pytest.mark.parametrize("place", PLACES)
def test_one_voxel(tmp_path, place) -> None:
    study = given.a_study(tmp_path)
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    labels[PLACES[place]] = 1
    seg, report = (reading.dataset(item) for item in round_trip(study, labels))
    assert seg.NumberOfFrames == 1
    points = np.array(reading.named(report, "111030")[0].GraphicData).reshape(-1, 2)
    _, row, column = PLACES[place]
    assert points.min(axis=0).tolist() == [column, row]
    assert points.max(axis=0).tolist() == [column + 1, row + 1]


def test_everything_is_the_structure(tmp_path) -> None:
    study = given.a_study(tmp_path, slices=2)
    round_trip(study, np.ones(study.volume.geometry.shape, np.uint8))


angles = st.floats(-180, 180, allow_nan=False)
spacings = st.floats(0.2, 8.0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@forall(st.tuples(angles, angles, angles), st.tuples(spacings, spacings, spacings), st.integers(0, 2**32 - 1))
def test_any_position(angles_deg, spacing_mm, seed) -> None:
    rng = np.random.default_rng(seed)
    rows, columns, slices = (int(n) for n in rng.integers(3, 20, 3))
    with tempfile.TemporaryDirectory() as folder:
        study = given.a_study(
            Path(folder), slices=slices, rows=rows, columns=columns, spacing_mm=spacing_mm,
            orientation=turned(*angles_deg), origin=tuple(float(v) for v in rng.uniform(-400, 400, 3)),
        )  # fmt: skip
        labels = rng.integers(0, 3, study.volume.geometry.shape).astype(np.uint8)
        labels.reshape(-1)[:2] = 1, 2
        round_trip(study, labels)
