"""Intensity, score, decision and mask steps against their references."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage, special

from worker.domain.errors import NotApplicableError
from worker.domain.volume import Geometry
from worker.inference.image import Image, Scores
from worker.inference.steps.decide import AboveThreshold, above, argmax
from worker.inference.steps.intensity import (
    ClipKept,
    ClipPercentiles,
    clip,
    percentiles,
    scale_shift,
    windows,
    z_score,
)
from worker.inference.steps.masks import FillHoles, LargestComponent, MinVolume, fill_holes, largest_component
from worker.inference.steps.scores import sigmoid, softmax

UNIT = Geometry((6, 7, 8), np.eye(4))
masks = arrays.arrays(np.bool_, (6, 7, 8), elements=st.booleans())
values = arrays.arrays(np.float32, (1, 4, 5, 6), elements=st.floats(-2048, 3000, width=32))


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100.0, 30.0, size=(1, 9, 8, 7)).astype(np.float32)


@given(values)
def test_clip_equals_simpleitk(array: np.ndarray) -> None:
    expected = SimpleITK.GetArrayFromImage(
        SimpleITK.Clamp(SimpleITK.GetImageFromArray(array[0]), SimpleITK.sitkFloat32, lowerBound=-500, upperBound=500)
    )
    np.testing.assert_array_equal(clip(array, lower=-500, upper=500)[0], expected)


def test_z_score_equals_simpleitk() -> None:
    array = noise()
    expected = SimpleITK.GetArrayFromImage(SimpleITK.Normalize(SimpleITK.GetImageFromArray(array[0])))
    # SimpleITK divides by n - 1.
    count = array.size
    np.testing.assert_allclose(z_score(array)[0], expected * np.sqrt(count / (count - 1)), rtol=1e-4, atol=1e-4)


def test_z_score_over_nonzero_ignores_background() -> None:
    array = noise()
    array[:, :3] = 0
    inside = array[array != 0]
    expected = (array - inside.mean()) / inside.std()
    np.testing.assert_allclose(z_score(array, over="nonzero"), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 42.0])
def test_a_constant_image_has_no_z_score(value: float) -> None:
    with pytest.raises(NotApplicableError) as caught:
        z_score(np.full((1, 3, 3, 3), value, np.float32))
    assert caught.value.code == "input-constant"


def test_percentiles_equal_numpy_and_are_kept_for_a_later_chain() -> None:
    array = noise(1)
    assert percentiles(array, lower=0.5, upper=99.5) == pytest.approx(np.quantile(array, [0.005, 0.995]), rel=1e-5)
    image = Image(array, Geometry((9, 8, 7), np.eye(4)))
    step = ClipPercentiles(step="clip_percentiles", lower=5.0, upper=95.0, keep_as="range")
    kept = step.apply(image)
    low, high = kept.kept["range"]
    assert (float(kept.values.min()), float(kept.values.max())) == pytest.approx((low, high))
    other = ClipKept(step="clip_kept", kept="range").apply(Image((array - 100) * 10, image.geometry, kept.kept))
    assert (float(other.values.min()), float(other.values.max())) == pytest.approx((low, high))


def test_scale_shift_and_windows() -> None:
    array = noise(2)
    np.testing.assert_allclose(scale_shift(array, scale=0.226, shift=0.449), array * 0.226 + 0.449, rtol=1e-5)
    stacked = windows(array, bounds=((0.0, 100.0), (90.0, 110.0)))
    assert stacked.shape == (2, 9, 8, 7)
    np.testing.assert_allclose(stacked[1], np.clip((array[0] - 90) / 20, 0, 1), atol=1e-5)


@given(arrays.arrays(np.float32, (4, 3, 2, 2), elements=st.floats(-80, 80, width=32)))
def test_softmax_and_sigmoid_equal_scipy(logits: np.ndarray) -> None:
    np.testing.assert_allclose(softmax(logits), special.softmax(logits, axis=0), atol=1e-6)
    np.testing.assert_allclose(sigmoid(logits), special.expit(logits), atol=1e-6)


def test_decisions() -> None:
    scores = np.array([[0.9, 0.2, 0.3], [0.05, 0.7, 0.3], [0.05, 0.1, 0.4]], np.float32).reshape(3, 3, 1, 1)
    assert argmax(scores, numbers={1: 1, 2: 2}).ravel().tolist() == [0, 1, 2]
    assert argmax(scores, numbers={2: 1}).ravel().tolist() == [0, 0, 1]
    assert above(scores, numbers={1: 1, 2: 2}, value=0.35).ravel().tolist() == [0, 1, 2]
    assert above(scores, numbers={1: 1, 2: 2}, value=0.5).ravel().tolist() == [0, 1, 0]


def test_more_than_255_segments_need_uint16() -> None:
    geometry = Geometry((1, 1, 2), np.eye(4))
    scores = Scores(np.array([0.0, 1.0], np.float32).reshape(1, 1, 1, 2), geometry)
    step = AboveThreshold(step="threshold", threshold="cut", interpolation="nearest")
    labels = step.labels(scores, geometry, numbers={0: 300}, thresholds={"cut": 0.5})
    assert labels.dtype == np.uint16
    assert labels.ravel().tolist() == [0, 300]


@given(masks, st.sampled_from([6, 26]))
@settings(max_examples=60)
def test_largest_component_equals_simpleitk(mask: np.ndarray, connectivity: int) -> None:
    result = largest_component(mask, connectivity=connectivity)  # type: ignore[arg-type]
    found = SimpleITK.ConnectedComponent(SimpleITK.GetImageFromArray(mask.astype(np.uint8)), connectivity == 26)
    largest = SimpleITK.GetArrayFromImage(SimpleITK.RelabelComponent(found)) == 1
    assert result.sum() == largest.sum()
    _, count = ndimage.label(result, ndimage.generate_binary_structure(3, 1 if connectivity == 6 else 3))
    assert count <= 1
    assert not np.any(result & ~mask)


@given(masks)
@settings(max_examples=60)
def test_fill_holes_equals_simpleitk(mask: np.ndarray) -> None:
    expected = SimpleITK.GetArrayFromImage(
        SimpleITK.BinaryFillhole(SimpleITK.GetImageFromArray(mask.astype(np.uint8)), False)
    )
    # ITK counts background at the border as outside, as SciPy does.
    np.testing.assert_array_equal(fill_holes(mask), expected.astype(bool))


@given(masks)
@settings(max_examples=60)
def test_fill_holes_in_plane_fills_each_plane(mask: np.ndarray) -> None:
    expected = np.stack([ndimage.binary_fill_holes(plane) for plane in mask])
    np.testing.assert_array_equal(fill_holes(mask, in_plane=True), expected)


def test_mask_steps_leave_the_other_structure_and_their_input_alone() -> None:
    labels = np.zeros((6, 7, 8), np.uint8)
    labels[1:6, 1:6, 1:6] = 1
    labels[3, 3, 3] = 2  # the airway inside the lung is no hole
    labels[2, 2, 2] = 0
    labels[0, 0, 7] = 1
    before = labels.copy()
    kept = LargestComponent(step="largest_component").apply(labels, UNIT)
    assert kept[0, 0, 7] == 0
    filled = FillHoles(step="fill_holes").apply(kept, UNIT)
    assert (filled[3, 3, 3], filled[2, 2, 2]) == (2, 1)
    np.testing.assert_array_equal(labels, before)


def test_min_volume_counts_millilitres() -> None:
    labels = np.zeros((6, 7, 8), np.uint8)
    labels[0, 0, :3] = 1
    labels[4, 4, :2] = 1
    geometry = Geometry((6, 7, 8), np.diag([10.0, 10.0, 10.0, 1.0]))  # one voxel is one millilitre
    result = MinVolume(step="min_volume", min_ml=3.0).apply(labels, geometry)
    assert int(np.count_nonzero(result)) == 3
    assert MinVolume(step="min_volume", min_ml=3.5).apply(labels, geometry).max() == 0
