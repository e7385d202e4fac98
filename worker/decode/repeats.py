"""Several images at one position: repeats are used once, anything else is refused by what tells the images apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from worker.decode.geometry import SAME_POSITION_MM, Axes, groups_of_position
from worker.decode.outcomes import VolumeError
from worker.decode.planes import TELLS_APART, Plane

SamePixels = Callable[[Plane, Plane], bool]
"""Tells whether two planes hold the same modality values."""

NAMED_AT_MOST = 5
"""How many places, sizes or orientations a message names."""


def one_per_position(
    planes: Sequence[Plane], axes: Axes, series: str, same_pixels: SamePixels, notes: list[str]
) -> list[Plane]:
    """Order planes along the normal, one per position. What was left out is added to ``notes``.

    Raises
    ------
    VolumeError
        ``several-acquisitions`` or ``duplicate-positions``.
    """
    positions = positions_of(planes)
    groups = [
        sorted(group, key=lambda index: (planes[index].ref.sop_instance_uid, planes[index].frame))
        for group in groups_of_position(positions, axes.normal)
    ]
    repeated = [group for group in groups if len(group) > 1]
    if repeated:
        _require_same_place(repeated, planes, positions, series)
        different = [
            group for group in repeated if not all(same_pixels(planes[group[0]], planes[other]) for other in group[1:])
        ]
        if different:
            raise _several_images(different, planes, positions, axes, series)
        extra = sum(len(group) - 1 for group in repeated)
        notes.append(f"{extra} planes repeat others with identical pixels: each position was used once")
    return [planes[group[0]] for group in groups]


def _require_same_place(
    repeated: list[list[int]], planes: Sequence[Plane], positions: NDArray[np.float64], series: str
) -> None:
    """Planes at the same depth that lie side by side are not one volume, whatever their pixels."""
    for group in repeated:
        apart = float(np.linalg.norm(positions[group] - positions[group[0]], axis=1).max())
        if apart > SAME_POSITION_MM * 2:
            raise VolumeError(
                f"Series {series} has planes side by side: instance {planes[group[0]].ref.sop_instance_uid} and "
                f"another at the same depth are {apart:.2f} mm apart; one plane per depth was expected.",
                next_step="Have the stacks sent as separate series.",
                code="several-acquisitions",
            )


def _several_images(
    different: list[list[int]], planes: Sequence[Plane], positions: NDArray[np.float64], axes: Axes, series: str
) -> VolumeError:
    keyword = _what_tells_apart(different, planes)
    most = max(len(group) for group in different)
    if keyword:
        return VolumeError(
            f"Series {series} has up to {most} images at {len(different)} positions, which differ in {keyword}; one "
            "image per position was expected.",
            next_step="Have the acquisitions or reconstructions sent as separate series.",
            code="several-acquisitions",
        )
    depths = [float(positions[group[0]] @ axes.normal) for group in different]
    return VolumeError(
        f"Series {series} has up to {most} different images at the same position, {len(different)} times "
        f"({named(depths)} mm along the slice normal), and no attribute tells them apart; one was expected.",
        next_step="Have the scanner's export checked: two reconstructions may share one series.",
        code="duplicate-positions",
    )


def _what_tells_apart(groups: list[list[int]], planes: Sequence[Plane]) -> str:
    """First attribute that has a different value for every image of each group, except a mere number."""
    for keyword in TELLS_APART:
        if keyword == "InstanceNumber":
            continue
        if all(_all_different([planes[index].marks.get(keyword, ()) for index in group]) for group in groups):
            return keyword
    return ""


def _all_different(values: list[tuple[str, ...]]) -> bool:
    return len(set(values)) == len(values) and () not in values


def positions_of(planes: Sequence[Plane]) -> NDArray[np.float64]:
    """Image Position (Patient) of each plane: shape (plane, 3), LPS in mm."""
    return np.array([plane.position for plane in planes], dtype=np.float64)


def named(values: Sequence[float]) -> str:
    """The first few of a list of millimetres."""
    text = ", ".join(f"{value:.1f}" for value in values[:NAMED_AT_MOST])
    return f"{text}, ..." if len(values) > NAMED_AT_MOST else text
