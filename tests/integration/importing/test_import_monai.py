"""MONAI: the package says on an unseen image what the bundle's own run says; the rest is refused with a list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.builders import a_ct_series
from tests.integration.importing.make_bundle import ROI, write_bundle
from tests.integration.importing.train_nnunet import a_body
from worker.cli.models.importing import app
from worker.domain.errors import ConfigurationError
from worker.importing.monai.importer import import_monai
from worker.importing.monai.transforms import map_transforms
from worker.importing.package_folder import Imported, Naming
from worker.importing.parity.report import TARGET_DICE
from worker.wiring import importing

pytestmark = [pytest.mark.export, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    values, _ = a_body((26, 52, 58), seed=77, modality="CT")
    a_ct_series(folder, hu=values.astype(np.int16), spacing_mm=(2.5, 1.4, 1.6))
    return folder


def run(bundle: Path, target: Path, case: Path | None = None, *, trust: bool = False) -> Imported:
    volume = None if case is None else importing.read_case(case, modality="CT")
    return import_monai(bundle, target, Naming("organs"), trust=trust, runtime=importing.runtime(), case=volume)


@pytest.mark.parametrize("scripted", [False, True], ids=["model.pt", "model.ts"])
def test_on_unseen_dicom_it_says_what_the_bundle_says(tmp_path: Path, case: Path, scripted: bool) -> None:
    made = run(write_bundle(tmp_path / "bundle", scripted=scripted), tmp_path, case)
    assert made.parity is not None
    for one in made.parity.classes:
        sys.stdout.write(f"{one}\n")
        assert one.voxels_framework > 100, "a constant answer proves nothing"
        assert one.dice >= TARGET_DICE
    assert max(net.largest_difference for net in made.parity.nets) < 1e-3
    assert "outputs.segments[1].type.value" in made.problem  # "phantom lesion" is in no table of anatomy


def test_other_transforms_and_windows_without_weights_say_the_same(tmp_path: Path, case: Path) -> None:
    """Labels that are brought back, not scores; a crop; values by two steps; plain windows; YAML.

    The spacing is one at which no voxel of the case lies half way between two of the net's (see the note).
    """
    pre = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
        {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -100, "a_max": 300, "b_min": 0.0, "b_max": 2.0,
         "clip": True},
        {"_target_": "CropForegroundd", "keys": "image", "source_key": "image"},
        {"_target_": "Spacingd", "keys": "image", "pixdim": [1.65, 1.7, 3.1], "mode": "bilinear"},
        {"_target_": "NormalizeIntensityd", "keys": "image", "subtrahend": 0.0, "divisor": 2.0},
    ]  # fmt: skip
    post = [
        {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image",
         "nearest_interp": True, "to_tensor": True},
    ]  # fmt: skip
    changes = {
        "preprocessing": {"_target_": "Compose", "transforms": pre},
        "postprocessing": {"_target_": "Compose", "transforms": post},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": ROI, "sw_batch_size": 3, "overlap": 0.25},
    }
    made = run(write_bundle(tmp_path / "bundle", changes=changes, as_yaml=True), tmp_path, case)
    assert made.parity is not None
    for one in made.parity.classes:
        sys.stdout.write(f"{one}\n")
        assert one.voxels_framework > 100, "a constant answer proves nothing"
        assert one.dice >= TARGET_DICE
    assert made.parity.framework_cost is not None
    assert any("equally near" in one for one in made.todo)
    assert made.parity.costs in (made.folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "arguments", "steps"),
    [
        ("NormalizeIntensityd", {"nonzero": True}, [{"step": "z_score", "over": "nonzero_alone"}]),
        ("ScaleIntensityRangePercentilesd", {"lower": 1, "upper": 99, "b_min": 0, "b_max": 1},
         [{"step": "scale_percentiles", "lower": 1.0, "upper": 99.0, "low": 0.0, "high": 1.0, "clip": False}]),
        ("DivisiblePadd", {"k": 16}, [{"step": "pad_to_multiple", "multiple": [16, 16, 16], "outside": 0.0}]),
    ],
)  # fmt: skip
def test_further_transforms_have_steps(name: str, arguments: dict[str, Any], steps: list[Any]) -> None:
    assert map_transforms([(name, arguments)], [], labels={1}).preprocessing == steps


@pytest.mark.parametrize(
    ("post", "words"),
    [
        ([("KeepLargestConnectedComponentd", {"applied_labels": [1]})], "not all of [1, 2]"),
        ([("KeepLargestConnectedComponentd", {"independent": False})], "independent is False"),
        ([("KeepLargestConnectedComponentd", {}), ("Invertd", {"nearest_interp": False})], "must come after Invertd"),
        ([("AsDiscreted", {"threshold": 0.5})], "several labels"),
        ([("AsDiscreted", {"argmax": True}), ("Invertd", {"nearest_interp": False})], "must be true for labels"),
        ([("FillHolesd", {"applied_labels": [1]})], "FillHolesd: there is no such step"),
    ],
)
def test_what_comes_after_the_net_is_mapped_exactly_or_not_at_all(post: list[Any], words: str) -> None:
    assert any(words in one for one in map_transforms([], post, labels={1, 2}).missing)


def test_the_command_prints_what_has_no_equal(tmp_path: Path) -> None:
    strange = [{"_target_": "LoadImaged", "keys": "image"}, {"_target_": "MedianSmoothd", "keys": "image"}]
    bundle = write_bundle(
        tmp_path / "bundle", changes={"preprocessing": {"_target_": "Compose", "transforms": strange}}
    )
    done = CliRunner().invoke(app, ["monai", str(bundle), "--name", "organs", "--folder", str(tmp_path)])
    said = " ".join(done.output.split())
    assert done.exit_code == 78
    assert "preprocessing: MedianSmoothd: there is no such step" in said
    assert "without Orientationd the axes are those of the file" in said
    assert "Nothing was written" in said


def test_what_has_no_equal_step_is_listed(tmp_path: Path) -> None:
    strange = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
        {"_target_": "HistogramNormalized", "keys": "image"},
        {"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "margin": 4},
    ]
    bundle = write_bundle(
        tmp_path / "bundle", changes={"preprocessing": {"_target_": "Compose", "transforms": strange}}
    )
    with pytest.raises(ConfigurationError) as refused:
        run(bundle, tmp_path)
    assert refused.value.code == "bundle-not-mapped"
    assert "HistogramNormalized: there is no such step" in refused.value.message
    assert "CropForegroundd: margin is 4" in refused.value.message
    assert not (tmp_path / "organs").exists()


@pytest.mark.parametrize(
    "inferer",
    [
        {
            "_target_": "SlidingWindowInferer",
            "roi_size": "$[9, 9, __import__('pathlib').Path('{ran}').touch()]",
        },
        {"_target_": "pathlib.Path.touch", "self": "{ran}"},
    ],
    ids=["expression", "class"],
)
def test_a_bundle_that_runs_code_is_refused_before_it_does(tmp_path: Path, inferer: dict[str, Any]) -> None:
    ran = tmp_path / "ran"
    changed = {key: value.replace("{ran}", str(ran)) for key, value in inferer.items()}
    bundle = write_bundle(tmp_path / "bundle", changes={"inferer": changed})
    with pytest.raises(ConfigurationError) as refused:
        run(bundle, tmp_path)
    assert refused.value.code == "bundle-needs-trust"
    assert not ran.exists()
