"""Mask to SEG to patient coordinates and back, for every way in which images can lie.

The way back is an independent reader (``seg_reader``); the worst distance of a voxel from where the mask had it is
recorded with each test (``worst_mm``), and limited to ``LIMIT_MM``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as forall
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from tests import builders
from tests.unit.results import given, projection, reading
from tests.unit.results.seg import seg_judged, seg_reader
from worker.domain.profile import OHIF, Profile, SegmentEncoding
from worker.gate.result_gate import ResultGate
from worker.results.encoder import DicomEncoder

pytestmark = pytest.mark.slow

LIMIT_MM = 0.01

PROFILES = {
    SegmentEncoding.BINARY: OHIF,
    SegmentEncoding.LABELMAP: Profile(name="label-map", segmentation=SegmentEncoding.LABELMAP),
    SegmentEncoding.FRACTIONAL: Profile(name="fractional", segmentation=SegmentEncoding.FRACTIONAL),
}


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
    "reversed-numbers": {"reverse_instance_numbers": True},
    "far-away": {"origin": (-1234.56789, 987.654321, -2345.678901)},
    "oblique-tilted": {"orientation": turned(-35, 20, 5), "step_mm": (0.4, -1.1, 3.3)},
    "oblique-descending": {"orientation": turned(170, 10, -80), "step_mm": (-1.5, 0.7, -2.0)},
    "fine": {"spacing_mm": (0.6, 0.1171875, 0.1171875)},
}


def round_trip(study: given.Study, labels=None, encoding: SegmentEncoding = SegmentEncoding.BINARY):
    """Encode, let the gate check, and read the SEG back; returns the objects and the worst error."""
    conclusion, profile = given.a_conclusion(study.volume, labels), PROFILES[encoding]
    objects = DicomEncoder(standard=profile).encode(conclusion, study.evidence, given.CONTEXT)
    report = ResultGate(standard=profile).check(objects, conclusion, study.evidence, given.CONTEXT)
    assert report.passed, report.failures
    return objects, worst_error(objects[0].content, conclusion)


def worst_error(content: bytes, conclusion) -> float:
    """Largest distance (mm, in pixels outside of patient space) between a voxel and the nearest one of the mask.

    As many voxels on both sides, so that the nearest is its own.
    """
    (finding,), volume = conclusion.segmentations, conclusion.volume
    found, worst = seg_reader.read(content), 0.0
    assert set(found) == {segment.number for segment in finding.segments}
    for number, one in found.items():
        index = np.argwhere(finding.labels == number)
        refs = [(volume.slices[k].sop_instance_uid, volume.slices[k].frame_number) for k in index[:, 0]]
        assert one.on_images == {(*ref, *place) for ref, place in zip(refs, index[:, 1:].tolist(), strict=True)}
        if not volume.in_patient_space:
            assert one.lps_mm is None
            continue
        expected = volume.geometry.to_patient_mm(index.astype(np.float64))
        assert one.lps_mm is not None
        assert len(one.lps_mm) == len(expected)
        worst = max(worst, *(float(cKDTree(a).query(b)[0].max()) for a, b in ((one.lps_mm, expected),
                                                                             (expected, one.lps_mm))))  # fmt: skip
    assert worst < LIMIT_MM
    return worst


def corpus_labels(study: given.Study):
    """Labels for a member of the corpus; None for the usual ones."""
    if len(study.volume.slices) > 1:
        return None
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    labels[0, 3:9, 4:20], labels[0, 20:, 30:] = 1, 2
    return labels


@pytest.mark.parametrize("encoding", PROFILES)
@pytest.mark.parametrize("name", CORPUS)
def test_corpus(tmp_path, record_property, name, encoding) -> None:
    study = given.a_study(tmp_path, **CORPUS[name])
    _, worst_mm = round_trip(study, corpus_labels(study), encoding)
    record_property("worst_mm", worst_mm)


ORDERS = {"in-order": None, "mixed": [3, 1, 0, 2], "backwards": [2, 1, 0]}


@pytest.mark.parametrize("encoding", PROFILES)
@pytest.mark.parametrize("order", ORDERS)
def test_enhanced_corpus(tmp_path, record_property, order, encoding) -> None:
    study = given.an_enhanced_study(tmp_path, frame_order=ORDERS[order], orientation=turned(25, -15, 40))
    _, worst_mm = round_trip(study, None, encoding)
    record_property("worst_mm", worst_mm)


IN_PLANES = {
    "projection": projection.single,
    "projection-spacing": lambda folder: projection.single(folder, "DX", spacing_mm=(0.2, 0.15)),
    "computed-radiography": lambda folder: projection.single(folder, "CR", spacing_mm=(0.1, 0.1)),
    "ultrasound": lambda folder: projection.single(folder, "US", spacing_mm=(0.31, 0.27)),
    "mammography-series": projection.several,
    "cine": projection.cine,
    "cine-subset": lambda folder: projection.cine(folder, "XA", picked=[2, 4, 5]),
}


@pytest.mark.parametrize("encoding", PROFILES)
@pytest.mark.parametrize("name", IN_PLANES)
def test_projection_corpus(tmp_path, name, encoding) -> None:
    assert in_planes(IN_PLANES[name](tmp_path), encoding) == 0


def in_planes(study: given.Study, encoding: SegmentEncoding) -> float:
    """Round trip without a place in the patient: every voxel is on its pixel of its frame; returns the worst error."""
    labels = np.zeros(study.volume.geometry.shape, np.uint8)
    labels[0, 2:7, 3:9], labels[-1, 15:, 11:] = 1, 2
    conclusion, profile = given.a_conclusion(study.volume, labels), PROFILES[encoding]
    seg = seg_judged.encoded(conclusion, study.evidence, profile)
    checks = seg_judged.checks_of(seg, conclusion, study.evidence, profile)
    assert {"seg-placement", "seg-frames", "segment-1-geometry"} <= checks.keys()
    assert all(one.passed for one in checks.values()), checks
    return worst_error(seg.content, conclusion)


def test_a_gap_in_the_series(tmp_path) -> None:
    # The stack below the gap is the volume; the images above it are evidence that was not analysed.
    study = given.a_study(tmp_path, slices=8, skip=(5,))
    volume = given.a_volume(
        study.paths[0], study.volume.geometry.affine_lps, study.volume.slices[:5], (5, 32, 40), "CT"
    )
    _, worst_mm = round_trip(given.Study(study.paths, study.evidence, volume))
    assert worst_mm < LIMIT_MM


@pytest.mark.parametrize("order", [None, [3, 1, 0, 2], [0, 0, 1, 1, 2, 2], [2, 1, 0]])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_multi_frame(tmp_path, order, modality) -> None:
    study = given.an_enhanced_study(tmp_path, frame_order=order, modality=modality, orientation=builders.SAGITTAL)
    seg, report = (reading.dataset(item) for item in round_trip(study)[0])
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
    seg = reading.dataset(round_trip(given.Study(tuple(parts), evidence, volume))[0][0])
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 3


def test_a_subset_of_the_slices(tmp_path) -> None:
    study = given.a_study(tmp_path)
    matrix = study.volume.geometry.affine_lps.copy()
    matrix[:3, 3] += 2 * matrix[:3, 0]
    volume = given.a_volume(study.paths[0], matrix, study.volume.slices[2:5], (3, 32, 40), "CT")
    report = reading.dataset(round_trip(given.Study(study.paths, study.evidence, volume))[0][1])
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
    seg, report = (reading.dataset(item) for item in round_trip(study, labels)[0])
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
shears = st.floats(-2.0, 2.0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@forall(
    st.tuples(angles, angles, angles), st.tuples(spacings, spacings, spacings), st.tuples(shears, shears),
    st.sampled_from(list(PROFILES)), st.booleans(), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_position(angles_deg, spacing_mm, shear_mm, encoding, descending, seed) -> None:
    any_position(
        angles_deg=angles_deg, spacing_mm=spacing_mm, shear_mm=shear_mm, encoding=encoding, descending=descending,
        seed=seed,
    )  # fmt: skip


def any_position(*, angles_deg, spacing_mm, shear_mm, encoding, descending, seed) -> float:
    """A stack of random size, with random labels, somewhere in the patient; returns its worst error in mm."""
    rng = np.random.default_rng(seed)
    rows, columns, slices = (int(n) for n in rng.integers(3, 14, 3))
    orientation = turned(*angles_deg)
    normal = builders.normal_of(orientation) * spacing_mm[0] * (-1 if descending else 1)
    step = normal + shear_mm[0] * np.array(orientation[:3]) + shear_mm[1] * np.array(orientation[3:])
    with tempfile.TemporaryDirectory() as folder:
        study = given.a_study(
            Path(folder), slices=slices, rows=rows, columns=columns, spacing_mm=spacing_mm, orientation=orientation,
            origin=tuple(float(v) for v in rng.uniform(-400, 400, 3)), step_mm=tuple(float(v) for v in step),
        )  # fmt: skip
        labels = rng.integers(0, 3, study.volume.geometry.shape).astype(np.uint8)
        labels.reshape(-1)[:2] = 1, 2
        return round_trip(study, labels, encoding)[1]
