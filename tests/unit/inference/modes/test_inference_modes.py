"""Modes: batches, whole volumes, the box of the cascade."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.errors import ConfigurationError, NotApplicableError
from worker.domain.volume import Geometry
from worker.inference.entries.nets import Net, Tensor
from worker.inference.image import Image
from worker.inference.modes.localise_then_segment import LocaliseThenSegment, box_around
from worker.inference.modes.slices import in_batches
from worker.inference.modes.volume import WholeVolume


def net(rank: int = 4, *, batch: int | str = "N", name: str = "main") -> Net:
    shape: tuple[Any, ...] = (batch, 1, "A", "B") if rank == 4 else (1, 1, "A", "B", "C")
    return Net(weights=name, input=Tensor(name="image", shape=shape), output=Tensor(name="out", shape=shape))


def image(shape: tuple[int, int, int]) -> Image:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape)
    return Image(values, Geometry(shape, np.diag([1.0, 2.0, 3.0, 1.0])))


@given(st.integers(1, 13), st.integers(1, 6), st.booleans())
def test_slices_come_back_in_order_whatever_the_batch(planes: int, batch: int, fixed: bool) -> None:
    seen: list[int] = []
    lasts: list[bool] = []

    def run(_: Net, stack: np.ndarray, *, last: bool = True) -> np.ndarray:
        seen.append(stack.shape[0])
        lasts.append(last)
        return np.concatenate([stack, -stack], axis=1)

    given_image = image((planes, 3, 2))
    scores = in_batches(given_image, net(batch=batch if fixed else "N"), run, batch=batch)
    np.testing.assert_array_equal(scores.values[0], given_image.values[0])
    np.testing.assert_array_equal(scores.values[1], -given_image.values[0])
    assert all(count == batch for count in seen) if fixed else max(seen) <= batch
    assert lasts == [False] * (len(lasts) - 1) + [True]


def test_an_answer_on_another_grid_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        in_batches(image((2, 4, 4)), net(), lambda _, stack, **__: stack[:, :, ::2, ::2], batch=2)
    assert caught.value.code == "net-grid-mismatch"
    mode = WholeVolume(mode="volume", net=net(5))
    with pytest.raises(ConfigurationError):
        mode.run(image((2, 4, 4)), lambda _, batch, **__: batch[:, :, :1])


def test_the_whole_volume_goes_in_at_once() -> None:
    mode = WholeVolume(mode="volume", net=net(5))
    scores = mode.run(image((2, 3, 4)), lambda _, batch, **__: batch * 2)
    np.testing.assert_array_equal(scores.values, image((2, 3, 4)).values * 2)


def test_the_box_has_a_margin_and_ignores_specks() -> None:
    mask = np.zeros((10, 10, 10), bool)
    mask[2:6, 3:7, 4:8] = True
    mask[9, 9, 9] = True
    assert box_around(mask, shape=(100, 100, 100), margin=0.1, plane_fraction=0.02) == ((16, 26, 36), (48, 48, 48))
    assert box_around(mask, shape=(10, 10, 10), margin=0.0, plane_fraction=0.0) == ((2, 2, 4), (8, 7, 6))
    assert box_around(mask, shape=(10, 10, 10), margin=2.0, plane_fraction=0.02) == ((0, 0, 0), (10, 10, 10))
    assert box_around(np.zeros((4, 4, 4), bool), shape=(8, 8, 8), margin=0.1, plane_fraction=0.0) is None


@given(st.lists(st.tuples(*[st.integers(0, 7)] * 3), min_size=1, max_size=5), st.floats(0, 1),
       st.tuples(*[st.integers(8, 40)] * 3))  # fmt: skip
def test_the_box_holds_what_was_found_and_stays_inside(
    points: list[tuple[int, int, int]], margin: float, shape: tuple[int, int, int]
) -> None:
    mask = np.zeros((8, 8, 8), bool)
    for point in points:
        mask[point] = True
    box = box_around(mask, shape=shape, margin=margin, plane_fraction=0.0)
    assert box is not None
    for axis in range(3):
        first, count = box[0][axis], box[1][axis]
        assert first >= 0
        assert first + count <= shape[axis]
        scale = shape[axis] / 8
        coarse = [point[axis] for point in points]
        # The middle, the size and then the corner are rounded to whole voxels.
        assert first <= (min(coarse) * scale) + 1.5
        assert first + count >= (max(coarse) + 1) * scale - 1.5


def cascade() -> LocaliseThenSegment:
    return LocaliseThenSegment.model_validate_json(
        """{"mode": "localise_then_segment",
            "localiser": {"net": {"weights": "coarse", "input": {"name": "image", "shape": [1, 1, "A", "B", "C"]},
                                  "output": {"name": "found", "shape": [1, 1, "A", "B", "C"]}},
                          "preprocessing": [
                             {"step": "resample_to_shape", "shape": [8, 8, 8], "interpolation": "nearest"},
                             {"step": "clip_percentiles", "lower": 0, "upper": 100, "keep_as": "range"}],
                          "channel": 0, "margin": 0.25},
            "segmenter": {"net": {"weights": "fine", "input": {"name": "image", "shape": [1, 1, "A", "B", "C"]},
                                  "output": {"name": "out", "shape": [1, 1, "A", "B", "C"]}},
                          "preprocessing": [{"step": "clip_kept", "kept": "range"}]}}"""
    )


def test_the_second_net_sees_the_box_where_it_lies() -> None:
    values = np.zeros((1, 16, 24, 32), np.float32)
    values[0, 4:8, 6:12, 8:16] = 1.0
    source = Image(values, Geometry((16, 24, 32), np.diag([1.0, 2.0, 3.0, 1.0])))
    seen: dict[str, tuple[int, ...]] = {}

    def run(which: Net, batch: np.ndarray, *, last: bool = True) -> np.ndarray:
        seen[which.weights] = batch.shape
        return batch

    scores = cascade().run(source, run)
    assert seen["coarse"] == (1, 1, 8, 8, 8)
    assert seen["fine"] == (1, 1, 6, 9, 12)
    np.testing.assert_allclose(scores.geometry.affine_lps[:3, 3], [3.0, 2.0 * 4, 3.0 * 6])
    assert float(scores.values.sum()) == 4 * 6 * 8


def test_nothing_found_is_a_refusal() -> None:
    with pytest.raises(NotApplicableError) as caught:
        cascade().run(image((4, 4, 4)), lambda _, batch, **__: batch * 0)
    assert caught.value.code == "nothing-localised"
