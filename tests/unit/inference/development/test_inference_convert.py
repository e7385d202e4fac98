"""Nets in fewer bits: the same inputs and outputs, nearly the same numbers, and not the same bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from typer.testing import CliRunner

from tests.unit.inference.runtime.test_inference_session import net, weights_of
from tests.unit.inference.tiny_models import affine_net, changed, package_data, save, write_package
from worker.cli.main import build
from worker.domain.errors import ConfigurationError
from worker.inference.development.convert import converted
from worker.inference.runtime.session import SessionCache
from worker.settings import Settings
from worker.wiring import package_check


def conv_net(path: Path) -> Path:
    """Two channels of 3 x 3 weights, as a net of a model has them."""
    weights = np.random.default_rng(7).normal(size=(2, 1, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["image", "weights"], ["logits"], pads=[1, 1, 1, 1])
    return save(path, [node], constants={"weights": weights}, in_shape=["N", 1, "H", "W"], out_shape=["N", 2, "H", "W"])


@pytest.mark.parametrize(("target", "within"), [("fp16", 0.01), ("int8", 0.1)])
def test_nearly_the_same_numbers(tmp_path: Path, target: str, within: float) -> None:
    path = conv_net(tmp_path / "model.onnx")
    image = np.random.default_rng(1).normal(size=(2, 1, 16, 16)).astype(np.float32)
    other = tmp_path / "other.onnx"
    other.write_bytes(converted(path.read_bytes(), target, file=path.name))  # type: ignore[arg-type]
    assert other.read_bytes() != path.read_bytes()
    exact, near = (SessionCache().get(weights_of(one), net()).run(image) for one in (path, other))
    difference = np.abs(exact - near).max()
    assert 0 < difference < within


def test_the_entry_that_is_printed_makes_a_sound_package(tmp_path: Path) -> None:
    conv_net(tmp_path / "model.onnx")
    write_package(tmp_path)
    done = CliRunner().invoke(build(), ["models", "convert", str(tmp_path), "--to", "fp16", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert hashlib.sha256((tmp_path / "model-fp16.onnx").read_bytes()).hexdigest() == said["sha256"]
    entry = {"id": "half", "file": "model-fp16.onnx", "sha256": said["sha256"], "precision": said["precision"],
             "precision_note": "Measured.", "variant_of": said["variant_of"]}  # fmt: skip
    write_package(tmp_path, changed(package_data("0" * 64), "weights.1", entry))
    (report,) = package_check.check_packages(Settings(), [tmp_path])
    assert report.error == ""


def test_what_is_no_net_and_what_is_not_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        converted(b"no net", "fp16", file="model.onnx")
    assert caught.value.code == "not-onnx"
    affine_net(tmp_path / "model.onnx", scale=[0.0, -1.0], bias=[0.0, -500.0])
    write_package(tmp_path)
    done = CliRunner().invoke(build(), ["models", "convert", str(tmp_path), "--to", "int8", "--weights", "mian"])
    assert done.exit_code != 0
    assert "The package has main" in done.output
