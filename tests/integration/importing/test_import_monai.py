"""MONAI: the package says on an unseen image what the bundle's own run says; the rest is refused with a list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders import a_ct_series
from tests.integration.importing.make_bundle import write_bundle
from tests.integration.importing.train_nnunet import a_body
from worker.domain.errors import ConfigurationError
from worker.importing.monai import import_monai
from worker.importing.package_folder import Imported, Naming
from worker.importing.parity import TARGET_DICE
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


def test_what_has_no_equal_step_is_listed(tmp_path: Path) -> None:
    strange = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
        {"_target_": "HistogramNormalized", "keys": "image"},
        {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True},
    ]
    bundle = write_bundle(
        tmp_path / "bundle", changes={"preprocessing": {"_target_": "Compose", "transforms": strange}}
    )
    with pytest.raises(ConfigurationError) as refused:
        run(bundle, tmp_path)
    assert refused.value.code == "bundle-not-mapped"
    assert "HistogramNormalized: there is no such step" in refused.value.message
    assert "NormalizeIntensityd: nonzero is True" in refused.value.message
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
