"""What an import refuses, each with its name and what to do; nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from tests.unit.inference.tiny_models import a_volume
from worker.domain.errors import OverreadError
from worker.importing import labels, package_folder
from worker.importing.checkpoints import load_checkpoint
from worker.importing.frameworks import need
from worker.importing.monai.bundle import read_bundle
from worker.importing.nnunet.folder import TrainedModel, read_results
from worker.importing.nnunet.manifest import modalities
from worker.importing.onnx_export import export
from worker.importing.package_folder import Naming
from worker.importing.parity.itk_images import to_itk
from worker.importing.weights_alone import parse_shape, tensors_of
from worker.wiring import importing

pytestmark = pytest.mark.export


class Unwritable(torch.nn.Module):
    """An operator that ONNX does not have."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.svdvals(x)


def two_inputs(folder: Path) -> None:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, 4, 4]) for name in ("a", "b", "c")]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "sum", infos[:2], infos[2:])
    onnx.save(helper.make_model(graph), folder / "two.onnx")
    tensors_of(folder / "two.onnx")


def sheared(_: Path) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.3
    to_itk(a_volume(np.zeros((2, 3, 4)), affine=affine))


def twice(folder: Path) -> None:
    for _ in range(2):
        with package_folder.building(folder, Naming("mine")):
            pass


def unknown_label(folder: Path) -> None:
    (folder / "codes.toml").write_text("[livre]\n", encoding="utf-8")
    labels.read_codes(folder / "codes.toml", labels=["liver"])


def no_image(folder: Path) -> None:
    (folder / "case.nii.gz").write_bytes(b"no image")
    importing.read_case(folder / "case.nii.gz", modality="CT")


def no_checkpoint(folder: Path) -> None:
    (folder / "model.pt").write_bytes(b"")
    load_checkpoint(folder / "model.pt", trust=False)


def an_unknown_channel(_: Path) -> None:
    model: Any = {one.name: None for one in fields(TrainedModel)} | {"inputs": ("reflectance",)}
    modalities(TrainedModel(**model))


def a_bundle_without_configuration(folder: Path) -> None:
    (folder / "configs").mkdir()
    (folder / "configs/metadata.json").write_text("{}", encoding="utf-8")
    read_bundle(folder, trust=False)


def a_bundle_of_other_weights(folder: Path) -> None:
    (folder / "configs").mkdir()
    (folder / "models").mkdir()
    net = {"_target_": "UNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 2}
    net |= {"channels": [2, 4], "strides": [2]}
    (folder / "configs/metadata.json").write_text("{}", encoding="utf-8")
    (folder / "configs/inference.json").write_text(json.dumps({"network_def": net}), encoding="utf-8")
    torch.save({"strange": torch.zeros(1)}, folder / "models/model.pt")
    read_bundle(folder, trust=False)


REFUSED: list[tuple[Callable[[Path], object], str, str]] = [
    (lambda _: Naming("My Net"), "name-invalid", "My Net"),
    (twice, "folder-exists", "mine"),
    (unknown_label, "codes-invalid", '"liver"'),
    (lambda folder: importing.read_case(folder / "case", modality="CT"), "case-missing", "case"),
    (no_image, "case-unreadable", "case.nii.gz"),
    (sheared, "sheared", "gantry tilt"),
    (lambda _: parse_shape("N,1,x"), "shape-invalid", "N,1,x"),
    (two_inputs, "onnx-inputs", "2 inputs"),
    (lambda folder: read_results(folder, axes="SPL", trust=False), "results-incomplete", "dataset.json"),
    (an_unknown_channel, "modality-unknown", "reflectance"),
    (lambda folder: read_bundle(folder, trust=False), "bundle-incomplete", "metadata.json"),
    (a_bundle_without_configuration, "bundle-incomplete", "inference.json"),
    (a_bundle_of_other_weights, "checkpoint-does-not-fit", "network_def"),
    (no_checkpoint, "checkpoint-unreadable", "model.pt"),
    (lambda folder: load_checkpoint(folder / "model.pt", trust=False), "weights-missing", "model.pt"),
    (lambda folder: export(Unwritable(), folder / "m.onnx", shape=("N", 1, 4, 4)), "not-exportable", "svd"),
    (lambda _: need("a_framework_of_nobody"), "export-extra-missing", "a_framework_of_nobody"),
]


@pytest.mark.parametrize(("attempt", "code", "said"), REFUSED, ids=[code for _, code, _ in REFUSED])
def test_an_import_that_is_refused(attempt: Callable[[Path], object], code: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(OverreadError) as caught:
        attempt(tmp_path)
    assert caught.value.code == code
    assert said in caught.value.message
    assert not (tmp_path / "m.onnx").exists()


def test_a_framework_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('operator broken::nms does not exist')", encoding="utf-8")
    code = "from worker.importing.frameworks import need\ntry: need('broken')\nexcept Exception as e: print(e.code)"
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parents[3])])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONPATH": path})  # fmt: skip
    assert done.stdout.strip() == "framework-broken"
