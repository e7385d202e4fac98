from __future__ import annotations

import numpy as np
import pytest

from worker.drawing.voi_window import BONE_WINDOW, LUNG_WINDOW, SOFT_WINDOW, default_window, windowed


def test_the_ends_of_a_window_are_black_and_white() -> None:
    values = np.array([[-200.0, -160.0, 40.0, 240.0, 1000.0]], np.float32)
    assert windowed(values, low=-160.0, high=240.0).tolist() == [[0, 0, 128, 255, 255]]


def test_what_is_no_number_is_black_and_infinite_is_an_end() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, 3e38, -3e38]], np.float32)
    assert windowed(values, low=0.0, high=1.0).tolist() == [[0, 255, 0, 255, 0]]


@pytest.mark.parametrize("high", [5.0, 4.0])
def test_a_window_without_width_is_a_threshold(high) -> None:
    assert windowed(np.array([[4.0, 5.0, 6.0]], np.float32), low=5.0, high=high).tolist() == [[0, 0, 255]]


def test_ct_is_looked_at_by_tissue() -> None:
    body = np.full((4, 50, 50), 40.0, np.float32)
    air, bone = np.full(900, -800.0, np.float32), np.full(900, 600.0, np.float32)
    assert default_window(body, "CT") == SOFT_WINDOW
    assert default_window(body, "CT", of_interest=air) == LUNG_WINDOW
    assert default_window(body, "CT", of_interest=bone) == BONE_WINDOW
    assert default_window(body, "CT", of_interest=np.empty(0, np.float32)) == SOFT_WINDOW


def test_others_are_looked_at_by_percentiles() -> None:
    ramp = np.linspace(0.0, 1000.0, 10_000, dtype=np.float32).reshape(100, 100)
    low, high = default_window(ramp, "MR")
    assert low == pytest.approx(10.0, abs=1.0)
    assert high == pytest.approx(995.0, abs=1.0)
    ramp[0, 0] = 1e9  # one hot pixel
    assert default_window(ramp, "CR")[1] < 1001.0


@pytest.mark.parametrize("values", [np.full((3, 3), 7.0), np.full((3, 3), np.nan), np.empty((0, 3))])
def test_images_without_contrast_have_a_window(values) -> None:
    low, high = default_window(values.astype(np.float32), "MR")
    assert low < high
    assert np.isfinite([low, high]).all()


def test_a_mostly_black_image_is_not_all_white() -> None:
    values = np.zeros((200, 200), np.float32)
    values[0, :20] = np.linspace(1, 100, 20)  # less than the percentile sees
    assert default_window(values, "CR") == (0.0, 100.0)
