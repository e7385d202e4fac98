"""Steps and measurements against the libraries that models were trained with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage, stats

from worker.domain.errors import ConfigurationError, NotApplicableError
from worker.domain.volume import Geometry
from worker.inference.image import Image, Scores
from worker.inference.measure.intensity import first_order
from worker.inference.measure.sizes import axes_of_plane, largest_axes_mm, max_diameter_mm, mesh_vertices
from worker.inference.measure.surface import mesh_area_mm2
from worker.inference.steps.boxes import linked, suppress
from worker.inference.steps.crop import CropToForeground, PadToMultiple, PadToSquare
from worker.inference.steps.decide import Hysteresis, Labels
from worker.inference.steps.intensity import Clip, ZScore
from worker.inference.steps.nnunet import ResampleNnunet
from worker.inference.steps.peaks import peaks
from worker.inference.steps.resample import resample_to_shape, resample_to_spacing
from worker.inference.steps.scaling import NormaliseChannels, RepeatChannel, ScalePercentiles, WindowLevel

pytestmark = pytest.mark.export  # the references need torch

masks = arrays.arrays(np.bool_, (5, 6, 7), elements=st.booleans())
spacings = st.tuples(*[st.floats(0.5, 5.0)] * 3)


def an_image(shape: tuple[int, ...], *, seed: int = 0, channels: int = 1, spacing: Any = (3.0, 1.0, 0.8)) -> Image:
    values = np.random.default_rng(seed).normal(100, 30, size=(channels, *shape)).astype(np.float32)
    return Image(values, Geometry((shape[0], shape[1], shape[2]), np.diag([*spacing, 1.0])))


# ---------------------------------------------------------------------------------------------------- resampling


@settings(max_examples=15)
@given(st.tuples(*[st.integers(4, 12)] * 3), st.tuples(*[st.integers(3, 16)] * 3), st.booleans(),
       st.sampled_from([("linear", 1), ("cubic", 3)]))  # fmt: skip
def test_resampling_to_a_shape_equals_skimage(
    shape: tuple[int, int, int], wished: tuple[int, int, int], smooth: bool, way: Any
) -> None:
    from skimage.transform import resize

    image = an_image(shape)
    found = resample_to_shape(image, shape=wished, interpolation=way[0], anti_aliasing=smooth)
    expected = resize(image.values[0].astype(np.float64), wished, order=way[1], mode="edge", anti_aliasing=smooth,
                      clip=False, preserve_range=True)  # fmt: skip
    np.testing.assert_allclose(found.values[0], expected, rtol=1e-3, atol=0.05)


@settings(max_examples=10)
@given(st.tuples(*[st.floats(0.6, 3.0)] * 3), st.sampled_from(["first", "centre"]))
def test_cubic_resampling_to_a_spacing_equals_scipy_point_by_point(wished: Any, alignment: Any) -> None:
    image = an_image((8, 9, 10))
    found = resample_to_spacing(image, spacing_mm=wished, interpolation="cubic", alignment=alignment)
    assert found.geometry.spacing_mm == pytest.approx(wished)
    index = np.moveaxis(np.indices(found.values.shape[1:]).astype(np.float64), 0, -1)
    points = np.moveaxis(image.geometry.to_index(found.geometry.to_patient_mm(index)), -1, 0)
    expected = ndimage.map_coordinates(image.values[0].astype(np.float64), points, order=3, mode="nearest")
    np.testing.assert_allclose(found.values[0], expected, rtol=1e-3, atol=0.05)


@settings(max_examples=15)
@given(
    st.tuples(st.integers(3, 9), st.integers(4, 12), st.integers(4, 12)),
    st.sampled_from([(3.0, 1.0, 0.8), (5.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 4.0, 1.0), (0.7, 0.7, 2.5)]),
    st.sampled_from([(1.5, 1.5, 1.5), (5.0, 0.8, 0.8), (2.0, 1.0, 1.0)]),
    st.sampled_from(["auto", "always", "never"]),
    st.sampled_from([3, 1]),
    st.sampled_from([0, 1]),
)
def test_resampling_equals_nnunet(
    shape: tuple[int, ...], now: Any, wished: Any, separate: str, order: int, order_z: int
) -> None:
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_spacing

    # Of so short an axis nnU-Net keeps nothing at all; here one plane remains.
    assume(all(round(n * a / b) >= 1 for n, a, b in zip(shape, now, wished, strict=True)))
    image = an_image(shape, channels=2, spacing=now)
    force = {"auto": None, "always": True, "never": False}[separate]
    expected = resample_data_or_seg_to_spacing(
        image.values.copy(), now, wished, is_seg=False, order=order, order_z=order_z, force_separate_z=force
    )
    step = ResampleNnunet(step="resample_nnunet", spacing_mm=wished, order=order, order_z=order_z, separate=separate)
    found = step.apply(image)
    assert found.values.shape == expected.shape
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-2)
    # The field of view stays: the outer corners coincide.
    first = image.geometry.to_patient_mm(np.array([-0.5, -0.5, -0.5]))
    np.testing.assert_allclose(found.geometry.to_patient_mm(np.array([-0.5, -0.5, -0.5])), first, atol=1e-6)


# ----------------------------------------------------------------------------------------------------- intensity


def test_masked_z_score_equals_nnunet() -> None:
    from nnunetv2.preprocessing.normalization.default_normalization_schemes import ZScoreNormalization

    image = an_image((6, 8, 9), channels=2)
    image.values[:, :2] = 0
    image.values[:, 4, 3:5, 3:5] = 0  # a hole that counts as inside
    found = ZScore(step="z_score", over="foreground", each_channel=True).apply(image)
    inside = np.ones((6, 8, 9), bool)
    inside[:2] = False
    mask = np.where(inside, 0, -1)
    scheme = ZScoreNormalization(use_mask_for_norm=True, intensityproperties={})
    for channel in range(2):
        expected = scheme.run(image.values[channel].copy(), mask)
        np.testing.assert_allclose(found.values[channel], expected, rtol=1e-3, atol=1e-4)
    assert not found.values[:, :2].any()


def test_a_step_on_one_channel_leaves_the_others() -> None:
    image = an_image((3, 4, 5), channels=2)
    found = ZScore(step="z_score", channel=1).apply(image)
    np.testing.assert_array_equal(found.values[0], image.values[0])
    assert float(found.values[1].mean()) == pytest.approx(0, abs=1e-5)
    with pytest.raises(ConfigurationError) as caught:
        Clip(step="clip", lower=0, upper=1, channel=2).apply(image)
    assert caught.value.code == "channel-missing"


@given(st.floats(-500, 500), st.floats(1, 2000))
@settings(max_examples=20)
def test_a_window_equals_monai(centre: float, width: float) -> None:
    from monai.transforms import ScaleIntensityRange

    image = an_image((3, 4, 5))
    expected = ScaleIntensityRange(centre - width / 2, centre + width / 2, -1, 1, clip=True)(image.values)
    found = WindowLevel(step="window", centre=centre, width=width, low=-1, high=1).apply(image)
    np.testing.assert_allclose(found.values, np.asarray(expected), rtol=1e-3, atol=1e-4)


@given(st.floats(0, 40), st.floats(60, 100))
@settings(max_examples=20)
def test_percentiles_equal_monai(lower: float, upper: float) -> None:
    from monai.transforms import ScaleIntensityRangePercentiles

    image = an_image((3, 4, 5))
    expected = ScaleIntensityRangePercentiles(lower, upper, 0, 1, clip=True)(torch.from_numpy(image.values.copy()))
    found = ScalePercentiles(step="scale_percentiles", lower=lower, upper=upper).apply(image)
    np.testing.assert_allclose(found.values, np.asarray(expected), rtol=1e-3, atol=1e-4)


def test_a_constant_image_cannot_be_scaled() -> None:
    flat = Image(np.full((1, 2, 2, 2), 7.0, np.float32), Geometry((2, 2, 2), np.eye(4)))
    with pytest.raises(NotApplicableError) as caught:
        ScalePercentiles(step="scale_percentiles", lower=1, upper=99).apply(flat)
    assert caught.value.code == "input-constant"


def test_channels_are_repeated_and_normalised() -> None:
    image = an_image((2, 3, 4))
    three = RepeatChannel(step="repeat_channel", count=3).apply(image)
    step = NormaliseChannels(step="normalise_channels", mean=(1.0, 2.0, 3.0), deviation=(1.0, 2.0, 4.0))
    found = step.apply(three).values
    np.testing.assert_allclose(found[2], (image.values[0] - 3) / 4, rtol=1e-5)
    with pytest.raises(ConfigurationError):
        step.apply(image)


# ---------------------------------------------------------------------------------------------------- crop and pad


@given(masks.filter(lambda mask: bool(mask.any())), st.integers(0, 3))
@settings(max_examples=30)
def test_the_foreground_equals_monai(mask: np.ndarray, margin: int) -> None:
    from monai.transforms import CropForeground

    values = mask[None].astype(np.float32)
    found = CropToForeground(step="crop_to_foreground", margin=margin).apply(
        Image(values, Geometry((5, 6, 7), np.diag([2.0, 1.0, 1.0, 1.0])))
    )
    expected = CropForeground(margin=margin, allow_smaller=True)(values)
    # MONAI pads a margin beyond the image when it may not be smaller; ours ends at the image.
    assert found.values.sum() == mask.sum()
    assert all(a <= b for a, b in zip(found.values.shape, np.asarray(expected).shape, strict=True)) or margin > 0
    back = found.geometry.to_patient_mm(np.zeros(3)) / np.array([2.0, 1.0, 1.0])
    start = np.rint(back).astype(int)
    inside = values[0][tuple(slice(s, s + n) for s, n in zip(start, found.values.shape[1:], strict=True))]
    np.testing.assert_array_equal(found.values[0], inside)


def test_nothing_in_the_foreground_is_refused() -> None:
    empty = Image(np.zeros((1, 2, 2, 2), np.float32), Geometry((2, 2, 2), np.eye(4)))
    with pytest.raises(NotApplicableError):
        CropToForeground(step="crop_to_foreground").apply(empty)


@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 5)] * 3), st.sampled_from(["both", "end"]))
@settings(max_examples=30)
def test_padding_to_a_multiple_equals_monai(shape: Any, multiple: Any, side: Any) -> None:
    from monai.transforms import DivisiblePad

    image = an_image(shape)
    method = {"both": "symmetric", "end": "end"}[side]
    expected = DivisiblePad(multiple, method=method, mode="constant", value=-5)(torch.from_numpy(image.values))
    found = PadToMultiple(step="pad_to_multiple", multiple=multiple, outside=-5, side=side).apply(image)
    np.testing.assert_array_equal(found.values, np.asarray(expected))


def test_padding_to_a_square_keeps_the_place() -> None:
    image = an_image((1, 3, 6))
    found = PadToSquare(step="pad_to_square", outside=0).apply(image)
    assert found.values.shape == (1, 1, 6, 6)
    np.testing.assert_array_equal(found.values[:, :, 1:4], image.values)
    np.testing.assert_allclose(
        found.geometry.to_patient_mm(np.array([0.0, 1.0, 0.0])), image.geometry.to_patient_mm(np.zeros(3))
    )


# ----------------------------------------------------------------------------------- hysteresis, boxes, peaks


@given(arrays.arrays(np.float32, (1, 4, 5, 6), elements=st.floats(0, 1, width=32)), st.sampled_from([6, 26]))
@settings(max_examples=40)
def test_hysteresis_equals_skimage(values: np.ndarray, connectivity: Any) -> None:
    from skimage.filters import apply_hysteresis_threshold

    geometry = Geometry((4, 5, 6), np.eye(4))
    step = Hysteresis(step="hysteresis", low=0.3, high=0.7, connectivity=connectivity)
    found: Labels = step.labels(Scores(values, geometry), geometry, numbers={0: 1}, thresholds={})
    if connectivity == 6:
        expected = apply_hysteresis_threshold(values[0], np.float32(0.3), np.float32(0.7))
    else:
        parts, count = ndimage.label(values[0] > np.float32(0.3), structure=np.ones((3, 3, 3)))
        strong = ndimage.maximum(values[0], parts, range(1, count + 1)) > np.float32(0.7) if count else []
        expected = np.isin(parts, 1 + np.flatnonzero(strong))
    np.testing.assert_array_equal(found > 0, expected)


@given(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 20), st.just(6)), elements=st.floats(0, 20, width=16)),
    st.integers(0, 1000),
    st.sampled_from([0.1, 0.3, 0.7]),
)
@settings(max_examples=40)
def test_suppression_equals_monai(corners: np.ndarray, seed: int, overlap: float) -> None:
    from monai.data.box_utils import non_max_suppression

    low = np.minimum(corners[:, :3], corners[:, 3:])
    boxes = np.concatenate([low, np.maximum(corners[:, :3], corners[:, 3:]) + 1], axis=1).astype(np.float64)
    scores = np.random.default_rng(seed).permutation(len(boxes)).astype(np.float32)  # no two alike
    expected = non_max_suppression(torch.from_numpy(boxes), torch.from_numpy(scores), nms_thresh=overlap)
    assert suppress(boxes, scores, overlap=overlap).tolist() == expected.tolist()


def test_boxes_are_linked_from_plane_to_plane_only() -> None:
    boxes = np.array([[z - 0.5, 0, 0, z + 0.5, 4, 4] for z in (0, 1, 3, 4)] + [[0.5, 20, 20, 1.5, 24, 24]])
    assert [group.tolist() for group in linked(boxes, overlap=0.5)] == [[0, 1], [2, 3], [4]]


@given(st.integers(0, 10_000), st.floats(0, 6))
@settings(max_examples=30)
def test_peaks_are_local_maxima_apart_from_each_other(seed: int, separation: float) -> None:
    values = np.random.default_rng(seed).random((5, 6, 7)).astype(np.float32)
    geometry = Geometry((5, 6, 7), np.diag([2.0, 1.0, 1.5, 1.0]))
    found = peaks(values, geometry, least=0.6, separation_mm=separation)
    padded = np.pad(values, 1, constant_values=-1)
    heights = [values[tuple(place)] for place in found]
    assert heights == sorted(heights, reverse=True)
    for place, height in zip(found, heights, strict=True):
        a, b, c = place
        assert height == padded[a : a + 3, b : b + 3, c : c + 3].max()
        assert height >= np.float32(0.6)
    for one in range(len(found)):
        for other in range(one):
            distance = np.linalg.norm(geometry.to_patient_mm((found[one] - found[other]).astype(float)))
            assert distance >= separation
    if values.max() >= 0.6:
        assert heights[0] == values.max()


def test_a_plateau_is_one_peak() -> None:
    values = np.zeros((3, 4, 5), np.float32)
    values[1, 1:3, 1:3] = 1.0
    assert peaks(values, Geometry((3, 4, 5), np.eye(4)), least=0.5, separation_mm=0).tolist() == [[1, 1, 1]]


# ---------------------------------------------------------------------------------------------------- measurements


@given(masks.filter(lambda mask: bool(mask.any())), spacings)
@settings(max_examples=40)
def test_surface_and_diameter_equal_the_mesh_of_skimage(mask: np.ndarray, spacing: tuple[float, ...]) -> None:
    from scipy.spatial.distance import pdist
    from skimage.measure import marching_cubes, mesh_surface_area

    geometry = Geometry((5, 6, 7), np.diag([*spacing, 1.0]))
    vertices, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5, spacing=spacing, method="lorensen")
    assert mesh_area_mm2(mask, geometry) == pytest.approx(mesh_surface_area(vertices, faces), rel=1e-4)
    assert max_diameter_mm(mask, geometry) == pytest.approx(float(pdist(vertices).max()), rel=1e-5)
    ours = {tuple(np.round(point * spacing, 3)) for point in mesh_vertices(mask)}
    theirs = {tuple(np.round(point - np.array(spacing), 3)) for point in vertices}
    assert len(ours) == len(theirs)


def test_a_sphere_has_the_size_of_a_sphere() -> None:
    z, y, x = np.mgrid[-20:21, -20:21, -20:21].astype(float)
    ball = (z * 1.0) ** 2 + (y * 0.8) ** 2 + (x * 0.8) ** 2 <= 14.0**2
    geometry = Geometry((41, 41, 41), np.diag([1.0, 0.8, 0.8, 1.0]))
    assert max_diameter_mm(ball, geometry) == pytest.approx(28.0, abs=1.0)
    long_mm, short_mm = largest_axes_mm(ball, geometry)
    assert long_mm == pytest.approx(28.0, abs=1.0)
    assert short_mm == pytest.approx(28.0, abs=1.0)
    assert mesh_area_mm2(ball, geometry) == pytest.approx(4 * math.pi * 14**2, rel=0.12)


def test_the_short_axis_is_across_the_long_one() -> None:
    plane = np.zeros((20, 30), bool)
    plane[5:9, 3:23] = True
    long_mm, short_mm = axes_of_plane(plane, Geometry((1, 20, 30), np.diag([5.0, 2.0, 1.0, 1.0])))
    assert long_mm == pytest.approx(math.hypot(3 * 2, 20), rel=1e-6)
    assert 3 * 2 <= short_mm <= 4 * 2 + 6


@given(arrays.arrays(np.float32, st.integers(2, 60), elements=st.floats(-1000, 1000, width=16)))
@settings(max_examples=40)
def test_first_order_statistics_equal_scipy(values: np.ndarray) -> None:
    found = first_order(values)
    exact = values.astype(np.float64)
    assert found["mean"] == pytest.approx(exact.mean())
    assert found["standard_deviation"] == pytest.approx(exact.std())
    assert found["median"] == pytest.approx(np.median(exact))
    assert (found["minimum"], found["maximum"]) == (exact.min(), exact.max())
    if exact.std() > 1e-3 * max(1.0, abs(exact.mean())):
        assert found["skewness"] == pytest.approx(stats.skew(exact), abs=1e-6)
        assert found["kurtosis"] == pytest.approx(stats.kurtosis(exact), abs=1e-6)
