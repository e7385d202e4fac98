"""What a crop cut away belongs to nothing, also where a coarser grid reaches over its edge."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.domain.volume import Geometry
from worker.inference.image import Image, index_map
from worker.inference.steps.crop import CropToForeground
from worker.inference.steps.orient import reorient
from worker.inference.steps.sampling import clear_outside


def a_turn(degrees: float) -> NDArray[np.float64]:
    angle = np.deg2rad(degrees)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return affine


@pytest.mark.parametrize("axes", ["SPL", "RAS", "LPI"])
def test_labels_outside_the_box_of_a_crop_are_cleared(axes: str) -> None:
    values = np.zeros((1, 8, 9, 10), np.float32)
    values[0, 2:5, 3:8, 1:9] = 1
    source = Geometry(shape=(8, 9, 10), affine_lps=a_turn(12.0)[:, [2, 1, 0, 3]])
    box = CropToForeground(step="crop_to_foreground").apply(reorient(Image(values, source), axes=axes))
    assert box.bounds is not None
    labels = np.ones(source.shape, np.uint8)
    clear_outside(labels, index_map(of=source, into=box.bounds), box.bounds.shape)
    np.testing.assert_array_equal(labels, values[0])


def test_a_box_that_lies_obliquely_is_cleared_point_by_point() -> None:
    source = Geometry(shape=(4, 9, 9), affine_lps=np.eye(4))
    box = Geometry(shape=(4, 5, 5), affine_lps=np.eye(4)[:, [2, 1, 0, 3]][[2, 1, 0, 3]] @ np.eye(4))
    turned = Geometry(shape=box.shape, affine_lps=np.linalg.inv(a_turn(20.0)[[2, 1, 0, 3]][:, [2, 1, 0, 3]]))
    labels = np.ones(source.shape, np.uint8)
    matrix = index_map(of=source, into=turned)
    clear_outside(labels, matrix, turned.shape)
    for index in np.ndindex(*source.shape):
        place = (matrix @ np.array([*index, 1.0]))[:3]
        assert labels[index] == np.all((place >= -0.5) & (place <= np.array(turned.shape) - 0.5))


def test_later_steps_keep_the_box() -> None:
    image = Image(np.ones((1, 4, 4, 4), np.float32), Geometry(shape=(4, 4, 4), affine_lps=np.eye(4)))
    box = CropToForeground(step="crop_to_foreground").apply(image)
    assert reorient(box, axes="RAS").bounds == box.bounds
