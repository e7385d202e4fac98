"""Several images at one position: repeats are used once, anything else is refused by what tells the images apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from worker.decode.outcomes import VolumeError
from worker.decode.planes.geometry import SAME_POSITION_MM, Axes, groups_of_position
from worker.decode.planes.plane_attributes import (
    ADMINISTRATIVE,
    INCOMPARABLE,
    OTHER_TIMES,
    TIMES,
    are_alike,
    settings_of,
)
from worker.decode.planes.planes import Plane

SamePixels = Callable[[Plane, Plane], bool]
"""Tells whether two planes hold the same modality values."""

NAMED_ATTRIBUTES = 3
"""How many differing attributes a message names."""

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
            group
            for group in repeated
            if not all(
                are_alike(planes[group[0]].marks, planes[other].marks) and same_pixels(planes[group[0]], planes[other])
                for other in group[1:]
            )
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
    """The attribute that has another setting for every image of each group, or those that differ in each group.

    What an image is goes before when it was made, and a mere number (Instance Number) tells nothing.
    """
    settings = {name: _settings_in(groups, planes, name) for name in ("StackID", *INCOMPARABLE, *ADMINISTRATIVE)}
    times = {name: _settings_in(groups, planes, name) for name in (*TIMES, *OTHER_TIMES)}
    kinds = [name for name in settings if name not in ADMINISTRATIVE]
    differing = [name for name in kinds if all(len(set(group)) > 1 for group in settings[name])]
    for name in (*kinds, *ADMINISTRATIVE, *times):
        if name in ADMINISTRATIVE and differing:
            break
        if all(_all_different(group) for group in (settings.get(name) or times[name])):
            return name
    sometimes = [name for name in kinds if any(len(set(group)) > 1 for group in settings[name])]
    return ", ".join((differing or sometimes)[:NAMED_ATTRIBUTES])


def _settings_in(groups: list[list[int]], planes: Sequence[Plane], name: str) -> list[list[int]]:
    return [settings_of(name, [planes[index].marks.get(name, ()) for index in group]) for group in groups]


def _all_different(settings: list[int]) -> bool:
    return len(set(settings)) == len(settings) and -1 not in settings


def positions_of(planes: Sequence[Plane]) -> NDArray[np.float64]:
    """Image Position (Patient) of each plane: shape (plane, 3), LPS in mm."""
    return np.array([plane.position for plane in planes], dtype=np.float64)


def named(values: Sequence[float]) -> str:
    """The first few of a list of millimetres."""
    text = ", ".join(f"{value:.1f}" for value in values[:NAMED_AT_MOST])
    return f"{text}, ..." if len(values) > NAMED_AT_MOST else text
