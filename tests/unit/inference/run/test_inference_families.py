"""One tiny package of each family through the predictor: findings in their places, with their codes."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.unit.inference.tiny_models import a_volume, affine_net, changed, package_data, save, write_package
from tests.unit.inference.tiny_nets import box_net, mean_net
from worker.domain.codes import Code, Unit
from worker.domain.errors import ConfigurationError, NotApplicableError, PermanentError
from worker.domain.findings import (
    Classification,
    Conclusion,
    Detection,
    Evaluation,
    HeatMap,
    OperatingPoint,
    Presence,
    QualityStatement,
    Quantification,
    Segmentation,
)
from worker.domain.regions import Box, Circle, Ellipse, Point
from worker.domain.volume import Space, Volume
from worker.inference.image import Image
from worker.inference.manifest.manifest import manifest_of
from worker.inference.modes import NnunetCascade
from worker.inference.packages.registry import Registry
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.session import SessionCache, SessionSettings
from worker.pipeline.summary import findings_of

LESION = {"value": "52988006", "scheme": "SCT", "meaning": "Lesion"}
ABNORMAL = {"value": "49755003", "scheme": "SCT", "meaning": "Morphologically Abnormal Structure"}
CUT = {"name": "cut", "default": 0.5, "minimum": 0.2, "maximum": 0.9, "meaning": "Probability."}
RATINGS_NET = {
    "weights": "main",
    "input": {"name": "image", "shape": ["N", 1, "A", "B"]},
    "output": {"name": "logits", "shape": ["N", 2]},
}
CLASSIFICATION = {
    "by": "probability", "channel": 1, "label": "Lesion", "tracking_identifier": "AI lesion", "finding": LESION,
    "threshold": "cut", "activation": "sigmoid", "urgent": True, "key_slices": 2, "pool": {"how": "max"},
    "operating_points": [{"threshold": 0.5, "sensitivity": 0.9, "specificity": 0.8}],
    "evaluations": [{"name": LESION, "value": ABNORMAL}],
}  # fmt: skip


def data_of(outputs: dict[str, Any], **top: Any) -> dict[str, Any]:
    data = package_data("0" * 64)
    data["guards"] = {"input": [{"guard": "not_constant"}]}
    data["postprocessing"] = []
    data["outputs"] = outputs
    return data | top


def rating(outputs: dict[str, Any], **top: Any) -> dict[str, Any]:
    return data_of(outputs, inference={"mode": "slices", "net": RATINGS_NET}, **top)


def predict(folder: Path, volume: Volume, **options: Any) -> Conclusion:
    registry = Registry([folder])
    assert registry.broken == ()
    sessions = SessionCache(SessionSettings(threads=1))
    return PackagePredictor(registry, sessions=sessions, **options).predict(registry.packages[0].identity, volume)


def with_plane(values: dict[int, float], *, planes: int = 5) -> Volume:
    voxels = np.zeros((planes, 4, 6), np.float32)
    voxels[:, 0, 0] = [-0.001, 0.001] * (planes // 2) + [0.001] * (planes % 2)
    for plane, value in values.items():
        voxels[plane] = value
    return a_volume(voxels)


def a_radiograph(voxels: np.ndarray, *, spacing: tuple[float, float] | None = (0.5, 0.5)) -> Volume:
    """One frame; the affine maps to (column, row, frame) of the image plane."""
    rows, columns = spacing or (1.0, 1.0)
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, columns], [0, rows, 0], [1, 0, 0]]
    volume = a_volume(voxels[None], affine=affine, modality="DX")
    return dataclasses.replace(volume, space=Space.PLANE if spacing else Space.PIXELS, frame_of_reference_uid=None)


# ------------------------------------------------------------------------------------------------- classification


@pytest.fixture
def triage(tmp_path: Path) -> Path:
    mean_net(tmp_path / "model.onnx", scale=[-1.0, 1.0], bias=[0.0, 0.0])
    return write_package(tmp_path, rating({"classifications": [CLASSIFICATION]}, thresholds=[CUT]))


def test_a_classification_is_present_above_its_threshold_and_names_the_slices(triage: Path) -> None:
    (finding,) = predict(triage, with_plane({1: 2.0, 3: 3.0})).findings
    assert isinstance(finding, Classification)
    assert (finding.presence, finding.urgent, finding.key_slices) == (Presence.PRESENT, True, (3, 1))
    assert finding.probability == pytest.approx(1 / (1 + math.exp(-3.0)), rel=1e-5)
    assert finding.operating_point == OperatingPoint(0.5, 0.9, 0.8)
    assert finding.finding == Code("52988006", "SCT", "Lesion")
    assert len(finding.evaluations) == 1


def test_an_absent_classification_is_said_and_is_not_urgent(triage: Path) -> None:
    (finding,) = predict(triage, with_plane({1: -2.0, 0: -1.0, 2: -3.0, 3: -1.0, 4: -1.0})).findings
    assert isinstance(finding, Classification)
    assert (finding.presence, finding.urgent, finding.key_slices) == (Presence.ABSENT, False, ())
    assert finding.evaluations == ()


def test_a_moved_threshold_decides_and_no_longer_states_what_was_measured_elsewhere(triage: Path) -> None:
    conclusion = predict(triage, with_plane({1: 1.0}), thresholds={"toy-ct": {"cut": 0.9}})
    (finding,) = conclusion.findings
    assert isinstance(finding, Classification)
    assert finding.presence is Presence.ABSENT
    assert finding.operating_point == OperatingPoint(0.9)
    assert "cut=0.9" in conclusion.algorithm.parameters


def test_near_the_threshold_it_is_indeterminate(tmp_path: Path) -> None:
    mean_net(tmp_path / "model.onnx", scale=[-1.0, 1.0], bias=[0.0, 0.0])
    entry = CLASSIFICATION | {"indeterminate_within": 0.05}
    write_package(tmp_path, rating({"classifications": [entry]}, thresholds=[CUT]))
    (finding,) = predict(tmp_path, with_plane({1: 0.1})).findings
    assert isinstance(finding, Classification)
    assert (finding.presence, finding.urgent) == (Presence.INDETERMINATE, False)


def test_logits_that_nobody_activated_are_no_probability(tmp_path: Path) -> None:
    mean_net(tmp_path / "model.onnx", scale=[-1.0, 1.0], bias=[0.0, 0.0])
    entry = CLASSIFICATION | {"activation": "none"}
    write_package(tmp_path, rating({"classifications": [entry]}, thresholds=[CUT]))
    with pytest.raises(PermanentError) as caught:
        predict(tmp_path, with_plane({1: 3.0}))
    assert caught.value.code == "probability-out-of-range"


HIGHEST = {
    "by": "highest", "label": "Body part", "tracking_identifier": "AI body part", "finding": LESION,
    "question": {"value": "123014", "scheme": "DCM", "meaning": "Target Region"},
    "classes": [{"channel": 0, "value": LESION}, {"channel": 1, "value": ABNORMAL}],
    "minimum": "cut", "activation": "softmax",
}  # fmt: skip


@pytest.mark.parametrize(("value", "presence", "answer"), [(9.0, "present", "49755003"), (0.05, "indeterminate", None)])
def test_the_highest_class_answers_the_question(tmp_path: Path, value: float, presence: str, answer: str) -> None:
    mean_net(tmp_path / "model.onnx", scale=[0.0, 1.0], bias=[0.0, 0.0])
    cut = CUT | {"default": 0.8}
    write_package(tmp_path, rating({"classifications": [HIGHEST]}, thresholds=[cut]))
    conclusion = predict(tmp_path, with_plane(dict.fromkeys(range(5), value) | {0: value + 0.01}))
    (finding,) = conclusion.findings
    assert isinstance(finding, Classification)
    assert finding.presence == presence
    (said,) = findings_of(conclusion)
    assert said["statement"].startswith(presence)
    assert said["statement"].endswith(f", Target Region: {ABNORMAL['meaning']}") is (answer is not None)
    expected = () if answer is None else (
        Evaluation(Code("123014", "DCM", "Target Region"), Code(answer, "SCT", ABNORMAL["meaning"])),
    )  # fmt: skip
    assert finding.evaluations == expected


def test_neighbours_are_channels(tmp_path: Path) -> None:
    """The mean over three planes of a stack in which one plane is bright."""
    mean_net(tmp_path / "model.onnx", scale=[0.0, 1.0], bias=[0.0, 0.0])
    net = RATINGS_NET | {"input": {"name": "image", "shape": ["N", 3, "A", "B"]}}
    data = rating({"classifications": [CLASSIFICATION | {"key_slices": 4}]}, thresholds=[CUT])
    data["inference"] = {"mode": "slices", "net": net, "neighbours": 1}
    write_package(tmp_path, data)
    (finding,) = predict(tmp_path, with_plane({2: 6.0})).findings
    assert isinstance(finding, Classification)
    assert finding.probability == pytest.approx(1 / (1 + math.exp(-2.0)), rel=1e-3)
    assert set(finding.key_slices[:3]) == {1, 2, 3}


def test_clips_of_frames_are_rated(tmp_path: Path) -> None:
    mean_net(tmp_path / "model.onnx", scale=[0.0, 1.0], bias=[0.0, 0.0], rank=5)
    net = RATINGS_NET | {"input": {"name": "image", "shape": ["N", 1, 2, "A", "B"]}}
    data = rating({"classifications": [CLASSIFICATION | {"key_slices": 1}]}, thresholds=[CUT])
    data["inference"] = {"mode": "clips", "net": net, "frames": 2, "stride": 2}
    write_package(tmp_path, data)
    (finding,) = predict(tmp_path, with_plane({3: 4.0, 4: 4.0})).findings
    assert isinstance(finding, Classification)
    assert finding.probability == pytest.approx(1 / (1 + math.exp(-4.0)), rel=1e-4)
    assert finding.key_slices == (4,)  # the middle of frames 3 and 4


# ------------------------------------------------------------------------------------------------ quantification

QUANTIFICATION = {
    "by": "channel", "label": "Score", "tracking_identifier": "AI score", "finding": LESION,
    "values": [{
        "channel": 0, "name": {"value": "118586006", "scheme": "SCT", "meaning": "Ratio"},
        "unit": {"ucum": "%", "meaning": "Percent"}, "scale": 10.0, "shift": 1.0,
        "plausible": {"minimum": 0.0, "maximum": 50.0},
    }],
}  # fmt: skip


def test_a_number_is_scaled_and_refused_outside_of_what_can_be(tmp_path: Path) -> None:
    mean_net(tmp_path / "model.onnx", scale=[1.0, 0.0], bias=[0.0, 0.0])
    write_package(tmp_path, rating({"quantifications": [QUANTIFICATION]}))
    (finding,) = predict(tmp_path, with_plane({0: 5.0})).findings
    assert isinstance(finding, Quantification)
    (measured,) = finding.measurements
    assert measured.value == pytest.approx(11.0, rel=1e-3)
    assert (measured.unit, measured.name.meaning) == (Unit("%", "Percent"), "Ratio")
    with pytest.raises(NotApplicableError, match="expected 0 to 50") as caught:
        predict(tmp_path, with_plane({0: 50.0}))
    assert caught.value.code == "quantity-implausible"


# ----------------------------------------------------------------------------------------------------- heat maps

HEAT_MAP = {
    "by": "channel", "channel": 1, "label": "Map", "value_range": [0.0, 1.0],
    "quantity": {"value": "130401", "scheme": "DCM", "meaning": "Visual explanation"},
    "unit": {"ucum": "1", "meaning": "no units"},
}  # fmt: skip


def test_a_heat_map_lies_on_the_grid_of_the_source(tmp_path: Path) -> None:
    affine_net(tmp_path / "model.onnx", scale=[0.0, 0.5], bias=[0.0, 0.0])
    write_package(tmp_path, data_of({"heat_maps": [HEAT_MAP | {"scale": 2.0, "shift": 1.0}]}))
    voxels = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    affine = np.eye(4)
    affine[:3, :3] = [[0, 2, 0], [0, 0, -2], [3, 0, 0]]
    volume = a_volume(voxels, affine=affine)
    (finding,) = predict(tmp_path, volume).findings
    assert isinstance(finding, HeatMap)
    np.testing.assert_allclose(finding.values, voxels + 1.0, rtol=1e-5, atol=1e-6)
    assert finding.values.dtype == np.float32


# ---------------------------------------------------------------------------------------------------- detections

PEAKS = {
    "by": "peaks", "channel": 1, "threshold": "cut", "separation_mm": 5.0, "label": "Nodule",
    "tracking_identifier": "AI nodule", "category": ABNORMAL, "type": LESION,
    "count": {"name": {"value": "118586006", "scheme": "SCT", "meaning": "Ratio"}, "finding": LESION,
              "label": "Nodules", "tracking_identifier": "AI nodules"},
}  # fmt: skip


def peak_package(folder: Path, **changes: Any) -> Path:
    affine_net(folder / "model.onnx", scale=[0.0, 1.0, 0.0], bias=[0.0, 0.0, 6.0])
    data = data_of({"detections": [PEAKS | changes]}, thresholds=[CUT])
    return write_package(folder, changed(data, "inference.net.output.shape", ["N", 3, "H", "W"]))


def peaky() -> np.ndarray:
    voxels = np.zeros((6, 20, 24), np.float32)
    voxels[2, 5, 6] = 0.9
    voxels[2, 5, 7] = 0.8  # 2 mm away: suppressed
    voxels[4, 15, 20] = 0.7
    voxels[1, 1, 1] = 0.4  # below the threshold
    return voxels


def test_peaks_become_points_the_best_first_and_are_counted(tmp_path: Path) -> None:
    found, count = predict(peak_package(tmp_path), a_volume(peaky())).findings
    assert isinstance(found, Detection)
    assert isinstance(count, Quantification)
    assert [(r.slice_index, r.shape, round(r.probability or 0, 3)) for r in found.regions] == [
        (2, Point((5.0, 6.0)), 0.9),
        (4, Point((15.0, 20.0)), 0.7),
    ]
    assert [region.tracking_identifier for region in found.regions] == ["AI nodule 1", "AI nodule 2"]
    assert count.measurements[0].value == 2.0
    assert found.absent == ()


def test_peaks_of_any_orientation_lie_in_the_same_place(tmp_path: Path) -> None:
    folder = peak_package(tmp_path)
    affine = np.eye(4)
    affine[:3, :3] = [[0, -2, 0], [0, 0, 2], [3, 0, 0]]
    (found, _) = predict(folder, a_volume(peaky(), affine=affine)).findings
    assert isinstance(found, Detection)
    assert [(r.slice_index, r.shape) for r in found.regions] == [(2, Point((5.0, 6.0))), (4, Point((15.0, 20.0)))]


def test_a_circle_has_its_diameter_in_millimetres(tmp_path: Path) -> None:
    folder = peak_package(tmp_path, mark="circle", diameter={"channel": 2}, measurements=["diameter"])
    (found, _) = predict(folder, a_volume(peaky())).findings
    assert isinstance(found, Detection)
    region = found.regions[0]
    assert region.shape == Circle((5.0, 6.0), 1.5)  # 6 mm on pixels of 2 mm
    assert region.extent == (1, 3)
    assert [(m.value, m.unit.ucum, m.name.meaning) for m in region.measurements] == [(6.0, "mm", "Diameter")]
    (found, _) = predict(folder, a_volume(peaky(), spacing_mm=(3.0, 1.0, 2.0))).findings
    assert isinstance(found, Detection)
    assert found.regions[0].shape == Ellipse(((2.0, 6.0), (8.0, 6.0)), ((5.0, 4.5), (5.0, 7.5)))


def test_nothing_found_is_absent_and_too_much_is_refused(tmp_path: Path) -> None:
    folder = peak_package(tmp_path, implausible_above=1)
    (found, count) = predict(folder, a_volume(peaky() * 0.1)).findings
    assert (found.regions, found.absent, count.measurements[0].value) == ((), ("Nodule",), 0.0)
    with pytest.raises(NotApplicableError) as caught:
        predict(folder, a_volume(peaky()))
    assert caught.value.code == "region-count"


BOX_NET = {
    "weights": "main", "input": {"name": "image", "shape": [1, 1, "A", "B"]},
    "boxes": {"name": "boxes", "shape": ["n", 4]}, "scores": {"name": "scores", "shape": ["n"]},
    "classes": {"name": "labels", "dtype": "int64", "shape": ["n"]}, "axes": "column_row",
}  # fmt: skip
BOXES = {
    "by": "boxes", "net_class": 1, "threshold": "cut", "overlap": 0.3, "label": "Lesion",
    "tracking_identifier": "AI lesion", "category": ABNORMAL, "type": LESION,
    "measurements": ["long_axis", "short_axis"],
}  # fmt: skip
DX = {"modality": ["DX", "CR"], "spaces": ["plane", "pixels"], "slices": {"minimum": 1, "maximum": 1}}


def box_package(folder: Path, **changes: Any) -> Path:
    """Two boxes that overlap, one of another class, one below the threshold."""
    box_net(
        folder / "model.onnx",
        [[2, 1, 6, 3], [2, 1, 6.5, 3], [8, 4, 9, 9], [0, 0, 1, 1]],
        [0.8, 0.9, 0.95, 0.3],
        [1, 1, 2, 1],
    )
    return write_package(folder, data_of({"detections": [BOXES]}, thresholds=[CUT], preprocessing=[],
                                         inference={"mode": "boxes", "net": BOX_NET}, input=DX) | changes)  # fmt: skip


def test_boxes_on_a_radiograph(tmp_path: Path) -> None:
    image = np.random.default_rng(1).normal(size=(10, 12)).astype(np.float32)
    (found,) = predict(box_package(tmp_path), a_radiograph(image)).findings
    assert isinstance(found, Detection)
    (region,) = found.regions
    # x 2 ... 6.5, y 1 ... 3 from the outer edge of the first pixel
    assert region.shape == Box((0.5, 1.5), (2.5, 6.0))
    assert (region.slice_index, region.extent) == (0, None)
    assert region.probability == pytest.approx(0.9)
    assert [(m.name.meaning, round(m.value, 4)) for m in region.measurements] == [
        ("Long axis", 2.25), ("Short axis", 1.0),
    ]  # fmt: skip


def test_without_a_pixel_spacing_no_length_is_stated(tmp_path: Path) -> None:
    image = np.random.default_rng(1).normal(size=(10, 12)).astype(np.float32)
    (found,) = predict(box_package(tmp_path), a_radiograph(image, spacing=None)).findings
    assert isinstance(found, Detection)
    assert found.regions[0].measurements == ()


def test_boxes_of_neighbouring_slices_are_one_region(tmp_path: Path) -> None:
    data = package_data("0" * 64)["input"]
    folder = box_package(tmp_path, input=data, preprocessing=[{"step": "reorient", "axes": "SPL"}],
                         outputs={"detections": [BOXES | {"link_slices": 0.5}]})  # fmt: skip
    voxels = np.random.default_rng(2).normal(size=(4, 10, 12)).astype(np.float32)
    (found,) = predict(folder, a_volume(voxels)).findings
    assert isinstance(found, Detection)
    (region,) = found.regions
    assert region.extent == (0, 3)
    assert region.shape == Box((0.5, 1.5), (2.5, 6.0))


def test_boxes_in_a_volume_reach_through_its_slices(tmp_path: Path) -> None:
    box_net(tmp_path / "model.onnx", [[1, 2, 3, 4, 6, 9]], [0.9], [0], flat=3)
    net = {**BOX_NET, "input": {"name": "image", "shape": [1, 1, "A", "B", "C"]}, "axes": "array",
           "boxes": {"name": "boxes", "shape": ["n", 6]}}  # fmt: skip
    data = data_of({"detections": [BOXES | {"net_class": 0}]}, thresholds=[CUT],
                   inference={"mode": "boxes", "net": net})  # fmt: skip
    write_package(tmp_path, data)
    voxels = np.random.default_rng(2).normal(size=(6, 10, 12)).astype(np.float32)
    (found,) = predict(tmp_path, a_volume(voxels)).findings
    assert isinstance(found, Detection)
    (region,) = found.regions
    assert (region.slice_index, region.extent) == (2, (1, 3))
    assert region.shape == Box((1.5, 2.5), (5.5, 8.5))


def test_components_of_a_segment_are_regions_of_their_own(tmp_path: Path) -> None:
    affine_net(tmp_path / "model.onnx", scale=[0.0, -1.0], bias=[0.0, -500.0])
    data = package_data("0" * 64)
    data["guards"] = {"input": [{"guard": "not_constant"}]}
    data["outputs"]["detections"] = [{
        "by": "components", "segment": "Lung", "label": "Part", "tracking_identifier": "AI part",
        "category": ABNORMAL, "type": LESION, "measurements": ["volume", "long_axis", "short_axis", "area"],
    }]  # fmt: skip
    write_package(tmp_path, data)
    voxels = np.full((6, 10, 12), 40.0, np.float32)
    voxels[1:3, 1:4, 1:7] = -800.0
    voxels[5, 8, 9] = -800.0
    segmentation, found = predict(tmp_path, a_volume(voxels)).findings
    assert isinstance(segmentation, Segmentation)
    assert isinstance(found, Detection)
    large, small = found.regions
    assert large.shape == Box((0.5, 0.5), (3.5, 6.5))
    assert (large.slice_index, large.extent) == (1, (1, 2))
    values = {m.name.meaning: m.value for m in large.measurements}
    assert values["Volume"] == pytest.approx(36 * 12 / 1000)
    assert values["Area"] == pytest.approx(18 * 4)
    # Of the outline half way between the pixels: corners are cut.
    assert values["Long axis"] == pytest.approx(math.hypot(4, 12), rel=1e-6)
    assert small.shape == Box((7.5, 8.5), (8.5, 9.5))


# -------------------------------------------------------------------------------------------- ensembles, cascades


def test_an_ensemble_is_the_mean_of_probabilities(tmp_path: Path) -> None:
    affine_net(tmp_path / "a.onnx", scale=[0.0, 1.0], bias=[0.0, 0.0])
    affine_net(tmp_path / "b.onnx", scale=[0.0, 3.0], bias=[0.0, 1.0])
    data = data_of({"heat_maps": [HEAT_MAP]})
    data["weights"] = [{"id": name, "file": f"{name}.onnx", "sha256": "0" * 64} for name in "ab"]
    of = data["inference"] | {"net": data["inference"]["net"] | {"weights": "a"}}
    data["inference"] = {"mode": "ensemble", "weights": ["a", "b"], "activation": "softmax", "of": of}
    write_package(tmp_path, data)
    voxels = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    (finding,) = predict(tmp_path, a_volume(voxels)).findings
    expected = (1 / (1 + np.exp(-voxels)) + 1 / (1 + np.exp(-(3 * voxels + 1)))) / 2
    np.testing.assert_allclose(finding.values, expected, rtol=1e-4)


def cascade_data(**mode: Any) -> dict[str, Any]:
    def stage(name: str, channels: int) -> dict[str, Any]:
        return {"mode": "volume", "net": {
            "weights": name, "input": {"name": "image", "shape": [1, channels, "A", "B", "C"]},
            "output": {"name": "logits", "shape": [1, 2, "A", "B", "C"]}}}  # fmt: skip

    data = data_of({"heat_maps": [HEAT_MAP | {"outside": -9.0}]})
    data["weights"] = [{"id": name, "file": f"{name}.onnx", "sha256": "0" * 64} for name in ("first", "second")]
    fed = 2 if mode.get("feed_masks") else 1
    data["inference"] = {
        "mode": "cascade",
        "first": {"inference": stage("first", 1), "channels": [1],
                  "preprocessing": [{"step": "resample_to_shape", "shape": [3, 5, 6], "interpolation": "nearest"}]},
        "second": {"inference": stage("second", fed)},
        **mode,
    }  # fmt: skip
    return data


def test_a_cascade_crops_to_what_the_first_net_found(tmp_path: Path) -> None:
    shape: list[int | str] = [1, 1, "A", "B", "C"]
    affine_net(tmp_path / "first.onnx", scale=[0.0, 1.0], bias=[0.0, -0.5], in_shape=shape)
    affine_net(tmp_path / "second.onnx", scale=[0.0, 2.0], bias=[0.0, 0.0], in_shape=shape)
    write_package(tmp_path, cascade_data(crop_margin_mm=2.0))
    voxels = np.full((6, 10, 12), -1.0, np.float32)
    voxels[2:4, 4:6, 4:8] = 1.0
    (finding,) = predict(tmp_path, a_volume(voxels)).findings
    inside = finding.values != -9.0
    assert inside[1:5, 3:7, 3:9].all()
    assert np.count_nonzero(inside) == 4 * 4 * 6  # the box and 2 mm around it, which is a slice as well
    np.testing.assert_allclose(finding.values[inside], 2 * voxels[inside])
    with pytest.raises(NotApplicableError) as caught:
        predict(tmp_path, a_volume(np.where(voxels > 0, -0.9, voxels)))
    assert caught.value.code == "nothing-localised"


def test_a_cascade_shows_the_mask_to_the_second_net(tmp_path: Path) -> None:
    affine_net(tmp_path / "first.onnx", scale=[0.0, 1.0], bias=[0.0, -0.5], in_shape=[1, 1, "A", "B", "C"])
    # The second net says what it was shown: image and mask.
    save(tmp_path / "second.onnx", [helper.make_node("Identity", ["image"], ["logits"])], constants={},
         in_shape=[1, 2, "A", "B", "C"], out_shape=[1, 2, "A", "B", "C"])  # fmt: skip
    write_package(tmp_path, changed(cascade_data(feed_masks=True), "inference.first.preprocessing", []))
    voxels = np.full((6, 10, 12), -1.0, np.float32)
    voxels[2:4, 4:6, 4:8] = 1.0
    (finding,) = predict(tmp_path, a_volume(voxels)).findings
    np.testing.assert_array_equal(finding.values, (voxels > 0).astype(np.float32))


def nnunet_cascade_data() -> dict[str, Any]:
    data = cascade_data(feed_masks=True)
    first, second = data["inference"]["first"]["inference"], data["inference"]["second"]["inference"]
    # Every second slice, then all of them again.
    coarse = {"step": "resample_nnunet", "spacing_mm": [6.0, "keep", "keep"], "order": 0, "separate": "never"}
    data["preprocessing"] = [{"step": "crop_to_foreground"}]
    data["inference"] = {
        "mode": "nnunet_cascade",
        "first": {"preprocessing": [coarse], "inference": first, "channels": [1],
                  "decision": {"step": "argmax", "interpolation": "nearest"}},
        "second": {"inference": second, "labels": {"spacing_mm": ["keep", "keep", "keep"]}},
    }  # fmt: skip
    return data


def test_nnunets_cascade_shows_labels_of_the_coarse_grid_on_the_fine_one(tmp_path: Path) -> None:
    affine_net(tmp_path / "first.onnx", scale=[0.0, 1.0], bias=[0.0, -1.5], in_shape=[1, 1, "A", "B", "C"])
    # The second net says what it was shown: image and mask.
    save(tmp_path / "second.onnx", [helper.make_node("Identity", ["image"], ["logits"])], constants={},
         in_shape=[1, 2, "A", "B", "C"], out_shape=[1, 2, "A", "B", "C"])  # fmt: skip
    write_package(tmp_path, nnunet_cascade_data())
    voxels = np.zeros((6, 10, 12), np.float32)
    voxels[:, 1:9, 1:11] = 1.0
    voxels[2:4, 4:6, 4:8] = 2.0
    (finding,) = predict(tmp_path, a_volume(voxels)).findings
    np.testing.assert_array_equal(finding.values[:, 1:9, 1:11], (voxels == 2).astype(np.float32)[:, 1:9, 1:11])
    assert (finding.values[:, 0] == -9.0).all()  # cropped away


def test_where_the_image_is_0_nnunets_cascade_has_a_label_of_its_own(tmp_path: Path) -> None:
    """Else air would be one label with the background of the body, and win where labels are resampled."""
    mode = manifest_of(changed(nnunet_cascade_data(), "inference.first.preprocessing", [])).inference
    assert isinstance(mode, NnunetCascade)
    voxels = np.zeros((4, 5, 6), np.float32)
    voxels[:, 1:, :] = 1.0
    voxels[1:3, 2:4, 2:4] = 2.0
    image = Image(voxels[None], a_volume(voxels).geometry)
    labels = mode._outlined(image, lambda _, batch, **__: np.concatenate([0 * batch, batch - 1.5], axis=1))
    np.testing.assert_array_equal(labels, np.where(voxels == 0, -1, np.where(voxels == 2, 1, 0)))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("inference.first.channels", [2], "channel 2 does not exist"),
        ("inference.first.channels", [0, 1], "must be those of the image and 2 masks"),
        ("inference.first.inference.net.output.shape", [1, 2], "both stages must answer a score map"),
        ("inference.first.inference.net.input.shape", "N", '\n  inference.first.inference.net.input.shape: found "N"'),
    ],
)
def test_nnunets_cascade_says_what_does_not_fit(path: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        manifest_of(changed(nnunet_cascade_data(), path, value))
    assert words in caught.value.message


def test_labels_for_another_grid_are_refused(tmp_path: Path) -> None:
    for name, channels in (("first", 1), ("second", 2)):
        save(tmp_path / f"{name}.onnx", [helper.make_node("Concat", ["image"] * (2 // channels), ["logits"], axis=1)],
             constants={}, in_shape=[1, channels, "A", "B", "C"], out_shape=[1, 2, "A", "B", "C"])  # fmt: skip
    write_package(tmp_path, changed(nnunet_cascade_data(), "inference.second.labels.spacing_mm", [1.0, 1.0, 1.0]))
    with pytest.raises(ConfigurationError) as caught:
        predict(tmp_path, a_volume(np.random.default_rng(0).normal(size=(6, 10, 12)).astype(np.float32)))
    assert caught.value.code == "net-grid-mismatch"


# -------------------------------------------------------------------------------------------- contracts and words


def test_a_radiograph_is_no_volume_and_the_other_way_round(tmp_path: Path) -> None:
    image = np.random.default_rng(1).normal(size=(10, 12)).astype(np.float32)
    folder = box_package(tmp_path)
    with pytest.raises(NotApplicableError) as caught:
        predict(folder, dataclasses.replace(a_radiograph(image), space=Space.PATIENT))
    assert caught.value.code == "space"
    with pytest.raises(NotApplicableError) as caught:
        predict(folder, dataclasses.replace(a_radiograph(image), modality="MG"))
    assert caught.value.code == "modality"


def test_a_limit_of_quality_is_said_and_does_not_refuse(tmp_path: Path) -> None:
    affine_net(tmp_path / "model.onnx", scale=[0.0, 1.0], bias=[0.0, 0.0])
    data = data_of({"heat_maps": [HEAT_MAP]})
    data["guards"]["quality"] = [
        {"check": {"guard": "spacing", "slices_mm": {"maximum": 2.0}}, "says": "Slices are thick."}
    ]
    write_package(tmp_path, data)
    voxels = np.random.default_rng(0).normal(size=(4, 5, 6))
    findings = predict(tmp_path, a_volume(voxels)).findings
    assert findings[-1] == QualityStatement("spacing", "Slices are thick.")
    assert len(predict(tmp_path, a_volume(voxels, spacing_mm=(2.0, 2.0, 2.0))).findings) == 1


WRONG = [
    ("a heat map of ratings", rating({"heat_maps": [HEAT_MAP]}), ("outputs.heat_maps[0]", "a score map", "numbers")),
    ("boxes of a map", data_of({"detections": [BOXES]}, thresholds=[CUT]), ("outputs.detections[0]", "boxes")),
    ("a channel that is not there", rating({"quantifications": [
        changed(QUANTIFICATION, "values.0.channel", 7)]}), ("quantifications[0]", "channel 7", "has 2")),
    ("no output", data_of({}), ("outputs", "at least one of segments")),
    ("a threshold that is not listed", rating({"classifications": [CLASSIFICATION]}), ("classifications[0]", '"cut"')),
    ("steps that make labels for nothing", data_of({"heat_maps": [HEAT_MAP]}, postprocessing=[{"step": "argmax"}]),
     ("postprocessing[0]", "no segments")),
    ("one name twice", rating({"classifications": [CLASSIFICATION, CLASSIFICATION]}, thresholds=[CUT]),
     ("its own label",)),
    ("unknown way", rating({"classifications": [CLASSIFICATION | {"by": "probabilty"}]}, thresholds=[CUT]),
     ("classifications[0]", '"probabilty"', '"probability"')),
    ("millimetres without a spacing", data_of({"heat_maps": [HEAT_MAP]}, input=DX, preprocessing=[
        {"step": "resample_to_spacing", "spacing_mm": ["keep", 1.0, 1.0], "interpolation": "linear"}]),
     ("preprocessing[0]", "millimetres", "pixels")),
    ("slice spacing of a projection", data_of({"heat_maps": [HEAT_MAP]}, input=DX | {
        "slice_spacing_mm": {"maximum": 1.0}}), ("input", "slice_spacing_mm")),
    ("ranks", changed(rating({"quantifications": [QUANTIFICATION]}), "inference.net.output.shape", ["N", 2, 3]),
     ("inference.net.output", "batch, channel")),
]  # fmt: skip


@pytest.mark.parametrize(("data", "said"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_does_not_fit_together_is_explained(data: dict[str, Any], said: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        manifest_of(data)
    assert caught.value.code == "manifest-invalid"
    for part in said:
        assert part in caught.value.message
