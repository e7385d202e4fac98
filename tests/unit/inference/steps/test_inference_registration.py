"""Rigid registration: a known shift and turn come back, the same every time, and what fails is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.unit.inference.tiny_models import a_volume
from tests.unit.inference.two_inputs import SHAPE, SPACING_MM, grid, seen, two_input_package
from worker.domain.errors import NotApplicableError
from worker.domain.study import FrameOfReferenceUID
from worker.domain.volume import Volume
from worker.inference.packages.registry import Registry
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.session import SessionCache, SessionSettings
from worker.inference.steps.registration import register_rigidly

pytestmark = pytest.mark.slow

T1 = a_volume(seen(grid(), SHAPE, sequence="t1"), affine=grid(), modality="MR")
INSIDE_HEAD_MM = np.array([[0, 0, 0], [25, 0, 0], [-25, 0, 0], [0, 32, 0], [0, -32, 0], [0, 0, 26], [0, 0, -26]])
HALF_A_VOXEL_MM = min(SPACING_MM) / 2


def moved_by(turns_degrees: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """4x4: from the coordinates of the head to those of a scanner in which it lies turned and shifted."""
    matrix = np.eye(4)
    for axis, angle in enumerate(np.radians(turns_degrees)):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(4)
        turn[[one, two], [one, two]] = np.cos(angle)
        turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    matrix[:3, 3] = shift_mm
    return matrix


def t2_elsewhere(moved: NDArray[np.float64]) -> Volume:
    """The other sequence, on another grid, of a head that lies elsewhere."""
    shift = moved[:3, 3]
    affine = grid((3.0, 2.5, 2.0), (-50.0 + shift[0], -55.0 + shift[1], -45.0 + shift[2]))
    voxels = seen(affine, (30, 44, 50), sequence="t2", to_patient=np.linalg.inv(moved))
    noise = np.random.default_rng(3).normal(0.0, 8.0, voxels.shape).astype(np.float32)
    return replace(
        a_volume(voxels + noise, affine=affine, modality="MR"), frame_of_reference_uid=FrameOfReferenceUID("2.25.777")
    )


def largest_error_mm(found: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    places = np.c_[INSIDE_HEAD_MM, np.ones(len(INSIDE_HEAD_MM))].T
    return float(np.linalg.norm(((found - true) @ places)[:3], axis=0).max())


angles = st.tuples(*[st.floats(-10.0, 10.0)] * 3)
shifts = st.tuples(*[st.floats(-60.0, 60.0)] * 3)


@settings(max_examples=5, deadline=None)
@given(angles, shifts)
def test_a_known_movement_comes_back_within_half_a_voxel(
    turns: tuple[float, float, float], shift: tuple[float, float, float]
) -> None:
    moved = moved_by(turns, shift)
    assert largest_error_mm(register_rigidly(T1, t2_elsewhere(moved)).to_input_lps, moved) < HALF_A_VOXEL_MM


def test_the_same_images_give_the_same_bits() -> None:
    other = t2_elsewhere(moved_by((4.0, -3.0, 6.0), (12.0, -7.0, 9.0)))
    first, second = register_rigidly(T1, other), register_rigidly(T1, other)
    assert first.to_input_lps.tobytes() == second.to_input_lps.tobytes()
    assert (first.information, first.said) == (second.information, second.said)


def test_a_turned_head_is_brought_back_and_the_lesion_found(tmp_path: Path) -> None:
    """Through the predictor: what was done stands in the result, and the mask where the lesion is."""
    registry = Registry([two_input_package(tmp_path, registration="rigid")])
    assert registry.broken == ()
    predictor = PackagePredictor(registry, sessions=SessionCache(SessionSettings(threads=1)))
    other = t2_elsewhere(moved_by((5.0, 4.0, -6.0), (14.0, -10.0, 25.0)))
    conclusion = predictor.predict(registry.packages[0].identity, T1, other)
    segmentation, statement = conclusion.findings
    expected = seen(grid(), SHAPE, sequence="t2") - T1.voxels > 300
    mask = segmentation.labels == 1
    assert 2 * np.count_nonzero(mask & expected) / (mask.sum() + expected.sum()) > 0.9
    assert statement.code == "input-registered"
    assert "rigid registration" in statement.text
    assert conclusion.notes == ()


def test_what_shows_something_else_is_refused_with_the_figures() -> None:
    other = t2_elsewhere(np.eye(4))
    noise = np.random.default_rng(1).normal(300.0, 100.0, other.voxels.shape).astype(np.float32)
    with pytest.raises(NotApplicableError) as caught:
        register_rigidly(T1, replace(other, voxels=noise))
    assert caught.value.code == "registration-failed"
    assert "mutual information" in caught.value.message


def test_a_smooth_nothing_is_no_peak_and_refused() -> None:
    """A ramp fits a ramp nearly everywhere: there is information, and no place where it is."""
    ramp = np.linspace(0.0, 500.0, SHAPE[0], dtype=np.float32)[:, None, None] * np.ones(SHAPE, np.float32)
    one = a_volume(ramp, affine=grid(), modality="MR")
    with pytest.raises(NotApplicableError) as caught:
        register_rigidly(one, replace(one, frame_of_reference_uid=FrameOfReferenceUID("2.25.777")))
    assert caught.value.code == "registration-failed"


def test_a_turn_that_no_patient_makes_is_refused() -> None:
    with pytest.raises(NotApplicableError) as caught:
        register_rigidly(T1, t2_elsewhere(moved_by((0.0, 0.0, 50.0), (0.0, 0.0, 0.0))))
    assert caught.value.code == "registration-failed"
    assert "turn the image by 50 degrees" in caught.value.message
