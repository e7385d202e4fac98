"""The steps that exist for imported models, each against the framework's own function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.volume import Geometry
from worker.inference.image import Image
from worker.inference.steps.decide import far_apart, last_above
from worker.inference.steps.intensity import ZScore
from worker.inference.steps.nnunet import ResampleNnunet, resample_labels
from worker.inference.steps.resample import resample_to_spacing

pytestmark = pytest.mark.export

Spacing = st.tuples(*[st.sampled_from([0.7, 1.0, 1.5, 2.4, 5.0])] * 3)


def a_grid(spacing: tuple[float, ...], shape: tuple[int, int, int]) -> Geometry:
    return Geometry(shape=shape, affine_lps=np.diag([*spacing, 1.0]))


@settings(max_examples=15, deadline=None)
@given(Spacing, Spacing, st.tuples(*[st.integers(5, 11)] * 3))
def test_first_and_last_is_the_spacing_of_monai(now: Any, wished: Any, shape: Any) -> None:
    from monai.data import MetaTensor
    from monai.transforms import Spacing as MonaiSpacing

    values = np.random.default_rng(1).normal(size=(1, *shape)).astype(np.float32)
    found = resample_to_spacing(
        Image(values, a_grid(now, shape)), spacing_mm=wished, interpolation="linear", alignment="first_and_last"
    )
    expected = MonaiSpacing(pixdim=wished, mode="bilinear")(MetaTensor(values, affine=np.diag([*now, 1.0])))
    assert found.values.shape == tuple(expected.shape)
    np.testing.assert_allclose(found.values, np.asarray(expected), atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(Spacing, Spacing)
def test_where_slices_are_far_apart_is_what_nnunet_says(scores: Any, source: Any) -> None:
    from nnunetv2.preprocessing.resampling.default_resampling import determine_do_sep_z_and_axis

    _, axis = determine_do_sep_z_and_axis(None, scores, source)
    turned = np.eye(4)[:, [2, 0, 1, 3]] @ np.diag([source[2], source[0], source[1], 1.0])
    for geometry in (a_grid(source, (4, 5, 6)), Geometry(shape=(6, 4, 5), affine_lps=turned)):
        assert far_apart(a_grid(scores, (4, 5, 6)), geometry) == (None if axis is None else int(axis))


def test_the_spacing_that_was_asked_for_says_whether_slices_are_far_apart() -> None:
    """3 mm against 1 mm is not more than three times; rounded to whole voxels the grid may say otherwise."""
    rounded, source = a_grid((3.01, 1.0, 1.0), (4, 5, 6)), a_grid((2.0, 1.0, 1.0), (6, 5, 6))
    assert far_apart(rounded, source) == 0
    assert far_apart(rounded, source, (3.0, 1.0, 1.0)) is None
    assert far_apart(source, source, ("keep", 0.5, 0.5)) == 0


Labels = st.integers(0, 2**31).map(lambda seed: np.random.default_rng(seed))


@settings(max_examples=150, deadline=None)
@given(Labels, st.tuples(*[st.integers(2, 8)] * 3), st.tuples(*[st.integers(1, 9)] * 3),
       st.sampled_from([None, 0, 1, 2]), st.sampled_from([0, 1]))  # fmt: skip
def test_labels_are_resampled_as_nnunet_does(
    rng: np.random.Generator, now: Any, wished: Any, axis: int | None, order: int
) -> None:
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg

    labels = rng.integers(-1, 3, size=now).astype(np.int16)
    found = resample_labels(labels, wished, axis=axis, order=order)
    expected = resample_data_or_seg(
        labels[None], wished, is_seg=True, axis=axis, order=order, do_separate_z=axis is not None, order_z=0
    )
    np.testing.assert_array_equal(found, expected[0])


def test_of_regions_the_last_one_above_the_value_counts() -> None:
    tile = np.array([[[[1.0, 1.0, -1.0, 0.0]]], [[[-1.0, 0.5, 2.0, 0.0]]]], np.float32)
    assert last_above(tile, numbers={0: 1, 1: 2}, value=0.0).tolist() == [[[1, 2, 2, 0]]]


def test_what_is_not_zero_alone_is_normalised_as_monai_does() -> None:
    from monai.transforms import NormalizeIntensity

    values = np.random.default_rng(3).normal(100, 20, (2, 4, 5, 6)).astype(np.float32)
    values[0, :2] = values[1, :, 2] = 0
    found = ZScore(step="z_score", over="nonzero_alone", each_channel=True).apply(
        Image(values, a_grid((1.0,) * 3, (4, 5, 6)))
    )
    expected = np.asarray(NormalizeIntensity(nonzero=True, channel_wise=True)(values.copy()))
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    assert (found.values[values == 0] == 0).all()


def test_the_slices_of_a_flat_configuration_stay() -> None:
    image = Image(np.ones((1, 5, 8, 8), np.float32), a_grid((5.0, 1.0, 1.0), (5, 8, 8)))
    step = ResampleNnunet(step="resample_nnunet", spacing_mm=("keep", 2.0, 0.5))
    assert step.apply(image).values.shape == (1, 5, 4, 16)
