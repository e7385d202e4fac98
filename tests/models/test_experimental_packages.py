"""The experimental packages: what they find on real images, what they refuse, and what they are not routed to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.models.conftest import MODELS
from tests.unit.inference.manifest.test_inference_shipped_contracts import a_series
from worker.domain.errors import NotApplicableError
from worker.domain.findings import Conclusion, Presence
from worker.domain.study import SeriesSummary
from worker.domain.volume import Volume
from worker.inference.packages.registry import Registry
from worker.inference.run.conclude import EXPERIMENTAL
from worker.inference.run.predictor import PackagePredictor
from worker.pipeline.selection import refusals

RADIOGRAPHS = ("chest-tilt-cr", "chest-view-cr", "lungs-cr")


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry([MODELS])
    assert [(one.folder.name, str(one.error)) for one in found.broken] == []
    return found


@pytest.fixture(scope="module")
def predictor(registry: Registry) -> PackagePredictor:
    return PackagePredictor(registry)


@pytest.fixture
def radiograph(model_script, sample_cache: Path):
    """A sample of one radiograph as a volume, by name."""
    volumes = model_script("tools", "sample_volumes")
    return lambda name: volumes.radiograph(name, sample_cache)


def predict(predictor: PackagePredictor, registry: Registry, model: str, volume: Volume) -> Conclusion:
    return predictor.predict(registry.find(model).identity, volume)


def golden(model: str) -> dict:
    expected: dict = json.loads((MODELS / model / "golden" / "expected.json").read_text(encoding="utf-8"))
    return expected


def test_lungs_of_the_real_chest_are_the_golden_ones(predictor, registry, radiograph) -> None:
    expected = golden("lungs-cr")["chest-cr"]
    volume = radiograph("chest-cr")
    segmentation, remark = predict(predictor, registry, "lungs-cr", volume).findings
    assert remark == EXPERIMENTAL
    assert segmentation.labels.shape == volume.voxels.shape
    middles = {}
    for segment in segmentation.segments:
        mask = segmentation.labels == segment.number
        assert 100 * mask.mean() == pytest.approx(expected[segment.label], abs=0.3)
        middles[segment.label] = np.argwhere(mask)[:, 2].mean()
    assert middles["Right lung"] < volume.voxels.shape[2] / 2 < middles["Left lung"]


def test_view_of_the_real_chest_is_frontal_and_that_of_a_leg_is_not_known(predictor, registry, radiograph) -> None:
    for sample, expected in golden("chest-view-cr").items():
        said, remark = predict(predictor, registry, "chest-view-cr", radiograph(sample)).findings
        assert remark == EXPERIMENTAL
        assert (said.evaluations[0].value.meaning if said.evaluations else "not known") == expected["view"]
        assert (said.presence is Presence.PRESENT) == (expected["view"] != "not known")
        assert said.probability == pytest.approx(expected["probability"], abs=0.02)


def test_angle_of_the_real_chest_is_the_golden_one(predictor, registry, radiograph) -> None:
    expected = golden("chest-tilt-cr")["chest-cr"]
    said, remark = predict(predictor, registry, "chest-tilt-cr", radiograph("chest-cr")).findings
    assert remark == EXPERIMENTAL
    (measured,) = said.measurements
    assert measured.unit.ucum == "deg"
    assert measured.value == pytest.approx(expected["degrees"], abs=0.3)


def a_radiograph_series(modality: str = "CR", **attributes: str) -> SeriesSummary:
    wanted = {"BodyPartExamined": "CHEST", "ViewPosition": "PA", "PatientOrientation": "L\\F"} | attributes
    return a_series(modality, orientation="", slices=1, spacing_mm=None, thickness_mm=None, **wanted)


@pytest.mark.parametrize("model", RADIOGRAPHS)
def test_a_frontal_chest_radiograph_is_wanted(registry: Registry, model: str) -> None:
    rule = registry.find(model).to_rule()
    assert refusals(rule, a_radiograph_series()) == ()
    assert refusals(rule, a_radiograph_series("DX", ViewPosition="AP")) == ()


@pytest.mark.parametrize("model", RADIOGRAPHS)
@pytest.mark.parametrize(
    "series",
    [
        a_radiograph_series(BodyPartExamined="HAND"),
        a_radiograph_series(BodyPartExamined="EXTREMITY"),
        a_radiograph_series("CT"),
        a_radiograph_series("MG"),
        a_series("CT", BodyPartExamined="CHEST"),
    ],
)
def test_other_images_are_not(registry: Registry, model: str, series: SeriesSummary) -> None:
    assert refusals(registry.find(model).to_rule(), series)


@pytest.mark.parametrize("model", ["chest-tilt-cr", "lungs-cr"])
def test_lateral_unnamed_and_mirrored_views_are_not(registry: Registry, model: str) -> None:
    rule = registry.find(model).to_rule()
    assert refusals(rule, a_radiograph_series(ViewPosition="LL"))
    assert refusals(rule, a_radiograph_series(ViewPosition=""))
    assert refusals(rule, a_radiograph_series(PatientOrientation="R\\F"))


@pytest.mark.parametrize("model", RADIOGRAPHS)
def test_constant_frames_and_other_modalities_are_refused_before_the_net(
    predictor, registry, radiograph, model: str
) -> None:
    chest = radiograph("chest-cr")
    flat = replace(chest, voxels=np.full_like(chest.voxels, 5.0))
    shape = (2, *chest.voxels.shape[1:])
    twice = replace(
        chest,
        voxels=np.repeat(chest.voxels, 2, axis=0),
        geometry=replace(chest.geometry, shape=shape),
        slices=chest.slices * 2,
    )
    codes = []
    for volume in (flat, twice, replace(chest, modality="MG")):
        with pytest.raises(NotApplicableError) as caught:
            predict(predictor, registry, model, volume)
        codes.append(caught.value.code)
    assert codes == ["input-constant", "slice-count", "modality"]


def test_a_leg_has_no_lungs_of_two_sides(predictor, registry, radiograph) -> None:
    with pytest.raises(NotApplicableError) as caught:
        predict(predictor, registry, "lungs-cr", radiograph("leg-cr"))
    assert caught.value.code == "segment-ratio"
