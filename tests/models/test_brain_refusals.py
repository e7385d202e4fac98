"""What the brain package refuses: too little of a head, nothing but air, and another part of the body."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.integration.inference.sample_volumes import sample_volume
from tests.models.conftest import MODELS
from worker.domain.errors import NotApplicableError
from worker.domain.volume import Volume
from worker.inference.packages.registry import Registry
from worker.inference.run.predictor import PackagePredictor


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([MODELS / "brain-mr-t1"])


def refusal(registry: Registry, volume: Volume) -> NotApplicableError:
    with pytest.raises(NotApplicableError) as caught:
        PackagePredictor(registry).predict(registry.packages[0].identity, volume)
    return caught.value


def first_slices(volume: Volume, count: int) -> Volume:
    voxels = volume.voxels[:count]
    return replace(
        volume, voxels=voxels, geometry=replace(volume.geometry, shape=voxels.shape), slices=volume.slices[:count]
    )


def test_too_little_of_a_head_and_nothing_but_air(registry: Registry, sample_cache: Path) -> None:
    head = sample_volume("brain-mr-4mm", sample_cache)
    assert refusal(registry, first_slices(head, 4)).code == "slice-count"
    assert refusal(registry, first_slices(head, 20)).code == "extent"
    assert refusal(registry, replace(head, voxels=np.zeros_like(head.voxels))).code == "input-constant"


def test_an_abdomen_that_calls_itself_mr_is_refused_by_its_result(registry: Registry, sample_cache: Path) -> None:
    abdomen = replace(sample_volume("abdomen-ct", sample_cache), modality="MR")
    error = refusal(registry, abdomen)
    assert error.code == "segment-volume"
    assert "more than 2300 mL" in error.message
