"""The guard that asks a net: what it lets through, what it says when it does not, and which manifests are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.inference.tiny_models import a_volume, affine_net, changed, package_data, write_package
from tests.unit.inference.tiny_nets import mean_net
from worker.domain.errors import ConfigurationError, NotApplicableError
from worker.domain.findings import Conclusion
from worker.domain.volume import Volume
from worker.inference.manifest.manifest import manifest_of
from worker.inference.packages.registry import Registry
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.session import SessionCache
from worker.settings import Settings
from worker.wiring.package_check import check_packages

GUARD: dict[str, Any] = {
    "guard": "net",
    "preprocessing": [{"step": "reorient", "axes": "SPL"}],
    "net": {
        "weights": "region",
        "input": {"name": "image", "shape": ["N", "C", "A", "B"]},
        "output": {"name": "logits", "shape": ["N", 2]},
    },
    "classes": ["head", "chest"],
    "wanted": ["chest"],
    "min_share": 0.5,
}


def data(**of_guard: Any) -> dict[str, Any]:
    """A package whose guard takes planes that are dark on the average for a chest."""
    guard = {key: value for key, value in {**GUARD, **of_guard}.items() if value is not None}
    made = changed(package_data("0" * 64), "guards.input.1", guard)
    return changed(made, "weights.1", {"id": "region", "file": "region.onnx", "sha256": "0" * 64})


def package(folder: Path, **of_guard: Any) -> Path:
    folder.mkdir(exist_ok=True)
    mean_net(folder / "region.onnx", scale=[0.0, -1.0], bias=[0.0, -400.0])
    return write_package(folder, data(**of_guard))


def planes(*means: float, spacing_mm: tuple[float, float, float] = (2.0, 1.0, 1.0)) -> Volume:
    """One plane for each mean, toward the Head."""
    noise = np.random.default_rng(1).normal(0, 5, (len(means), 6, 6))
    return a_volume(np.asarray(means)[:, None, None] + noise, spacing_mm=spacing_mm)


CHEST, HEAD = -600.0, 40.0


def run(folder: Path, volume: Volume, sessions: SessionCache | None = None) -> Conclusion:
    registry = Registry([folder])
    assert registry.broken == ()
    return PackagePredictor(registry, sessions=sessions).predict(registry.packages[0].identity, volume)


def refusal(folder: Path, volume: Volume) -> str:
    with pytest.raises(NotApplicableError) as caught:
        run(folder, volume)
    assert caught.value.code == "not-what-it-is-for"
    return caught.value.message


def test_half_of_the_planes_is_enough_and_less_is_not(tmp_path: Path) -> None:
    folder = package(tmp_path)
    run(folder, planes(HEAD, CHEST, CHEST, HEAD))
    said = refusal(folder, planes(HEAD, CHEST, HEAD, HEAD))
    assert "75 % head, 25 % chest" in said
    assert "at least 50 % chest" in said


def test_a_length_is_counted_in_millimetres(tmp_path: Path) -> None:
    folder = package(tmp_path, min_share=None, min_mm=10.0)
    run(folder, planes(*[CHEST] * 5, *[HEAD] * 40))
    said = refusal(folder, planes(*[CHEST] * 4, *[HEAD] * 4))
    assert "8 mm of chest, and at least 10 mm are needed" in said


def test_planes_are_skipped_and_still_count_for_their_length(tmp_path: Path) -> None:
    folder = package(tmp_path, min_share=None, min_mm=20.0, every_mm=5.0)  # every second slice of 2 mm
    run(folder, planes(*[CHEST] * 10, *[HEAD] * 10))
    assert "16 mm of chest" in refusal(folder, planes(*[CHEST] * 8, *[HEAD] * 10))


def test_a_plane_that_the_net_is_unsure_of_is_nothing(tmp_path: Path) -> None:
    folder = package(tmp_path, least_probability=0.9)
    said = refusal(folder, planes(-400.0, -400.0, CHEST, HEAD))
    assert "nothing that the guard knows" in said


def test_rules_on_values_come_first_and_no_net_is_loaded_for_what_they_refuse(tmp_path: Path) -> None:
    made = data()
    made["guards"]["input"] = [made["guards"]["input"][1], {"guard": "value_range", "high": {"minimum": 5000.0}}]
    mean_net(tmp_path / "region.onnx", scale=[0.0, -1.0], bias=[0.0, -400.0])
    sessions = SessionCache()
    with pytest.raises(NotApplicableError) as caught:
        run(write_package(tmp_path, made), planes(HEAD, HEAD), sessions)
    assert caught.value.code == "value-range"
    assert len(sessions) == 0


def test_the_net_of_the_model_itself_is_not_loaded_for_what_the_guard_refuses(tmp_path: Path) -> None:
    sessions = SessionCache()
    with pytest.raises(NotApplicableError):
        run(package(tmp_path), planes(HEAD, HEAD), sessions)
    assert len(sessions) == 1


@pytest.mark.parametrize(
    ("of_guard", "said"),
    [
        ({"wanted": ["thorax"]}, '"thorax" is wanted but is none of the classes head, chest'),
        ({"classes": ["head", "chest", "abdomen"]}, "the net answers 2 classes; 3 are named"),
        ({"classes": ["chest", "chest"]}, "a class is named twice"),
        ({"min_share": None}, "state min_share, min_mm or both"),
        ({"min_share": 1.5}, "guards.input[1].min_share"),
        ({"preprocessing": [{"step": "custom", "method": "brighten"}]}, "not in the chain of a stage"),
        ({"preprocessing": [{"step": "clip_kept", "kept": "range"}]}, 'nothing was kept as "range"'),
    ],
)
def test_a_manifest_that_does_not_agree(of_guard: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        manifest_of(data(**of_guard))
    assert said in caught.value.message


def test_a_guard_whose_weights_are_not_listed(tmp_path: Path) -> None:
    made = data()
    made["weights"] = made["weights"][:1]
    with pytest.raises(ConfigurationError, match='weights "region", which are not listed'):
        manifest_of(made)


def test_a_net_that_outlines_rates_no_planes() -> None:
    outlines = {**GUARD["net"], "output": {"name": "logits", "shape": ["N", 2, "A", "B"]}}
    with pytest.raises(ConfigurationError, match="answers \\[batch, class\\]"):
        manifest_of(data(net=outlines))


def test_check_loads_the_nets_of_guards_too(tmp_path: Path) -> None:
    package(tmp_path)
    (good,) = check_packages(Settings(), [tmp_path])
    assert good.error == ""
    affine_net(tmp_path / "region.onnx", scale=[0.0, 1.0], bias=[0.0, 0.0])
    write_package(tmp_path, data())
    (bad,) = check_packages(Settings(), [tmp_path])
    assert "region.onnx does not fit its manifest" in bad.error
