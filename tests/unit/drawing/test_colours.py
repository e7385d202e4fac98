from __future__ import annotations

import highdicom
import numpy as np
import pytest

from worker.drawing.colours import coloured, rgb_of_cielab, shares


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB (..., 3)."""
    linear = rgb / 255.0
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)


def test_equal_steps_of_the_number_are_equal_steps_of_lightness() -> None:
    steps = np.diff(lightness(coloured(np.linspace(0, 1, 21, dtype=np.float32))))
    assert (steps > 0).all()
    assert steps.max() / np.median(steps) < 1.6
    assert steps.min() / np.median(steps) > 0.4


def test_values_are_placed_in_their_range() -> None:
    values = np.array([-5.0, 0.0, 5.0, 10.0, 20.0, np.nan, np.inf], np.float32)
    assert shares(values, (0.0, 10.0)).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0, 0.0, 1.0]
    assert np.isfinite(shares(values, (3.0, 3.0))).all()


@pytest.mark.parametrize(
    "rgb", [(0, 160, 255), (255, 0, 0), (255, 255, 255), (0, 0, 0), (13, 200, 77), (240, 230, 120)]
)
def test_colours_of_segments_come_back(rgb) -> None:
    written = highdicom.color.CIELabColor.from_rgb(*rgb).value
    assert np.abs(np.array(rgb_of_cielab(written)) - rgb).max() <= 1


def test_colours_that_no_screen_shows_are_brought_to_the_edge() -> None:
    assert all(0 <= v <= 255 for v in rgb_of_cielab((65535, 65535, 0)))
