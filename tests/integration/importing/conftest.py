"""Trained once for all tests here: nnU-Net in a process of its own, because it reads folders from the environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``results`` of nnU-Net with six tiny models."""
    folder = tmp_path_factory.mktemp("nnunet")
    command = [
        sys.executable,
        "-m",
        "tests.integration.importing.train_nnunet",
        str(folder),
        "ct-2d",
        "ct-3d",
        "ct-lowres",
        "ct-cascade",
        "mr-regions",
        "mr-two",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "results"
