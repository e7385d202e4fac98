"""The steps that exist for imported models, each against the framework's own function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.volume import Geometry
from worker.inference.steps.decide import far_apart, last_above
from worker.inference.steps.image import Image
from worker.inference.steps.nnunet import ResampleNnunet
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


def test_of_regions_the_last_one_above_the_value_counts() -> None:
    tile = np.array([[[[1.0, 1.0, -1.0, 0.0]]], [[[-1.0, 0.5, 2.0, 0.0]]]], np.float32)
    assert last_above(tile, numbers={0: 1, 1: 2}, value=0.0).tolist() == [[[1, 2, 2, 0]]]


def test_the_slices_of_a_flat_configuration_stay() -> None:
    image = Image(np.ones((1, 5, 8, 8), np.float32), a_grid((5.0, 1.0, 1.0), (5, 8, 8)))
    step = ResampleNnunet(step="resample_nnunet", spacing_mm=("keep", 2.0, 0.5))
    assert step.apply(image).values.shape == (1, 5, 4, 16)
