"""Several inputs: what a manifest may say of them, and how they come onto the grid of the first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.inference.tiny_models import a_volume, changed
from tests.unit.inference.two_inputs import SHAPE, grid, seen, two_input_data, two_input_package
from worker.domain.errors import ConfigurationError, NotApplicableError, PermanentError
from worker.domain.findings import Conclusion
from worker.domain.study import FrameOfReferenceUID
from worker.domain.volume import Volume
from worker.inference.manifest.card import markdown
from worker.inference.manifest.manifest import manifest_of
from worker.inference.packages.package import load_package
from worker.inference.packages.registry import Registry
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.session import SessionCache, SessionSettings
from worker.inference.steps.registration import ensure_available

T1 = a_volume(seen(grid(), SHAPE, sequence="t1"), affine=grid(), modality="MR")
FINE = grid((3.0, 1.5, 2.5), (-55.0, -50.0, -45.0))
FINE_SHAPE = (30, 68, 46)
T2 = a_volume(seen(FINE, FINE_SHAPE, sequence="t2"), affine=FINE, modality="MR")
ELSEWHERE = replace(T2, frame_of_reference_uid=FrameOfReferenceUID("2.25.201"))


def predict(folder: Path, *volumes: Volume, **options: Any) -> Conclusion:
    registry = Registry([folder])
    assert registry.broken == ()
    predictor = PackagePredictor(registry, sessions=SessionCache(SessionSettings(threads=1)), **options)
    return predictor.predict(registry.packages[0].identity, *volumes)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def lesion_on(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    return seen(affine, shape, sequence="t2") - seen(affine, shape, sequence="t1") > 300


def expected_lesion() -> np.ndarray:
    return lesion_on(grid(), SHAPE)


def test_two_sequences_on_different_grids_together_show_what_neither_shows(tmp_path: Path) -> None:
    conclusion = predict(two_input_package(tmp_path), T1, T2)
    (finding,) = conclusion.findings
    assert finding.labels.shape == SHAPE, "findings lie on the grid of the reference"
    assert conclusion.volume is T1
    assert dice(finding.labels == 1, expected_lesion()) > 0.97
    (note,) = conclusion.notes
    assert '"t2"' in note
    assert '"t1"' in note
    assert "same Frame of Reference" in note


def test_the_channels_are_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    """The other way round the first is brighter, and there is no lesion at all."""
    swapped = predict(two_input_package(tmp_path, least_covered=0.5, outside=400.0), T2, T1)
    assert dice(predict(two_input_package(tmp_path), T1, T2).findings[0].labels == 1, expected_lesion()) > 0.97
    assert not np.any(swapped.findings[0].labels[lesion_on(FINE, FINE_SHAPE)])


@pytest.mark.parametrize("channel", [0, 1])
def test_a_step_may_work_on_one_input_alone(tmp_path: Path, channel: int) -> None:
    shifted = two_input_data() | {
        "preprocessing": [{"step": "scale_shift", "scale": 1.0, "shift": 5000.0, "channel": channel}]
    }
    labels = predict(two_input_package(tmp_path, shifted), T1, T2).findings[0].labels
    assert bool(np.all(labels == channel))


def test_another_frame_of_reference_is_refused_where_nothing_may_be_registered(tmp_path: Path) -> None:
    with pytest.raises(NotApplicableError) as caught:
        predict(two_input_package(tmp_path), T1, ELSEWHERE)
    assert caught.value.code == "frame-of-reference"
    assert '"t2"' in caught.value.message


def test_images_that_do_not_say_where_they_lie_are_in_no_common_frame(tmp_path: Path) -> None:
    nowhere = [replace(one, frame_of_reference_uid=None) for one in (T1, T2)]
    with pytest.raises(NotApplicableError) as caught:
        predict(two_input_package(tmp_path), *nowhere)
    assert caught.value.code == "frame-of-reference"


def test_an_input_that_shows_too_little_of_the_reference_is_refused(tmp_path: Path) -> None:
    half = replace(
        a_volume(T2.voxels[:13], affine=FINE, modality="MR"), frame_of_reference_uid=T1.frame_of_reference_uid
    )
    with pytest.raises(NotApplicableError) as caught:
        predict(two_input_package(tmp_path / "a"), T1, half)
    assert caught.value.code == "input-coverage"
    assert "80%" in caught.value.message
    conclusion = predict(two_input_package(tmp_path / "b", least_covered=0.3, outside=-1000.0), T1, half)
    labels = conclusion.findings[0].labels
    assert labels.any()
    assert not labels[-8:].any(), "where the second input has no image stands the value of the manifest"
    assert "100%" not in conclusion.notes[0]


def test_contract_and_guards_are_asked_of_each_input_as_it_was_acquired(tmp_path: Path) -> None:
    few = a_volume(T2.voxels[:1], affine=FINE, modality="MR")
    for number, (volume, second, code) in enumerate(
        [
            (few, {}, "slice-count"),
            (replace(T2, modality="CT"), {}, "modality"),
            (T2, {"guards": [{"guard": "value_range", "high": {"maximum": 50.0}}]}, "value-range"),
            (replace(T2, voxels=np.full_like(T2.voxels, 7.0)), {}, "input-constant"),
        ]
    ):
        with pytest.raises(NotApplicableError) as caught:
            predict(two_input_package(tmp_path / str(number), **second), T1, volume)
        assert (caught.value.code, caught.value.message.startswith('Input "t2": ')) == (code, True)


def test_what_the_other_inputs_hold_counts_against_the_limit_of_memory(tmp_path: Path) -> None:
    """The package asks for 10 MiB and 8 bytes per voxel of the reference."""
    needed = (10 << 20) + 8 * T1.voxels.size + T2.voxels.nbytes
    package = two_input_package(tmp_path)
    predict(package, T1, T2, memory_limit_bytes=needed)
    with pytest.raises(PermanentError) as caught:
        predict(package, T1, T2, memory_limit_bytes=needed - 1)
    assert caught.value.code == "memory-limit"


@pytest.mark.parametrize("volumes", [(T1,), (T1, T2, T2)])
def test_another_number_of_volumes_than_inputs_never_runs(tmp_path: Path, volumes: tuple[Volume, ...]) -> None:
    with pytest.raises(PermanentError) as caught:
        predict(two_input_package(tmp_path), *volumes)
    assert caught.value.code == "inputs-mismatch"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("inputs.1.name", "t1", 'input "t1" is listed twice'),
        ("inputs.0.registration", "rigid", "inputs[0]: registration is stated, but the first input is the reference"),
        ("inputs.0.guards", [{"guard": "not_constant"}], "its guards stand under guards.input"),
        ("inputs.1.per_study", 2, "per_study must be 1"),
        ("inputs.1.spaces", ["patient", "plane"], 'spaces must be ["patient"]'),
        ("inputs.1.least_covered", 0.0, "inputs[1].least_covered: found 0.0 (number)"),
        ("inputs.1.outsid", 0.0, 'inputs[1].outsid: unknown key "outsid"; the nearest known one is "outside"'),
        ("preprocessing", [{"step": "repeat_channel", "count": 3}], "the other inputs would be left out"),
        ("preprocessing", [{"step": "clip", "lower": 0.0, "upper": 1.0, "channel": 2}], "there are 2 inputs"),
        ("inference.net.input.shape", ["N", 3, "H", "W"], "has 3 channels; 2 inputs make 2"),
        ("input", {"modality": "MR", "slices": {"minimum": 1}, "slice_spacing_mm": {"maximum": 9.0}}, "not both"),
    ],
)
def test_what_a_manifest_may_not_say_of_its_inputs(path: str, value: Any, said: str) -> None:
    data = two_input_data()
    data = data | {path: value} if "." not in path else changed(data | {}, path, value)
    with pytest.raises(ConfigurationError) as caught:
        manifest_of(data)
    assert caught.value.code == "manifest-invalid"
    assert said in caught.value.message


def test_neighbouring_planes_of_each_input_are_channels_too() -> None:
    data = changed(two_input_data(), "inference.net.input.shape", ["N", 6, "H", "W"])
    data["inference"]["neighbours"] = 1
    assert len(manifest_of(data).contracts) == 2


def test_the_rule_of_a_package_asks_for_every_input(tmp_path: Path) -> None:
    rule = load_package(two_input_package(tmp_path)).to_rule()
    assert (rule.input, [one.name for one in rule.further]) == ("t1", ["t2"])
    assert rule.further[0].conditions != rule.conditions


def test_the_card_says_how_inputs_come_together() -> None:
    text = markdown(manifest_of(two_input_data(registration="rigid")), digest="d" * 64)
    assert "t2: brought onto the grid of the first" in text
    assert "registered rigidly" in text
    assert "| t1 | MR |" in text


def test_a_model_that_registers_needs_the_extra() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ensure_available(lambda _: None)
    assert caught.value.code == "registration-missing"
    assert "overread[registration]" in caught.value.next_step
