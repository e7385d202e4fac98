"""How far two runs are apart."""

from __future__ import annotations

import numpy as np

from worker.inference.development.differences import Said, differences


def said(
    labels: list[int],
    numbers: dict[str, tuple[int, ...]],
    *,
    answer: list[list[float]] | None = None,
    **values: float,
) -> Said:
    answers = None if answer is None else np.asarray(answer, np.float32)
    return Said(answers, np.asarray(labels, np.uint8).reshape(1, 1, -1), numbers, values)


def test_structures_are_compared_by_name_not_by_number() -> None:
    one = said([1, 1, 2, 2, 0], {"Left": (1,), "Right": (2,)})
    other = said([0, 0, 1, 0, 1], {"Right": (1,)})
    left, right = differences(one, other).segments
    assert (left.label, left.voxels, left.voxels_different, left.dice) == ("Left", 2, 2, 0.0)
    assert (right.label, right.voxels, right.voxels_different, right.dice) == ("Right", 2, 2, 0.5)
    assert differences(one, other).lowest_dice == 0.0
    assert differences(one, one).lowest_dice == 1.0


def test_a_structure_is_compared_with_what_lies_in_it() -> None:
    numbers = {"Whole": (1, 2), "Core": (2,)}
    whole, core = differences(said([1, 1, 2, 0], numbers), said([1, 2, 2, 0], numbers)).segments
    assert (whole.voxels, whole.voxels_different) == (3, 0)
    assert (core.voxels, core.voxels_different) == (1, 1)


def test_values_that_only_one_says_are_there() -> None:
    found = differences(said([], {}, volume=3.0, count=1.0), said([], {}, volume=2.5)).values
    assert [(one.what, one.reference, one.value) for one in found] == [("volume", 3.0, 2.5), ("count", 1.0, None)]


def test_the_largest_difference_by_channel() -> None:
    one = said([], {}, answer=[[1.0, -5.0], [0.0, 0.0]])
    other = said([], {}, answer=[[1.5, -5.0], [0.0, -0.25]])
    found = differences(one, other)
    assert [(c.channel, c.largest_difference, c.largest_value) for c in found.channels] == [
        (0, 0.5, 5.0),
        (1, 0.25, 0.0),
    ]
    assert found.largest_difference == 0.5
    assert differences(one, said([], {})).largest_difference is None
