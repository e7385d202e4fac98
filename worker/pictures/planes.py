"""Planes of a volume as a reader holds them: turned, named, windowed, and which of them to look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.domain.volume import Geometry, Volume
from worker.drawing.orientation import AS_STORED, Turn
from worker.drawing.voi_window import default_window
from worker.pictures.scene import Scene

STORED_AXES = (1, 2)
"""Down and to the right in a stored plane: the row index and the column index."""

_AXIS_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))
"""For each LPS axis: towards smaller and towards larger coordinates."""

_NAMES = ("sagittal", "coronal", "axial")
_WITHIN_20_DEGREES = 0.94


@dataclass(frozen=True, slots=True)
class View:
    """How a plane is to be looked at.

    ``turn`` brings it to the usual presentation (axial: patient's right on the left, front up; sagittal and coronal:
    head up). ``letters`` are at the left, right, top and bottom edge, all empty outside of patient space.
    ``pixel_mm`` is (down, to the right) before turning. ``name`` is that of the nearest plane of the body, empty
    outside of patient space; ``is_oblique`` when it is more than 20 degrees off.
    """

    turn: Turn
    letters: tuple[str, str, str, str]
    pixel_mm: tuple[float, float]
    name: str = ""
    is_oblique: bool = False


def view_of(volume: Volume, axes: tuple[int, int] = STORED_AXES) -> View:
    """Find the usual presentation of planes that run along two of the axes (slice, row, column) of a volume."""
    spacing = volume.geometry.spacing_mm
    if not volume.in_patient_space:
        return View(AS_STORED, ("", "", "", ""), (spacing[axes[0]], spacing[axes[1]]))
    return _patient_view(volume.geometry, axes)


def _patient_view(geometry: Geometry, axes: tuple[int, int]) -> View:
    affine, spacing = geometry.affine_lps, geometry.spacing_mm
    down_mm, right_mm = spacing[axes[0]], spacing[axes[1]]
    down, right = affine[:3, axes[0]] / down_mm, affine[:3, axes[1]] / right_mm
    # Axial: P is down and L is right. Coronal: F is down and L is right. Sagittal: F is down and P is right.
    cross = np.abs(np.cross(right, down))
    normal = int(np.argmax(cross))
    vertical, horizontal = [(2, 1), (2, 0), (1, 0)][normal]
    transpose = bool(abs(down[vertical]) < abs(right[vertical]))
    if transpose:
        down, right = right, down
    towards_head = vertical == 2
    flip_rows = bool((down[vertical] > 0) == towards_head)
    flip_columns = bool(right[horizontal] < 0)
    down, right = (-down if flip_rows else down), (-right if flip_columns else right)
    return View(
        turn=Turn(transpose, flip_rows, flip_columns),
        letters=(_letters(-right), _letters(right), _letters(-down), _letters(down)),
        pixel_mm=(down_mm, right_mm),
        name=_NAMES[normal],
        is_oblique=bool(cross[normal] < _WITHIN_20_DEGREES * np.linalg.norm(cross)),
    )


def _letters(direction: NDArray[np.float64]) -> str:
    """Name a direction by the patient axes that it follows, the strongest first (PS3.3 C.7.6.1.1.1)."""
    order = np.argsort(-np.abs(direction))
    return "".join(_AXIS_LETTERS[axis][int(direction[axis] > 0)] for axis in order if abs(direction[axis]) > 0.3)


def window_of(scene: Scene) -> tuple[float, float]:
    """Lowest and highest value to show, by modality and by what was found."""
    volume = scene.volume
    sample = volume.voxels[:: max(scene.slice_count // 16, 1), ::4, ::4]
    found = []
    for structure in scene.structures[:32]:
        slices = sorted(structure.voxels)
        found += [volume.voxels[k][structure.mask(k)][::4] for k in slices[:: max(len(slices) // 4, 1)]]
    return default_window(sample, volume.modality, of_interest=np.concatenate(found) if found else None)


def chosen_slices(scene: Scene, count: int) -> tuple[int, ...]:
    """Choose up to ``count`` slices: the best one of everything that was found, then some between.

    What was found on few slices comes first: it is what the others would miss.
    """
    total = scene.slice_count
    places: dict[str, list[int]] = {}
    for mark in scene.marks:
        places.setdefault(mark.label, []).append(mark.slice_index)
    # What is outlined on many slices is seen on the middle one.
    best = [sorted(slices)[len(slices) // 2] for slices in places.values()]
    best += scene.key_slices
    best += [
        max(one.voxels, key=lambda k, one=one: (one.voxels[k], -k))  # type: ignore[misc]
        for one in sorted(scene.structures, key=lambda one: len(one.voxels))
        if one.voxels
    ]
    best += [heat.largest for heat in scene.heats]
    chosen = [k for k in dict.fromkeys(best) if 0 <= k < total][:count]
    marked = sorted({k for one in scene.structures for k in one.voxels} | set(chosen))
    if not marked:
        return tuple(sorted({int(k) for k in np.linspace(0, total - 1, min(count, total) + 2)[1:-1].round()}))
    return tuple(sorted(_spread(marked, chosen, count)))


def _spread(marked: list[int], chosen: list[int], count: int) -> Iterable[int]:
    """Add the marked slice that is farthest from those chosen already, until there are enough."""
    places = np.array(marked)
    chosen = list(chosen)
    while len(chosen) < min(count, len(marked)):
        away = np.abs(places[:, None] - np.array([marked[0] - 1, marked[-1] + 1, *chosen])[None]).min(axis=1)
        chosen.append(int(places[int(np.argmax(away))]))
    return chosen
