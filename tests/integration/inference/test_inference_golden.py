"""The shipped packages on real images: the volumes of their model cards, and what they must refuse."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest
from scipy import ndimage

from tests.integration.inference.sample_volumes import sample_volume
from worker.domain.errors import NotApplicableError, OverreadError
from worker.domain.findings import Conclusion
from worker.domain.volume import Volume
from worker.inference.image import Image
from worker.inference.packages.registry import Registry
from worker.inference.run.predictor import PackagePredictor
from worker.inference.steps import preprocess
from worker.inference.steps.orient import reorient

pytestmark = pytest.mark.slow

MODELS = Path(__file__).parents[3] / "models"
LUNGS, BRAIN = "lungs-airways-ct", "brain-mr-t1"


@pytest.fixture(scope="module")
def registry() -> Registry:
    found = Registry([MODELS])
    assert [(broken.folder.name, str(broken.error)) for broken in found.broken] == []
    return found


@pytest.fixture(scope="module")
def predictor(registry: Registry) -> PackagePredictor:
    return PackagePredictor(registry, memory_limit_bytes=4 << 30)


def run(predictor: PackagePredictor, registry: Registry, model: str, volume: Volume) -> Conclusion:
    return predictor.predict(registry.find(model).identity, volume)


def millilitres(conclusion: Conclusion) -> dict[str, float]:
    return {segment.label: segment.measurements[0].value for segment in conclusion.findings[0].segments}


@pytest.mark.parametrize("sample", ["brain-mr", "brain-mr-4mm"])
def test_brain_volume_is_the_golden_one(
    predictor: PackagePredictor, registry: Registry, sample_cache: Path, sample: str
) -> None:
    golden = json.loads((MODELS / BRAIN / "golden" / "expected.json").read_text(encoding="utf-8"))
    (case,) = [case for case in golden["cases"] if case["sample"] == sample]
    (expected,) = case["segments"]
    volume = sample_volume(sample, sample_cache)
    conclusion = run(predictor, registry, BRAIN, volume)
    assert millilitres(conclusion) == {expected["label"]: pytest.approx(expected["volume_ml"], rel=0.001)}
    (segment,) = conclusion.findings[0].segments
    assert segment.type.value == expected["code"]
    assert conclusion.findings[0].labels.shape == volume.voxels.shape


@pytest.mark.parametrize("sample", ["chest-ct", "chest-ct-lung1", "chest-ct-lung2", "chest-ct-angio"])
def test_lung_volumes_are_those_that_the_card_was_made_from(
    predictor: PackagePredictor, registry: Registry, sample_cache: Path, sample: str
) -> None:
    evaluation = json.loads((MODELS / LUNGS / "evaluation.json").read_text(encoding="utf-8"))[sample]["volume_ml"]
    conclusion = run(predictor, registry, LUNGS, sample_volume(sample, sample_cache))
    assert millilitres(conclusion) == {
        "Left lung": pytest.approx(evaluation["left lung"], rel=0.002),
        "Right lung": pytest.approx(evaluation["right lung"], rel=0.002),
        "Trachea and main bronchi": pytest.approx(evaluation["airways"], rel=0.01),
    }
    left, right = (centroid_left_mm(conclusion, number) for number in (1, 2))
    assert left > right + 50.0  # the patient's left, whatever the array says


def centroid_left_mm(conclusion: Conclusion, number: int) -> float:
    index = np.argwhere(conclusion.findings[0].labels == number).mean(axis=0)
    return float(conclusion.volume.geometry.to_patient_mm(index)[0])


def test_brain_engine_equals_deepbets_own_recipe(
    predictor: PackagePredictor, registry: Registry, sample_cache: Path
) -> None:
    reference = script(MODELS / BRAIN / "reference.py")
    volume = sample_volume("brain-mr", sample_cache)
    ras, _ = reference.to_ras(volume.voxels, volume.geometry.affine_lps)
    trace = reference.extract(ras, net(BRAIN, "localizer.onnx"), net(BRAIN, "segmenter.onnx"))
    labels = run(predictor, registry, BRAIN, volume).findings[0].labels
    mine = reorient(Image(labels[None].astype(np.float32), volume.geometry), axes="RAS").values[0] > 0
    overlap = 2 * np.count_nonzero(mine & trace.mask) / (np.count_nonzero(mine) + np.count_nonzero(trace.mask))
    assert overlap > 0.9995


def script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"golden_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def net(model: str, file: str):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # who waits, sleeps
    session = onnxruntime.InferenceSession(MODELS / model / file, options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": np.ascontiguousarray(image, np.float32)})[0]


def test_lung_input_is_the_contract_of_the_training(registry: Registry, sample_cache: Path) -> None:
    """Pixel i of 192 lies (i - 95.5) * 2 mm from the middle of the slice; -1024 outside (contract.py)."""
    volume = sample_volume("chest-ct-lung1", sample_cache)
    image = preprocess(Image(volume.voxels[None], volume.geometry), registry.find(LUNGS).manifest.preprocessing)
    _, rows, columns = volume.voxels.shape
    _, row_mm, column_mm = volume.geometry.spacing_mm
    points = np.meshgrid(
        (np.arange(192) - 95.5) * 2.0 / row_mm + (rows - 1) / 2,
        (np.arange(192) - 95.5) * 2.0 / column_mm + (columns - 1) / 2,
        indexing="ij",
    )
    inside = (points[0] >= 0) & (points[0] <= rows - 1) & (points[1] >= 0) & (points[1] <= columns - 1)
    for index in (0, 20, 47):
        expected = ndimage.map_coordinates(volume.voxels[index], points, order=1, mode="constant", cval=-1024.0)
        np.testing.assert_allclose(image.values[0, index][inside], expected[inside], atol=0.01)
        beyond = (points[0] < -0.5) | (points[0] > rows - 0.5) | (points[1] < -0.5) | (points[1] > columns - 0.5)
        assert np.all(image.values[0, index][beyond] == -1024.0)


@pytest.mark.parametrize(
    ("model", "sample", "code", "said"),
    [
        (LUNGS, "head-ct", "volume-of-range", "mL of lung-density tissue"),
        (LUNGS, "head-ct-4mm", "volume-of-range", "at least 500 mL are needed"),
        (LUNGS, "abdomen-ct", "volume-of-range", "mL of lung-density tissue"),
        (LUNGS, "chest-ct-jpeg2000", "volume-of-range", "mL of lung-density tissue"),
        (LUNGS, "brain-mr", "modality", "Modality is MR"),
        (BRAIN, "head-ct", "modality", "Modality is CT"),
    ],
)
def test_what_a_model_was_not_made_for_is_refused_with_what_was_measured(
    predictor: PackagePredictor,
    registry: Registry,
    sample_cache: Path,
    model: str,
    sample: str,
    code: str,
    said: str,
) -> None:
    with pytest.raises(NotApplicableError) as caught:
        run(predictor, registry, model, sample_volume(sample, sample_cache))
    assert caught.value.code == code
    assert said in caught.value.message


def test_too_few_slices_and_all_air_are_refused(
    predictor: PackagePredictor, registry: Registry, sample_cache: Path
) -> None:
    chest = sample_volume("chest-ct-lung1", sample_cache)
    few = with_voxels(chest, chest.voxels[:8])
    air = with_voxels(chest, np.full_like(chest.voxels, -1000.0))
    hollow = with_voxels(chest, np.where(chest.voxels > -300, -1000.0, chest.voxels).astype(np.float32))
    outcomes = []
    for volume in (few, air, hollow):
        with pytest.raises(OverreadError) as caught:
            run(predictor, registry, LUNGS, volume)
        outcomes.append(caught.value.code)
    assert outcomes == ["slice-count", "input-constant", "value-range"]


def with_voxels(volume: Volume, voxels: np.ndarray) -> Volume:
    geometry = replace(volume.geometry, shape=voxels.shape)
    return replace(volume, voxels=voxels, geometry=geometry, slices=volume.slices[: voxels.shape[0]])
