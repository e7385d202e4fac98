"""Nodule candidates: the golden case, what is refused, and the nodules that training draws."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from tests.integration.inference.sample_volumes import sample_volume
from tests.models.conftest import MODELS
from worker.domain.errors import NotApplicableError
from worker.domain.findings import Detection, Segmentation
from worker.domain.volume import Volume
from worker.inference.packages.registry import Registry
from worker.inference.run.conclude import EXPERIMENTAL
from worker.inference.run.predictor import PackagePredictor

FOLDER = "nodules-chest-ct"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([MODELS / FOLDER])


def predict(registry: Registry, volume: Volume):
    return PackagePredictor(registry).predict(registry.packages[0].identity, volume)


def test_candidates_of_the_real_chest_are_the_golden_ones(registry: Registry, model_script, sample_cache: Path) -> None:
    golden = json.loads((MODELS / FOLDER / "golden" / "expected.json").read_text(encoding="utf-8"))["chest-ct-lung1"]
    volume = sample_volume("chest-ct-lung1", sample_cache)
    findings = predict(registry, volume).findings
    (detection,) = (one for one in findings if isinstance(one, Detection))
    (segmentation,) = (one for one in findings if isinstance(one, Segmentation))
    found = sorted((one.measurements[2].value for one in detection.regions), reverse=True)
    assert found == pytest.approx(golden["candidates_ml"], abs=0.06)
    assert EXPERIMENTAL in findings
    nodule = model_script("tools", "ct/samples").nodule_mask("chest-ct-lung1", sample_cache)
    parts, _ = ndimage.label(segmentation.labels, structure=np.ones((3, 3, 3)))
    assert bool(parts[nodule].any()) is golden["nodule_found"]


def test_what_it_was_not_made_for_is_refused(registry: Registry, sample_cache: Path) -> None:
    head = sample_volume("head-ct-4mm", sample_cache)
    few = replace(
        head,
        voxels=head.voxels[:8],
        geometry=replace(head.geometry, shape=(8, *head.voxels.shape[1:])),
        slices=head.slices[:8],
    )
    air = replace(head, voxels=np.full_like(head.voxels, -1000.0))
    codes = []
    for volume in (head, few, air, replace(head, modality="MR"), sample_volume("abdomen-ct", sample_cache)):
        with pytest.raises(NotApplicableError) as caught:
            predict(registry, volume)
        codes.append(caught.value.code)
    assert codes == ["volume-of-range", "slice-count", "input-constant", "modality", "volume-of-range"]


@pytest.mark.export
def test_drawn_nodules_lie_in_the_lung_and_are_repeatable(model_script) -> None:
    synthetic = model_script(FOLDER, "synthetic_nodules")
    hu = np.full((60, 160, 160), -850, np.float32)
    lung = np.ones(hu.shape, bool)
    scan = synthetic.Scan("toy", hu, lung, np.zeros(hu.shape, bool))
    changed, made = synthetic.planted(scan, 3, 7)
    again, _ = synthetic.planted(scan, 3, 7)
    np.testing.assert_array_equal(changed, again)
    assert len(made) == 3
    for diameter_mm, nodule in made:
        ball_ml = np.pi / 6 * (diameter_mm / 10) ** 3
        millilitres = nodule.sum() * np.prod(synthetic.SPACING_MM) / 1000
        assert 0.25 * ball_ml < millilitres < 3 * ball_ml
        assert changed[nodule].mean() > -650
    far = ndimage.binary_dilation(np.any([one for _, one in made], axis=0), iterations=4)
    np.testing.assert_allclose(changed[~far], hu[~far], atol=2.0)
