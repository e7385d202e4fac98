"""The brain reference's own rules, without nets: nearest sampling, boxes, orientation."""

from __future__ import annotations

import numpy as np
import pytest

FOLDER = "brain-mr-t1"


@pytest.fixture
def reference(model_script):
    return model_script(FOLDER, "reference")


@pytest.mark.parametrize(("n", "m", "expected"), [(4, 2, [1, 3]), (2, 4, [0, 0, 1, 1]), (3, 5, [0, 0, 1, 2, 2])])
def test_nearest_takes_the_voxel_under_each_centre(reference, n: int, m: int, expected: list[int]) -> None:
    line = np.arange(n).reshape(n, 1, 1)
    assert reference.nearest(line, (m, 1, 1)).ravel().tolist() == expected


@pytest.mark.export
@pytest.mark.parametrize(("n", "m"), [(25, 256), (256, 128), (181, 128), (217, 256), (214, 256), (7, 3)])
def test_nearest_is_torchs_nearest_exact(reference, n: int, m: int) -> None:
    import torch

    line = torch.arange(n, dtype=torch.float32).reshape(1, 1, n, 1, 1)
    expected = torch.nn.functional.interpolate(line, (m, 1, 1), mode="nearest-exact").numpy().ravel()
    np.testing.assert_array_equal(reference.nearest(line.numpy()[0, 0], (m, 1, 1)).ravel(), expected)


def test_box_has_ten_percent_margin_and_stays_inside(reference) -> None:
    mask = np.zeros((128, 128, 128), bool)
    mask[32:96, 0:128, 100:128] = True
    box = reference.bounding_box(mask, (256, 128, 64))
    # 64 planes -> 128 voxels, + 2 x 10 % = 154 about 128; whole axis; 28 planes -> 14 voxels, 16.8 -> 17 about 57
    assert [(s.start, s.stop) for s in box] == [(51, 205), (0, 128), (48, 64)]


def test_no_brain_is_an_error_that_says_so(reference) -> None:
    with pytest.raises(ValueError, match="no brain"):
        reference.bounding_box(np.zeros((8, 8, 8), bool), (8, 8, 8))


def test_ras_moves_no_voxel(reference) -> None:
    values = np.arange(24).reshape(2, 3, 4)
    affine = np.array([[0, 0, 0.5, -10], [0, 0.75, 0, 20], [2.5, 0, 0, 30], [0, 0, 0, 1.0]])
    volume, moved = reference.to_ras(values, affine)
    assert volume.shape == (4, 3, 2)
    for index in np.ndindex(values.shape):
        where = np.linalg.inv(moved) @ affine @ [*index, 1]
        assert volume[tuple(np.rint(where[:3]).astype(int))] == values[index]
    assert moved[0, 0] < 0  # toward Right
    assert moved[1, 1] < 0  # toward Anterior
    assert moved[2, 2] > 0  # toward Superior
