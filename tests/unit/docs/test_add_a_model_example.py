"""The worked example of ``docs/add-a-model.md``, executed as it stands there."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import a_ct_series
from tests.unit.docs.markdown import DOCUMENTS, blocks

pytestmark = pytest.mark.export  # the example exports with onnx

PAGE = DOCUMENTS["docs/add-a-model.md"]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("my-models") / "dense-tissue-ct"
    folder.mkdir()
    (export,) = blocks(PAGE, "python")
    subprocess.run([sys.executable, "-c", export.text], cwd=folder, check=True)
    (manifest,) = (block for block in blocks(PAGE, "toml") if "schema_version" in block.text)
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "manifest.toml").write_text(manifest.text.replace("REPLACE", digest), encoding="utf-8")
    return folder


def overread(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"OVERREAD_MODELS__FOLDERS": json.dumps([str(folder)]), "OVERREAD_MODELS__PACKAGED": "false"}
    command = [sys.executable, "-m", "worker.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environ, check=False)


def test_the_package_is_sound(package: Path) -> None:
    done = overread("models", "check", package, folder=package.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_digest_is_named(package: Path, tmp_path: Path) -> None:
    copy = tmp_path / "dense-tissue-ct"
    copy.mkdir()
    (copy / "model.onnx").write_bytes((package / "model.onnx").read_bytes() + b"\0")
    (copy / "manifest.toml").write_text((package / "manifest.toml").read_text(encoding="utf-8"), encoding="utf-8")
    done = overread("models", "check", copy, folder=tmp_path)
    assert done.returncode != 0
    assert "SHA-256" in done.stdout


def test_it_runs_on_a_series_that_fits(package: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    a_ct_series(study, slices=6)
    explained = overread("explain", "--files", study, "--json", folder=package.parent)
    assert explained.returncode == 0, explained.stderr
    (decision,) = json.loads(explained.stdout)["decisions"]
    assert decision["model"] == "dense-tissue-ct"
    assert decision["chosen"] is True
    results = tmp_path / "results"
    done = overread("run", study, "--output", results, "--model", "dense-tissue-ct", folder=package.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(results.glob("*.dcm"))) == 2  # SEG and SR
