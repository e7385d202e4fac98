"""The predictor on tiny packages: right results, named refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.unit.inference.tiny_models import (
    a_volume,
    affine_net,
    changed,
    nan_net,
    package_data,
    save,
    write_package,
)
from worker.domain.codes import MILLILITRE
from worker.domain.errors import ConfigurationError, NotApplicableError, PermanentError
from worker.domain.findings import Conclusion
from worker.domain.model import ModelIdentity
from worker.domain.study import Digest
from worker.domain.volume import Volume
from worker.inference.packages.registry import Registry
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.session import CPU, SessionCache, SessionSettings

EMPTY = package_data("0" * 64)


def lungs_at(where: tuple[slice, slice, slice], *, shape: tuple[int, int, int] = (6, 10, 12), **place: Any) -> Volume:
    voxels = np.full(shape, 40.0, np.float32)
    voxels[where] = -800.0
    return a_volume(voxels, **place)


BOX = (slice(2, 4), slice(3, 7), slice(5, 9))
VOLUME = lungs_at(BOX)


def predict(folder: Path, volume: Volume = VOLUME, **options: Any) -> Conclusion:
    registry = Registry([folder])
    assert registry.broken == ()
    sessions = SessionCache(SessionSettings(threads=1))
    return PackagePredictor(registry, sessions=sessions, **options).predict(registry.packages[0].identity, volume)


@pytest.mark.parametrize("mode", ["slices", "volume"])
def test_a_structure_is_found_in_its_place_and_measured(tmp_path: Path, mode: str) -> None:
    conclusion = predict(write_package(tmp_path, mode=mode))
    (finding,) = conclusion.findings
    assert finding.labels.dtype == np.uint8
    assert finding.labels.shape == VOLUME.voxels.shape
    expected = np.zeros(VOLUME.voxels.shape, np.uint8)
    expected[BOX] = 1
    np.testing.assert_array_equal(finding.labels, expected)
    (segment,) = finding.segments
    assert (segment.number, segment.label, segment.tracking_identifier) == (1, "Lung", "AI lung")
    assert (segment.type.value, segment.category.value, segment.laterality) == ("39607008", "91723000", None)
    (measured,) = segment.measurements
    assert (measured.name.meaning, measured.unit) == ("Volume", MILLILITRE)
    assert measured.value == pytest.approx(2 * 4 * 4 * 12.0 / 1000)
    assert finding.absent == ()


def test_the_result_says_who_made_it_and_how(tmp_path: Path) -> None:
    conclusion = predict(write_package(tmp_path))
    algorithm = conclusion.algorithm
    assert (str(algorithm.model), algorithm.title, algorithm.manufacturer) == (
        "toy-ct 1.2.3",
        "Toy algorithm",
        "Overread",
    )
    assert algorithm.provider == CPU
    assert any(parameter.startswith("main weights sha256=") for parameter in algorithm.parameters)
    assert conclusion.volume is VOLUME


def test_two_runs_give_the_same(tmp_path: Path) -> None:
    registry = Registry([write_package(tmp_path)])
    predictor = PackagePredictor(registry)
    first, second = (predictor.predict(registry.packages[0].identity, VOLUME) for _ in range(2))
    np.testing.assert_array_equal(first.findings[0].labels, second.findings[0].labels)
    assert first.findings[0].segments == second.findings[0].segments


@pytest.mark.parametrize("shear", [0.0, 0.3])
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, -1), (1, -1, -1)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_any_orientation_of_the_source_gives_the_same_place(
    tmp_path: Path, shear: float, flip: tuple[int, int, int], order: tuple[int, int, int]
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = (np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * [3.0, 2.0, 2.0])[:, list(order)] * flip
    affine[1, 0] += shear
    volume = lungs_at(BOX, affine=affine)
    (finding,) = predict(write_package(tmp_path), volume).findings
    np.testing.assert_array_equal(finding.labels > 0, volume.voxels < -500)


def test_resampling_comes_back_onto_the_source_grid(tmp_path: Path) -> None:
    chain = [
        {"step": "reorient", "axes": "SPL"},
        {"step": "resample_to_grid", "spacing_mm": ["keep", 1.0, 1.0], "shape": ["keep", 40, 40],
         "interpolation": "linear", "outside": -1024.0},
        {"step": "clip", "lower": -1024.0, "upper": 400.0},
    ]  # fmt: skip
    (finding,) = predict(write_package(tmp_path, changed(EMPTY, "preprocessing", chain))).findings
    assert finding.labels.shape == VOLUME.voxels.shape
    # The edge is shared by two pixels: the middle must be right, and the size to one pixel on each side.
    assert finding.labels[2:4, 4:6, 6:8].all()
    assert not finding.labels[0:2].any()
    assert 8 <= int(np.count_nonzero(finding.labels)) <= 2 * 6 * 6


TWO = changed(
    changed(EMPTY, "outputs.segments.1", {**EMPTY["outputs"]["segments"][0], "number": 2, "channel": 2,
            "label": "Bone", "tracking_identifier": "AI bone"}),
    "inference.net.output.shape",
    ["N", 3, "H", "W"],
)  # fmt: skip


def two_structures(folder: Path) -> Path:
    """Lung below -500, bone above 300."""
    affine_net(folder / "model.onnx", scale=[0.0, -1.0, 1.0], bias=[0.0, -500.0, -300.0])
    return write_package(folder, TWO)


def test_what_was_not_found_is_absent_and_the_rest_is_numbered_without_a_gap(tmp_path: Path) -> None:
    two_structures(tmp_path)
    voxels = np.full((6, 10, 12), 40.0, np.float32)
    voxels[1, 2, 3] = 1000.0
    (finding,) = predict(tmp_path, a_volume(voxels)).findings
    assert [(segment.number, segment.label) for segment in finding.segments] == [(1, "Bone")]
    assert finding.absent == ("Lung",)
    assert finding.labels[1, 2, 3] == 1
    assert int(np.count_nonzero(finding.labels)) == 1


def inner_and_outer(folder: Path) -> Path:
    """A lesion from 300 on, with its core from 600 on."""
    affine_net(folder / "model.onnx", scale=[0.0, 1.0, 1.0], bias=[0.0, -300.0, -600.0])
    names = ["volume", "area", "mean"]
    data = changed(TWO, "postprocessing", [{"step": "last_above", "value": 0.0}])
    data = changed(data, "guards.result", None)
    for index, label in enumerate(("Whole", "Core")):
        data = changed(data, f"outputs.segments.{index}.label", label)
        data = changed(data, f"outputs.segments.{index}.tracking_identifier", f"AI {label}")
        data = changed(data, f"outputs.segments.{index}.measurements", names)
    return write_package(folder, changed(data, "outputs.segments.0.contains", ["Core"]))


def test_what_lies_in_a_segment_is_part_of_it(tmp_path: Path) -> None:
    inner_and_outer(tmp_path)
    voxels = np.full((6, 10, 12), 40.0, np.float32)
    voxels[1:4, 2:6, 3:8] = 400.0
    voxels[2, 3:5, 4:6] = 700.0
    (finding,) = predict(tmp_path, a_volume(voxels)).findings
    whole, core = finding.segments
    assert [(one.label, one.number, one.contains) for one in (whole, core)] == [("Whole", 1, (2,)), ("Core", 2, ())]
    assert finding.overlap
    for k in range(6):
        np.testing.assert_array_equal(finding.mask(whole, k), voxels[k] > 300)
        np.testing.assert_array_equal(finding.mask(core, k), voxels[k] > 600)
    values = [[one.value for one in segment.measurements] for segment in (whole, core)]
    # In mL, in mm2 where it is largest, in HU: voxels are 3 x 2 x 2 mm.
    expected = [[60 * 12 / 1000, 20 * 4, (56 * 400 + 4 * 700) / 60], [4 * 12 / 1000, 4 * 4, 700]]
    assert values == [pytest.approx(one) for one in expected]


def test_a_segment_is_there_when_only_what_lies_in_it_was_marked(tmp_path: Path) -> None:
    inner_and_outer(tmp_path)
    voxels = np.full((6, 10, 12), 40.0, np.float32)
    voxels[2, 3:5, 4:6] = 700.0
    (finding,) = predict(tmp_path, a_volume(voxels)).findings
    assert (finding.absent, [one.label for one in finding.segments]) == ((), ["Whole", "Core"])
    np.testing.assert_array_equal(finding.mask(finding.segments[0], 2), voxels[2] > 600)
    voxels[2, 3:5, 4:6] = 400.0
    (finding,) = predict(tmp_path, a_volume(voxels)).findings
    assert (finding.absent, [one.label for one in finding.segments]) == (("Core",), ["Whole"])
    assert not finding.overlap


def test_nothing_found_at_all_is_said_too(tmp_path: Path) -> None:
    two_structures(tmp_path)
    voxels = np.full((6, 10, 12), 40.0, np.float32)
    voxels[0, 0, 0] = 50.0
    (finding,) = predict(tmp_path, a_volume(voxels)).findings
    assert (finding.segments, finding.absent) == ((), ("Lung", "Bone"))
    assert not finding.labels.any()


def threshold_package(folder: Path) -> Path:
    data = changed(EMPTY, "postprocessing", [{"step": "sigmoid"}, {"step": "threshold", "threshold": "cut"}])
    data = changed(
        data, "thresholds", [{"name": "cut", "default": 0.5, "minimum": 0.2, "maximum": 0.8, "meaning": "p"}]
    )
    affine_net(folder / "model.onnx", scale=[0.0, 1.0], bias=[0.0, 0.0])
    return write_package(folder, data)


def test_a_site_moves_a_threshold_within_its_bounds(tmp_path: Path) -> None:
    folder = threshold_package(tmp_path)
    voxels = np.zeros((2, 2, 4), np.float32)
    voxels[...] = [-1.0, 0.5, 1.0, 2.0]  # probabilities 0.27, 0.62, 0.73, 0.88
    volume = a_volume(voxels)
    counts = {}
    for cut in (0.2, 0.5, 0.7):
        conclusion = predict(folder, volume, thresholds={"toy-ct": {"cut": cut}})
        counts[cut] = int(np.count_nonzero(conclusion.findings[0].labels[0, 0]))
        assert f"cut={cut:g}" in conclusion.algorithm.parameters
    assert counts == {0.2: 4, 0.5: 3, 0.7: 2}


@pytest.mark.parametrize(
    ("moved", "code"),
    [
        ({"cut": 0.9}, "threshold-out-of-bounds"),
        ({"cut": float("nan")}, "threshold-out-of-bounds"),
        ({"cutt": 0.5}, "threshold-unknown"),
    ],
)
def test_a_threshold_that_its_maker_does_not_allow(tmp_path: Path, moved: dict[str, float], code: str) -> None:
    registry = Registry([threshold_package(tmp_path)])
    with pytest.raises(ConfigurationError) as caught:
        PackagePredictor(registry, thresholds={"toy-ct": moved})
    assert caught.value.code == code


def refused(folder: Path, volume: Volume, kind: type[PermanentError], code: str, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        predict(folder, volume, **options)
    assert caught.value.code == code
    return caught.value.message


def test_inputs_that_the_contract_excludes(tmp_path: Path) -> None:
    folder = write_package(tmp_path)
    values = np.random.default_rng(0).normal(size=(6, 4, 4))
    assert "MR" in refused(folder, a_volume(values, modality="MR"), NotApplicableError, "modality")
    assert "1 slices" in refused(folder, a_volume(values[:1]), NotApplicableError, "slice-count")
    thick = a_volume(values, spacing_mm=(8.0, 1.0, 1.0))
    assert "8.00 mm" in refused(folder, thick, NotApplicableError, "slice-spacing")
    refused(folder, a_volume(np.full((6, 4, 4), -1000.0)), NotApplicableError, "input-constant")
    values[3, 2, 1] = np.nan
    refused(folder, a_volume(values), NotApplicableError, "input-not-finite")


def test_a_guard_refuses_before_the_net_is_loaded(tmp_path: Path) -> None:
    guard = {
        "guard": "volume_of_range_inside_body",
        "lower": -950.0,
        "upper": -500.0,
        "min_ml": 500.0,
        "what": "lung-density tissue",
    }
    folder = write_package(tmp_path, changed(EMPTY, "guards.input.1", guard))
    registry = Registry([folder])
    sessions = SessionCache()
    with pytest.raises(NotApplicableError, match="mL of lung-density tissue") as caught:
        PackagePredictor(registry, sessions=sessions).predict(registry.packages[0].identity, VOLUME)
    assert caught.value.code == "volume-of-range"
    assert len(sessions) == 0


def test_an_implausible_result_is_refused(tmp_path: Path) -> None:
    folder = write_package(tmp_path, changed(EMPTY, "guards.result.0.max_ml", 0.1))
    assert "Lung would have 0 mL" in refused(folder, VOLUME, NotApplicableError, "segment-volume")


def test_outputs_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "nan").mkdir()
    nan_net(tmp_path / "nan" / "model.onnx")
    refused(write_package(tmp_path / "nan"), VOLUME, PermanentError, "output-not-finite")
    (tmp_path / "constant").mkdir()
    affine_net(tmp_path / "constant" / "model.onnx", scale=[0.0, 0.0], bias=[0.0, 5.0])
    refused(write_package(tmp_path / "constant"), VOLUME, PermanentError, "output-constant")


def test_more_memory_than_the_limit(tmp_path: Path) -> None:
    message = refused(write_package(tmp_path), VOLUME, PermanentError, "memory-limit", memory_limit_bytes=5 << 20)
    assert "about 10 MB" in message
    assert "limit is 5 MB" in message
    assert "6 x 10 x 12" in message


def test_weights_that_need_more_memory_than_the_limit_are_not_loaded(tmp_path: Path) -> None:
    """The manifest states one megabyte; the weights have two, and take twice that once they are loaded."""
    save(
        tmp_path / "model.onnx",
        [helper.make_node("Concat", ["image", "image"], ["logits"], axis=1)],
        constants={"ballast": np.zeros(2 << 18, np.float32)},
        in_shape=["N", 1, "H", "W"],
        out_shape=["N", 2, "H", "W"],
    )
    folder = write_package(tmp_path, EMPTY | {"hardware": {"memory_mb": 1, "memory_bytes_per_voxel": 8}})
    loaded = SessionCache(SessionSettings(threads=1))
    registry = Registry([folder])
    with pytest.raises(PermanentError) as caught:
        PackagePredictor(registry, sessions=loaded, memory_limit_bytes=3 << 20).predict(
            registry.packages[0].identity, VOLUME
        )
    assert caught.value.code == "memory-limit"
    assert "weights need about 5 MB" in caught.value.message
    assert len(loaded) == 0


def test_a_score_map_that_cannot_fit_is_refused_before_the_run(tmp_path: Path) -> None:
    """The manifest's own estimate passes, but its chain makes the image large."""
    chain = [{"step": "resample_to_shape", "shape": [64, 256, 256], "interpolation": "nearest"}]
    folder = write_package(tmp_path, changed(EMPTY, "preprocessing", chain))
    message = refused(folder, VOLUME, PermanentError, "memory-limit", memory_limit_bytes=40 << 20)
    assert "2 channels on 64 x 256 x 256 voxels" in message


def test_a_model_that_is_not_installed_in_that_very_content(tmp_path: Path) -> None:
    registry = Registry([write_package(tmp_path)])
    other = ModelIdentity("toy-ct", "1.2.3", Digest("e" * 64))
    with pytest.raises(ConfigurationError) as caught:
        PackagePredictor(registry).predict(other, VOLUME)
    assert caught.value.code == "model-missing"


def test_a_file_that_disagrees_with_its_manifest_stops_the_run(tmp_path: Path) -> None:
    folder = write_package(tmp_path, changed(EMPTY, "inference.net.input.name", "img"))
    with pytest.raises(ConfigurationError) as caught:
        predict(folder)
    assert caught.value.code == "net-input-mismatch"


def test_stages_are_told_in_order(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    predict(write_package(tmp_path), on_stage=lambda name, seconds: told.append((name, seconds)))
    assert [name for name, _ in told] == ["guards", "load", "preprocess", "inference", "postprocess", "measure"]
    assert all(seconds >= 0 for _, seconds in told)


def test_the_cache_of_sessions_that_is_given_is_used_though_it_is_empty(tmp_path: Path) -> None:
    sessions = SessionCache(SessionSettings(threads=1))
    registry = Registry([write_package(tmp_path)])
    PackagePredictor(registry, sessions=sessions).predict(registry.packages[0].identity, VOLUME)
    assert len(sessions) == 1
