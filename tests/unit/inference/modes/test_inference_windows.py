"""Sliding windows: every voxel covered, and the same numbers as MONAI and nnU-Net."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.errors import ConfigurationError
from worker.domain.volume import Geometry
from worker.inference.entries.nets import Net, OutputTensor, Tensor
from worker.inference.image import Image, Scores
from worker.inference.modes.sliding_window import SlidingWindow
from worker.inference.modes.window_grid import padding, starts, weights

pytestmark = pytest.mark.export  # MONAI and nnU-Net need torch


def net(rank: int, *, batch: int | str = "N") -> Net:
    shape: tuple[Any, ...] = (batch, 1, *"ABC"[: rank - 2])
    return Net(
        weights="main",
        input=Tensor(name="image", shape=shape),
        output=OutputTensor(name="out", shape=(batch, 2, *shape[2:])),
    )


def image(shape: tuple[int, ...], seed: int = 0) -> Image:
    values = np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32)
    return Image(values, Geometry((shape[0], shape[1], shape[2]), np.diag([3.0, 1.0, 2.0, 1.0])))


def two_channels(_: Any, batch: np.ndarray, *, last: bool = True) -> np.ndarray:
    """Depends on where a voxel lies in its window, so that blending shows."""
    ramp = np.linspace(0, 1, batch.shape[-1], dtype=np.float32)
    return np.concatenate([batch * (1 + ramp), np.tanh(batch) - ramp], axis=1)


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0, 0.95), st.sampled_from(["fixed_step", "even_step"]))
def test_every_voxel_is_covered_and_no_window_leaves_the_image(
    size: int, window: int, overlap: float, placement: Any
) -> None:
    window = min(size, window)
    firsts = starts(size, window, overlap=overlap, placement=placement)
    covered = np.zeros(size, bool)
    for first in firsts:
        assert 0 <= first <= size - window
        covered[first : first + window] = True
    assert covered.all()
    assert list(firsts) == sorted(firsts)
    if placement == "fixed_step":  # nnU-Net repeats a window where its step is less than a voxel
        assert len(set(firsts)) == len(firsts)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.25, 0.5, 0.75]))
def test_windows_lie_where_nnunet_puts_them(size: int, window: int, overlap: float) -> None:
    from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window

    window = min(size, window)
    (expected,) = compute_steps_for_sliding_window((size,), (window,), 1 - overlap)
    assert list(starts(size, window, overlap=overlap, placement="even_step")) == expected


@pytest.mark.parametrize("shape", [(8, 8, 8), (5, 12, 7), (16, 4), (1, 9, 9)])
def test_weights_are_those_of_monai_and_nnunet(shape: tuple[int, ...]) -> None:
    from monai.data.utils import compute_importance_map
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian

    expected = compute_importance_map(shape, mode="gaussian", sigma_scale=0.125).numpy()
    np.testing.assert_allclose(weights(shape, weighting="gaussian"), expected, rtol=1e-5)
    filtered = compute_gaussian(shape, sigma_scale=1 / 8, value_scaling_factor=10, device=torch.device("cpu"))
    np.testing.assert_array_equal(weights(shape, weighting="gaussian_filter"), filtered.float().numpy())
    assert float(weights(shape, weighting="constant").min()) == 1.0


@settings(max_examples=25)
@given(
    st.tuples(st.integers(3, 14), st.integers(3, 14), st.integers(3, 14)),
    st.tuples(st.integers(2, 8), st.integers(2, 8), st.integers(2, 8)),
    st.sampled_from([0.0, 0.25, 0.5, 0.7]),
    st.sampled_from(["constant", "gaussian"]),
    st.integers(1, 3),
)
def test_the_answer_is_that_of_monai(
    shape: tuple[int, ...], window: tuple[int, ...], overlap: float, weighting: Any, batch: int
) -> None:
    from monai.inferers import sliding_window_inference

    given_image = image(shape)
    mode = SlidingWindow(
        mode="sliding_window", net=net(5), window=window, overlap=overlap, weighting=weighting, batch=batch
    )
    expected = sliding_window_inference(
        torch.from_numpy(given_image.values[None]),
        window,
        batch,
        lambda part: torch.from_numpy(two_channels(None, part.numpy())),
        overlap=overlap,
        mode=weighting,
    )
    scores = mode.run(given_image, two_channels)
    np.testing.assert_allclose(scores.values, expected[0].numpy(), rtol=1e-4, atol=1e-5)
    assert scores.geometry is given_image.geometry


@given(st.integers(1, 4), st.tuples(st.integers(3, 12), st.integers(3, 12)), st.integers(1, 3), st.booleans())
@settings(max_examples=20)
def test_flat_windows_are_those_of_monai_on_every_plane(
    planes: int, window: tuple[int, int], batch: int, fixed: bool
) -> None:
    from monai.inferers import sliding_window_inference

    given_image = image((planes, 10, 9))
    one = net(4, batch=batch if fixed else "N")
    mode = SlidingWindow(mode="sliding_window", net=one, window=window, overlap=0.5, batch=batch)
    expected = sliding_window_inference(
        torch.from_numpy(given_image.values[0][:, None]),
        window,
        1,
        lambda part: torch.from_numpy(two_channels(None, part.numpy())),
        overlap=0.5,
        mode="gaussian",
    )
    scores = mode.run(given_image, two_channels)
    assert isinstance(scores, Scores)
    np.testing.assert_allclose(scores.values.swapaxes(0, 1), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_a_fixed_batch_is_filled_up_and_the_last_run_is_told() -> None:
    sizes, lasts = [], []

    def run(_: Any, batch: np.ndarray, *, last: bool = True) -> np.ndarray:
        sizes.append(batch.shape[0])
        lasts.append(last)
        return np.concatenate([batch, batch], axis=1)

    given_image = image((4, 4, 7))
    mode = SlidingWindow(mode="sliding_window", net=net(5, batch=2), window=(4, 4, 3), overlap=0.0)
    scores = mode.run(given_image, run)
    np.testing.assert_allclose(scores.values[1], given_image.values[0], rtol=1e-5)
    assert sizes == [2, 2]
    assert lasts == [False, True]


def test_mirrored_windows_are_turned_back() -> None:
    seen: list[np.ndarray] = []

    def run(_: Any, batch: np.ndarray, *, last: bool = True) -> np.ndarray:
        seen.append(batch.copy())
        return np.concatenate([batch, batch**2], axis=1)

    given_image = image((3, 4, 5))
    mode = SlidingWindow(mode="sliding_window", net=net(5), window=(3, 4, 5), mirror=(0, 2))
    scores = mode.run(given_image, run)
    np.testing.assert_allclose(scores.values[0], given_image.values[0], rtol=1e-5)
    assert len(seen) == 4
    np.testing.assert_array_equal(seen[3], np.flip(given_image.values[None], (2, 4)))


def test_mirroring_equals_nnunets_mean() -> None:
    """A net that is not symmetric: the mean over all combinations of axes, as nnU-Net takes it."""
    import itertools

    given_image = image((3, 4, 5))
    mode = SlidingWindow(mode="sliding_window", net=net(5), window=(3, 4, 5), mirror=(0, 1, 2), weighting="constant")
    x = given_image.values[None]
    expected = two_channels(None, x)
    combinations = [c for i in range(3) for c in itertools.combinations([2, 3, 4], i + 1)]
    for axes in combinations:
        expected = expected + np.flip(two_channels(None, np.flip(x, axes)), axes)
    np.testing.assert_allclose(mode.run(given_image, two_channels).values, expected[0] / 8, rtol=1e-4, atol=1e-6)


def test_an_answer_of_another_size_is_refused() -> None:
    mode = SlidingWindow(mode="sliding_window", net=net(5), window=(2, 2, 2))
    with pytest.raises(ConfigurationError) as caught:
        mode.run(image((4, 4, 4)), lambda _, batch, **__: batch[:, :, 1:])
    assert caught.value.code == "net-grid-mismatch"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"window": (4, 4)}, "3 numbers"),
        ({"mirror": (3,)}, "mirror"),
        ({"mirror": (1, 1)}, "once"),
        ({"net": net(4)}, "2 numbers"),
    ],
)
def test_what_does_not_fit_is_said(changes: dict[str, Any], said: str) -> None:
    good = {"mode": "sliding_window", "net": net(5), "window": (4, 4, 4)}
    with pytest.raises(ValueError, match=said):
        SlidingWindow.model_validate(good | changes)


@given(st.tuples(st.integers(1, 9), st.integers(1, 9)), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_padding_reaches_the_window(shape: tuple[int, int], window: tuple[int, int]) -> None:
    for (before, after), has, wished in zip(padding(shape, window), shape, window, strict=True):
        assert has + before + after == max(has, wished)
        assert after - before in (0, 1)
