"""``models check`` runs the whole chain once: a package that can run on no image is not called sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.unit.inference.tiny_models import affine_net, changed, package_data, save, write_package
from tests.unit.inference.two_inputs import two_input_package
from worker.inference.development.check import PackageReport
from worker.inference.development.trial import try_out
from worker.inference.packages.package import load_package
from worker.inference.runtime.session import SessionCache
from worker.settings import Settings
from worker.wiring.package_check import check_packages

GOOD = package_data("0" * 64)


def checked(folder: Path, data: dict[str, Any] = GOOD) -> PackageReport:
    (report,) = check_packages(Settings(), [write_package(folder, data)])
    return report


def a_net(path: Path, channels: int, *, out: list[int | str], nodes: list[Any] | None = None) -> None:
    """Mean of the channels, twice; ``out`` is what the file says of its answer."""
    pool = [
        helper.make_node("ReduceMean", ["image"], ["one"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["one", "scale"], ["logits"]),
    ]
    scale = {"scale": np.asarray([-1, 1], np.float32).reshape(1, 2, 1, 1)}
    shape: list[int | str] = ["N", channels, "H", "W"]
    save(path / "model.onnx", nodes or pool, constants=scale, in_shape=shape, out_shape=out)


def test_a_sound_one_is_called_sound(tmp_path: Path) -> None:
    assert checked(tmp_path / "slices").error == ""
    others = [write_package(tmp_path / "volume", mode="volume"), two_input_package(tmp_path / "two")]
    assert [report.error for report in check_packages(Settings(), others)] == ["", ""]


@pytest.mark.parametrize("channels", [3, 32])
def test_channels_that_the_chain_does_not_give(tmp_path: Path, channels: int) -> None:
    tmp_path.joinpath("p").mkdir()
    a_net(tmp_path / "p", channels, out=["N", 2, "H", "W"])
    report = checked(tmp_path / "p", changed(GOOD, "inference.net.input.shape", ["N", channels, "H", "W"]))
    assert report.code == "net-input-mismatch"
    assert ", 1, 72, 64]" in report.error
    assert f"it takes [N, {channels}, H, W]" in report.error


def test_sizes_that_the_chain_does_not_give(tmp_path: Path) -> None:
    tmp_path.joinpath("p").mkdir()
    affine_net(tmp_path / "p" / "model.onnx", scale=[0.0, -1.0], bias=[0.0, -500.0], in_shape=["N", 1, 48, 48])
    data = changed(GOOD, "inference.net.input.shape", ["N", 1, 48, 48])
    report = checked(tmp_path / "p", changed(data, "inference.net.output.shape", ["N", 2, 48, 48]))
    assert report.code == "net-input-mismatch"


@pytest.mark.parametrize("states", [["N", 2, 20, 20], ["N", 2, "H", "W"]])
def test_an_answer_on_another_grid(tmp_path: Path, states: list[int | str]) -> None:
    """Of a fixed size, whatever the image: as the file says it, and as it only comes out."""
    tmp_path.joinpath("p").mkdir()
    resize = [
        helper.make_node("Mul", ["image", "scale"], ["wide"]),
        helper.make_node("Shape", ["wide"], ["size"], start=0, end=2),
        helper.make_node("Concat", ["size", "twenty"], ["sizes"], axis=0),
        helper.make_node("Resize", ["wide", "", "", "sizes"], ["logits"], mode="nearest"),
    ]
    constants = {
        "scale": np.asarray([-1, 1], np.float32).reshape(1, 2, 1, 1), "twenty": np.asarray([20, 20], np.int64)
    }  # fmt: skip
    shape: list[int | str] = ["N", 1, "H", "W"]
    save(tmp_path / "p" / "model.onnx", resize, constants=constants, in_shape=shape, out_shape=["N", 2, "h", "w"])
    report = checked(tmp_path / "p", changed(GOOD, "inference.net.output.shape", states))
    assert report.code == "net-grid-mismatch"
    assert "20" in report.error


def test_a_channel_more_than_the_manifest_states(tmp_path: Path) -> None:
    tmp_path.joinpath("p").mkdir()
    a_net(tmp_path / "p", 1, out=["N", "classes", "H", "W"])
    report = checked(tmp_path / "p", changed(GOOD, "inference.net.output.shape", ["N", 3, "H", "W"]))
    assert report.code == "net-output-mismatch"


def test_a_net_that_fails_on_every_image(tmp_path: Path) -> None:
    tmp_path.joinpath("p").mkdir()
    nodes = [
        helper.make_node("Gather", ["image", "ninth"], ["beyond"], axis=1),
        helper.make_node("Mul", ["beyond", "scale"], ["logits"]),
    ]
    constants = {"ninth": np.asarray([9], np.int64), "scale": np.ones((1, 2, 1, 1), np.float32)}
    shape: list[int | str] = ["N", 1, "H", "W"]
    save(tmp_path / "p" / "model.onnx", nodes, constants=constants, in_shape=shape, out_shape=["N", 2, "H", "W"])
    report = checked(tmp_path / "p")
    assert report.code == "package-not-runnable"
    assert "made-up CT image" in report.error


def test_the_image_is_as_the_contract_wants_it(tmp_path: Path) -> None:
    data = changed(GOOD, "input.slices", {"minimum": 2, "maximum": 5})
    data = changed(data, "input.slice_spacing_mm", {"minimum": 4.0, "maximum": 7.0})
    assert checked(tmp_path / "thick", data).error == ""
    try_out(load_package(tmp_path / "thick"), SessionCache())
