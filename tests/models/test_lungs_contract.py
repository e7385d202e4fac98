"""The grid contract of the lung model and its rule-based judge: plain numpy, no network."""

from __future__ import annotations

import numpy as np
import pytest

FOLDER = "lungs-airways-ct"


@pytest.fixture
def contract(model_script):
    return model_script(FOLDER, "contract")


@pytest.fixture
def rules(model_script):
    return model_script("tools", "ct/rules")


def a_ramp(rows: int, columns: int, row_mm: float, column_mm: float) -> np.ndarray:
    """HU equal to (x mm) + 1000 * (y mm) from the centre, so that values tell positions."""
    y = (np.arange(rows) - (rows - 1) / 2) * row_mm
    x = (np.arange(columns) - (columns - 1) / 2) * column_mm
    return (x[None, :] + 1000 * y[:, None])[None].astype(np.float32)


@pytest.mark.parametrize(("rows", "columns", "row_mm", "column_mm"), [(512, 512, 0.7, 0.7), (400, 512, 1.0, 0.9)])
def test_pixels_lie_two_mm_apart_around_the_centre(contract, rows, columns, row_mm, column_mm) -> None:
    image = contract.to_model(a_ramp(rows, columns, row_mm, column_mm), row_mm, column_mm)
    assert image.shape == (1, 1, 192, 192)
    assert image.dtype == np.float32
    for row, column in [(95, 96), (40, 120), (96, 95)]:
        expected = (column - 95.5) * 2 + 1000 * (row - 95.5) * 2
        assert image[0, 0, row, column] == pytest.approx(expected, rel=1e-4)


def test_outside_is_padding(contract) -> None:
    image = contract.to_model(np.zeros((1, 100, 100), np.int16), 1.0, 1.0)  # 100 mm in a grid of 384 mm
    assert image[0, 0, 0, 0] == -1024
    assert image[0, 0, 96, 96] == 0
    assert (image == 0).sum() == pytest.approx(50 * 50, rel=0.05)


def test_labels_come_back_to_their_place(contract) -> None:
    rows, columns, row_mm, column_mm = 300, 260, 0.9, 1.1
    truth = np.zeros((1, rows, columns), np.uint8)
    truth[0, 100:180, 60:120] = 2
    truth[0, 200:240, 150:230] = 3
    image = contract.to_model(truth.astype(np.int16), row_mm, column_mm)[:, 0]
    logits = np.stack([-20 * np.abs(image - value) for value in range(4)], axis=1).astype(np.float32)
    found = contract.labels_on_source(logits, (rows, columns), row_mm, column_mm)
    assert found.shape == truth.shape
    for value in (2, 3):
        overlap = 2 * ((found == value) & (truth == value)).sum() / ((found == value).sum() + (truth == value).sum())
        assert overlap > 0.97


def test_clean_keeps_the_largest_piece_and_fills_only_background(contract) -> None:
    labels = np.zeros((9, 20, 20), np.uint8)
    labels[1:8, 2:12, 2:12] = 1
    labels[4, 6, 6] = 0  # a hole
    labels[4, 8, 8] = 3  # a bronchus inside the lung stays one
    labels[4, 18, 18] = 1  # an island
    cleaned = contract.clean(labels)
    assert cleaned[4, 6, 6] == 1
    assert cleaned[4, 8, 8] == 3
    assert cleaned[4, 18, 18] == 0


def a_chest(gap: int = 6) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Body, two lungs `gap` pixels apart, a trachea from the top; 2 mm pixels, 4 mm slices."""
    hu = np.full((60, 160, 160), -1000, np.int16)
    z, y, x = np.mgrid[:60, :160, :160]
    hu[((y - 80) / 60.0) ** 2 + ((x - 80) / 75.0) ** 2 < 1] = 40
    for side in (-1, 1):
        centre = 80 + side * (28 + gap / 2)
        hu[(((y - 80) / 40.0) ** 2 + ((x - centre) / 27.0) ** 2 + ((z - 25) / 22.0) ** 2 < 1)] = -850
    hu[(np.hypot(y - 60, x - 80) < 4) & (z >= 50)] = -990
    return hu, (4.0, 2.0, 2.0)


def test_rules_find_both_lungs_on_their_sides_and_the_trachea(rules) -> None:
    hu, spacing = a_chest()
    labels = rules.segment(hu, spacing)
    assert labels[25, 80, 110] == 1  # columns run toward Left
    assert labels[25, 80, 50] == 2
    assert labels[55, 60, 80] == 3
    lung_ml = float((hu == -850).sum()) * 16 / 1000
    assert float(np.isin(labels, (1, 2)).sum()) * 16 / 1000 == pytest.approx(lung_ml, rel=0.03)


def test_rules_split_lungs_that_touch(rules) -> None:
    hu, spacing = a_chest(gap=-2)
    labels = rules.segment(hu, spacing)
    left, right = (float((labels == side).sum()) for side in (1, 2))
    assert left == pytest.approx(right, rel=0.1)
    assert np.nonzero(labels == 1)[2].mean() > 85 > 75 > np.nonzero(labels == 2)[2].mean()


def test_lung_density_counts_lung_and_not_the_room(rules) -> None:
    hu, _spacing = a_chest()
    assert rules.lung_density_ml(hu, 16.0) == pytest.approx(float((hu == -850).sum()) * 16 / 1000, rel=1e-6)
    assert rules.lung_density_ml(np.where(hu == -850, 40, hu), 16.0) == 0.0


@pytest.mark.export
def test_mirroring_swaps_the_meaning_of_left_and_right(model_script) -> None:
    import torch

    augment = model_script(FOLDER, "augment")
    image, labels = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1, 2, 3]])
    mirrored, swapped = augment._mirrored(image, labels)
    assert mirrored.tolist() == [[3.0, 2.0, 1.0]]
    assert swapped.tolist() == [[3, 1, 2]]


@pytest.mark.export
def test_training_batches_are_repeatable_and_hold_no_helper_label(model_script) -> None:
    import torch

    augment = model_script(FOLDER, "augment")
    hu, (slice_mm, row_mm, column_mm) = a_chest()
    labels = np.where(hu == -850, 1, 0).astype(np.uint8)
    source = augment.Source(
        torch.from_numpy(hu), torch.from_numpy(augment.mark_outside(hu, labels)), row_mm, column_mm, slice_mm, 0.8
    )
    images, truth = augment.SliceSampler([source], 0.2, 5).draw(12)
    again, _ = augment.SliceSampler([source], 0.2, 5).draw(12)
    assert torch.equal(images, again)
    assert images.shape == (12, 1, 192, 192)
    assert set(truth.unique().tolist()) <= {0, 1, 2, 3}
    assert truth.any()
