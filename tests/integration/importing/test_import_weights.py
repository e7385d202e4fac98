"""Weights alone: names and shapes of the file in a guided manifest, which says what is left to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from worker.domain.errors import ConfigurationError
from worker.domain.model import Family
from worker.importing.package_folder import Imported, Naming
from worker.importing.vision import vision_models, vision_to_onnx
from worker.importing.weights_importer import TorchvisionNet, import_onnx, import_torchscript, import_torchvision
from worker.inference.packages.package import MANIFEST
from worker.wiring.importing import runtime

pytestmark = pytest.mark.export


def a_script(path: Path) -> Path:
    torch.jit.script(torch.nn.Conv3d(1, 2, 1)).save(str(path))
    return path


def require_compared(made: Imported, framework: str) -> None:
    """The net, on a part of a made-up volume: more is not known of weights alone."""
    assert made.parity is not None
    assert made.parity.framework == framework
    assert made.parity.made_up
    assert made.parity.nets
    assert all(net.agrees and net.largest_score > 0 for net in made.parity.nets)
    assert "Compared on a part of a made-up volume" in (made.folder / "README.md").read_text()
    assert json.loads((made.folder / "parity.json").read_text())["made_up"] is True


def an_onnx_file(path: Path, *, shape: list[int | str], operator: str = "Relu", kind: int = TensorProto.FLOAT) -> Path:
    """One node on an image."""
    infos = [helper.make_tensor_value_info(name, kind, shape) for name in ("image", "scores")]
    graph = helper.make_graph([helper.make_node(operator, ["image"], ["scores"])], "one", infos[:1], infos[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
@pytest.mark.parametrize("shape", [["N", 1, "a", "b", "c"], [2, 3, 40, 56]])
def test_an_onnx_file_is_compared_with_its_graph_unchanged(tmp_path: Path, shape: list[int | str], kind: int) -> None:
    family = Family.SEGMENTATION if len(shape) == 5 else Family.SEGMENTATION_2D
    file = an_onnx_file(tmp_path / "net.onnx", shape=shape, kind=kind)
    require_compared(
        import_onnx(file, tmp_path, Naming("mine"), family, runtime=runtime()), "ONNX Runtime without optimisation"
    )


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"operator": "Log"}, "parity-missed", "scores, channel"),  # of 0 and less: no numbers
        ({"kind": TensorProto.INT64, "operator": "Neg"}, "onnx-types", "int64"),
    ],
)
def test_weights_that_are_not_proven_are_not_written(
    tmp_path: Path, options: dict[str, Any], code: str, words: str
) -> None:
    file = an_onnx_file(tmp_path / "net.onnx", shape=[1, 1, 16, 16, 16], **options)
    with pytest.raises(ConfigurationError) as refused:
        import_onnx(file, tmp_path / "packages", Naming("mine"), Family.SEGMENTATION, runtime=runtime())
    assert refused.value.code == code
    assert words in refused.value.message
    assert not list(tmp_path.glob("packages/*"))


def test_a_torchscript_file_becomes_a_package_with_its_own_shapes(tmp_path: Path) -> None:
    made = import_torchscript(
        a_script(tmp_path / "net.ts"),
        tmp_path,
        Naming("mine"),
        Family.SEGMENTATION,
        runtime=runtime(),
        shape="1,1,32,48,48",
    )
    manifest = (made.folder / MANIFEST).read_text()
    assert 'input = { name = "image", shape = [1, 1, 32, 48, 48] }' in manifest
    assert "window = [32, 48, 48]" in manifest
    assert made.todo
    require_compared(made, "TorchScript")


def test_without_torchvision_the_command_says_what_to_install(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    torch.save({}, weights)
    hidden = "import sys; sys.modules['torchvision'] = None; from worker.cli.main import main; main()"
    options = ["--weights", str(weights), "--classes", "1", "--name", "triage", "--family", "classification"]
    command = [sys.executable, "-c", hidden, "models", "import", "torchvision", "resnet18", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert "torchvision" in done.stderr


@pytest.mark.parametrize(
    ("name", "family", "shape"),
    [
        ("resnet18", Family.CLASSIFICATION, "N,3,64,64"),
        ("lraspp_mobilenet_v3_large", Family.SEGMENTATION_2D, "1,3,64,64"),
    ],
)
def test_a_net_of_torchvision_says_in_the_package_what_it_says_in_torch(
    tmp_path: Path, name: str, family: Family, shape: str
) -> None:
    torch.manual_seed(0)
    builder = vision_models().get_model_builder(name)
    net = builder(weights=None, num_classes=2, **({"weights_backbone": None} if "lraspp" in name else {})).eval()
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    described = TorchvisionNet(name, tmp_path / "weights.pth", 2, shape)
    made = import_torchvision(described, tmp_path, Naming("mine"), family, runtime=runtime(), trust=False)
    batch = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(made.folder / "model.onnx").run(None, {"image": batch})
    with torch.no_grad():
        expected = net(torch.from_numpy(batch))
    expected = expected["out"] if isinstance(expected, dict) else expected
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-4)
    assert "3, 64, 64]" in (made.folder / MANIFEST).read_text()
    require_compared(made, "torchvision")


@pytest.mark.parametrize(
    ("name", "code"), [("fasterrcnn_resnet50_fpn", "torchvision-detector"), ("resnet19", "torchvision-unknown")]
)
def test_what_torchvision_has_not_or_not_as_one_tensor_is_refused(tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        vision_to_onnx(
            name, tmp_path / "model.onnx", weights=tmp_path / "none.pth", classes=2, shape=[1, 3, 64, 64], trust=False
        )
    assert refused.value.code == code


def test_what_is_no_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ConfigurationError) as refused:
        import_onnx(path, tmp_path, Naming("mine"), Family.SEGMENTATION, runtime=runtime())
    assert refused.value.code == "not-onnx"


def test_where_torch_is_missing_the_command_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['torch'] = None; from worker.cli.main import main; main()"
    file = str(tmp_path / "net.ts")
    options = ["--name", "mine", "--family", "segmentation", "--shape", "1,1,8,8,8"]
    command = [sys.executable, "-c", hidden, "models", "import", "torchscript", file, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert "overread[export]" in done.stderr.replace("\n", "")
