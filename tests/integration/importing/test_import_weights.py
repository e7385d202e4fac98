"""Weights alone: names and shapes of the file in a guided manifest, which says what is left to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from worker.domain.errors import ConfigurationError
from worker.importing.package_folder import Naming
from worker.inference.package import MANIFEST
from worker.inference.scaffold import Family
from worker.wiring import importing

pytestmark = pytest.mark.export


def a_script(path: Path) -> Path:
    torch.jit.script(torch.nn.Conv3d(1, 2, 1)).save(str(path))
    return path


def test_a_torchscript_file_becomes_a_package_with_its_own_shapes(tmp_path: Path) -> None:
    made = importing.package_of_script(
        a_script(tmp_path / "net.ts"), tmp_path, Naming("mine"), Family.SEGMENTATION, shape="1,1,32,48,48"
    )
    manifest = (made.folder / MANIFEST).read_text()
    assert 'input = { name = "image", shape = [1, 1, 32, 48, 48] }' in manifest
    assert "window = [32, 48, 48]" in manifest
    assert made.todo


def test_without_torchvision_the_command_says_what_to_install(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    torch.save({}, weights)
    hidden = "import sys; sys.modules['torchvision'] = None; from worker.cli.main import main; main()"
    options = ["--weights", str(weights), "--classes", "1", "--name", "triage", "--family", "classification"]
    command = [sys.executable, "-c", hidden, "models", "import", "torchvision", "resnet18", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert "torchvision" in done.stderr


def test_what_is_no_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ConfigurationError) as refused:
        importing.package_of_onnx(path, tmp_path, Naming("mine"), Family.SEGMENTATION)
    assert refused.value.code == "not-onnx"


def test_where_torch_is_missing_the_command_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['torch'] = None; from worker.cli.main import main; main()"
    file = str(tmp_path / "net.ts")
    options = ["--name", "mine", "--family", "segmentation", "--shape", "1,1,8,8,8"]
    command = [sys.executable, "-c", hidden, "models", "import", "torchscript", file, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert "overread[export,frameworks]" in done.stderr.replace("\n", "")
