"""What the evaluations of the packages share, and that packages share it through ``models/tools`` alone."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from tests.models.conftest import MODELS
from worker.domain.study import SeriesInstanceUID, SOPInstanceUID
from worker.domain.volume import Geometry, SliceRef, Volume

PACKAGES = sorted(path.parent for path in MODELS.glob("*/manifest.toml"))


def a_volume(modality: str, values: np.ndarray) -> Volume:
    return Volume(
        voxels=values,
        geometry=Geometry(shape=values.shape, affine_lps=np.eye(4)),
        slices=tuple(SliceRef(SOPInstanceUID(f"2.25.{index + 1}")) for index in range(len(values))),
        modality=modality,
        series_instance_uid=SeriesInstanceUID("2.25.1"),
        frame_of_reference_uid=None,
    )


def test_softmax_is_over_the_classes_of_each_image(model_script) -> None:
    logits = np.log(np.array([[1.0, 3.0], [1000.0, 1000.0]], np.float32)) + np.float32(500)
    found = model_script("tools", "evaluation").softmax(logits)
    np.testing.assert_allclose(found, [[0.25, 0.75], [0.5, 0.5]], rtol=1e-4)


def test_a_package_that_refuses_says_why_and_concludes_nothing(model_script) -> None:
    evaluation = model_script("tools", "evaluation")
    flat = a_volume("CT", np.full((20, 8, 8), 5.0, np.float32))
    constant = evaluation.run_package(MODELS / "body-region-ct", flat)
    other = evaluation.run_package(MODELS / "body-region-ct", a_volume("MR", flat.voxels))
    assert (constant.refused, other.refused) == ("input-constant", "modality")
    assert constant.conclusion is other.conclusion is None
    assert constant.peak_mb > 10


def test_figures_are_written_as_they_are_printed(model_script, tmp_path: Path, capsys) -> None:
    model_script("tools", "evaluation").save({"dice": 0.5}, tmp_path / "evaluation.json")
    text = (tmp_path / "evaluation.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"dice": 0.5}
    assert text == capsys.readouterr().out == '{\n  "dice": 0.5\n}\n'


def test_a_ct_is_given_to_a_package_where_it_lies(model_script) -> None:
    from worker.samples.grids import Grid

    affine = np.array([[0, 0, 2.0, -9], [0, 2.0, 0, 7], [5.0, 0, 0, 3], [0, 0, 0, 1]])
    values = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
    volume = model_script("tools", "sample_volumes").ct_volume(Grid(values, affine))
    assert volume.modality == "CT"
    assert len(set(volume.slices)) == 3
    assert volume.geometry.voxel_volume_mm3 == pytest.approx(20)
    np.testing.assert_array_equal(volume.geometry.affine_lps, affine)
    np.testing.assert_array_equal(volume.voxels, values)


def imported(script: Path) -> set[str]:
    """First names of the modules that a script imports."""
    nodes = list(ast.walk(ast.parse(script.read_text(encoding="utf-8"))))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    found |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in found}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_packages_do_not_import_each_other(package: Path) -> None:
    """So that one of them can be taken away, and a name means one module."""
    own = {path.stem for path in package.glob("*.py")}
    shared = {path.stem for path in (MODELS / "tools").iterdir()}
    others = {path.stem for path in MODELS.glob("*/*.py") if path.parent not in (package, MODELS / "tools")}
    used = {name for script in package.glob("*.py") for name in imported(script)}
    assert used & (others - own - shared) == set()
    assert own & shared == set()


def test_tools_import_no_package() -> None:
    tools = sorted((MODELS / "tools").rglob("*.py"))
    shared = {path.stem for path in (MODELS / "tools").iterdir()}
    names = {path.stem for package in PACKAGES for path in package.glob("*.py")} - shared
    assert {name for script in tools for name in imported(script)} & names == set()
