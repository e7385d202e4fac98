"""The body region net: what it says of CTs, as a package and as the guard of the chest models."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.integration.inference.sample_volumes import sample_volume
from tests.models.conftest import MODELS
from worker.domain.errors import NotApplicableError
from worker.domain.volume import Volume
from worker.inference.guards.region_net import NetGuard
from worker.inference.packages.registry import Registry
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.session import SessionCache

REGION, PROTECTED = "body-region-ct", ("lungs-airways-ct", "nodules-chest-ct")
CHESTS = ("chest-ct-lung1", "chest-ct-lung2", "chest-ct-angio")
OTHERS = {
    "head-ct": "head or neck",
    "head-ct-4mm": "head or neck",
    "abdomen-ct": "abdomen or pelvis",
    "chest-ct-jpeg2000": "abdomen or pelvis",
    "brain-mr": "other",
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([MODELS])


@pytest.fixture
def guard(registry: Registry):
    """The net guard of a package, alone: rules on values and headers do not help it."""
    sessions = SessionCache()

    def check(model: str, volume: Volume) -> None:
        package = registry.find(model)
        (net_guard,) = (one for one in package.manifest.guards.input if isinstance(one, NetGuard))
        loaded = sessions.get(package.weights[net_guard.net.weights], net_guard.net)
        net_guard.check(volume, lambda net, batch, *, last=True: loaded.run(batch, last=last))

    return check


@pytest.mark.parametrize("model", PROTECTED)
@pytest.mark.parametrize("sample", CHESTS)
def test_chests_pass(guard, sample_cache: Path, model: str, sample: str) -> None:
    guard(model, sample_volume(sample, sample_cache))


@pytest.mark.parametrize("sample", OTHERS)
def test_other_regions_are_refused_by_the_net_alone(guard, sample_cache: Path, sample: str) -> None:
    with pytest.raises(NotApplicableError) as caught:
        guard("lungs-airways-ct", sample_volume(sample, sample_cache))
    assert caught.value.code == "not-what-it-is-for"
    shares = caught.value.message.removeprefix("Of the slices looked at, a net takes ").split(";")[0]
    assert shares.split(", ")[0].endswith(OTHERS[sample])  # the largest share comes first
    assert "at least 100 mm are needed" in caught.value.message


def test_a_piece_of_a_chest_and_nothing_but_air_are_refused(guard, sample_cache: Path) -> None:
    chest = sample_volume("chest-ct-lung1", sample_cache)
    for voxels in (chest.voxels[8:24], np.full_like(chest.voxels, -1000.0)):
        volume = replace(
            chest,
            voxels=voxels,
            geometry=replace(chest.geometry, shape=voxels.shape),
            slices=chest.slices[: len(voxels)],
        )
        with pytest.raises(NotApplicableError, match="mm of chest"):
            guard("lungs-airways-ct", volume)


def test_a_head_full_of_lung_density_passes_the_rules_and_not_the_net(registry: Registry, sample_cache: Path) -> None:
    """800 mL of -700 HU inside the skull: more than the rule on lung density asks for."""
    head = sample_volume("head-ct", sample_cache)
    middle = np.argwhere(head.voxels > 0).mean(axis=0)
    offsets = np.indices(head.voxels.shape) - middle[:, None, None, None]
    away_mm = np.linalg.norm(offsets * np.array(head.geometry.spacing_mm)[:, None, None, None], axis=0)
    foam = replace(head, voxels=np.where(away_mm < 58.0, np.float32(-700.0), head.voxels))
    with pytest.raises(NotApplicableError) as caught:
        PackagePredictor(registry).predict(registry.find("lungs-airways-ct").identity, foam)
    assert caught.value.code == "not-what-it-is-for"


@pytest.mark.parametrize("sample", ["chest-ct-lung1", "head-ct-4mm", "chest-ct-jpeg2000"])
def test_the_package_names_the_region(registry: Registry, sample_cache: Path, sample: str) -> None:
    golden = json.loads((MODELS / REGION / "golden" / "expected.json").read_text(encoding="utf-8"))[sample]
    volume = sample_volume(sample, sample_cache)
    said = PackagePredictor(registry).predict(registry.find(REGION).identity, volume).findings[0]
    assert [one.value.meaning for one in said.evaluations] == [golden["region"]]
    assert said.probability == pytest.approx(golden["probability"], abs=0.02)


def test_the_package_refuses_other_modalities_and_too_few_slices(registry: Registry, sample_cache: Path) -> None:
    chest = sample_volume("chest-ct-lung1", sample_cache)
    few = replace(
        chest,
        voxels=chest.voxels[:4],
        geometry=replace(chest.geometry, shape=(4, *chest.voxels.shape[1:])),
        slices=chest.slices[:4],
    )
    air = replace(chest, voxels=np.full_like(chest.voxels, -1000.0))
    codes = []
    for volume in (few, air, replace(chest, modality="MR")):
        with pytest.raises(NotApplicableError) as caught:
            PackagePredictor(registry).predict(registry.find(REGION).identity, volume)
        codes.append(caught.value.code)
    assert codes == ["slice-count", "input-constant", "modality"]


def test_the_guards_are_copies_of_the_package() -> None:
    digests = {
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (MODELS / REGION / "model.onnx", *(MODELS / model / "region.onnx" for model in PROTECTED))
    }
    assert len(digests) == 1


@pytest.mark.export
def test_slices_are_labelled_by_their_lung(model_script) -> None:
    region_slices = model_script(REGION, "region_slices")
    hu = np.full((60, 80, 80), -1000, np.int16)
    hu[:, 10:70, 5:75] = 40
    hu[20:40, 20:60, 15:65] = -850  # 34 % of the body
    found = region_slices.regions_of(hu, (5.0, 4.0, 4.0))
    assert set(found[20:40]) == {region_slices.CHEST}
    assert set(found[:14]) == {region_slices.ABDOMEN}
    assert set(found[43:]) == {region_slices.HEAD}
    assert set(found[14:20]) == {region_slices.UNCLEAR}
