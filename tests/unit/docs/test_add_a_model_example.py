"""The worked example of ``docs/add-a-model.md``, executed as it stands there."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.builders import a_ct_phantom, a_ct_series
from tests.e2e.processes import command
from tests.unit.docs.markdown import DOCUMENTS, blocks

pytestmark = pytest.mark.export  # the example exports with onnx

PAGE = DOCUMENTS["docs/add-a-model.md"]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("my-models") / "dense-tissue-ct"
    folder.mkdir()
    (export,) = (block for block in blocks(PAGE, "python") if "onnx.save" in block.text)
    subprocess.run([sys.executable, "-c", export.text], cwd=folder, check=True)
    (manifest,) = (block for block in blocks(PAGE, "toml") if "schema_version" in block.text)
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "manifest.toml").write_text(manifest.text.replace("REPLACE", digest), encoding="utf-8")
    return folder


def overread(*arguments: object, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    models = {"OVERREAD_MODELS__FOLDERS": json.dumps([str(folder)]), "OVERREAD_MODELS__PACKAGED": "false"}
    return command(*map(str, arguments), environ=models | environ)


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


def test_the_custom_steps_run_where_they_are_trusted(package: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "dense-tissue-ct"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes((package / "model.onnx").read_bytes())
    (steps,) = (block.text for block in blocks(PAGE, "python") if "class DenseTissueSteps" in block.text)
    (folder / "steps.py").write_text(steps, encoding="utf-8")
    digest = hashlib.sha256(steps.encode()).hexdigest()
    (added,) = (block.text for block in blocks(PAGE, "toml manifest") if block.text.startswith("[custom]"))
    manifest = (package / "manifest.toml").read_text(encoding="utf-8")
    (folder / "manifest.toml").write_text(manifest + added.replace("REPLACE", digest), encoding="utf-8")
    study = tmp_path / "study"
    study.mkdir()
    hu = a_ct_phantom(slices=6, rows=32, columns=40)
    dense_ml = np.count_nonzero(hu > 200) * 2.5 * 0.8 * 0.7 / 1000
    hu[:, 26, 2:7] = 400  # a rail of the table, in the air
    a_ct_series(study, hu=hu)

    checked = overread("models", "check", folder, folder=folder.parent)
    assert checked.returncode != 0
    assert digest in checked.stdout

    environ = {"OVERREAD_MODELS__TRUSTED": json.dumps([digest])}
    done = overread("run", study, "--output", tmp_path / "done", "--json", folder=folder.parent, **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    (volume,) = [one["value"] for one in json.loads(done.stdout)["results"][0]["findings"] if one["name"] == "Volume"]
    assert volume == pytest.approx(dense_ml, rel=0.001)  # the rail is not in it
