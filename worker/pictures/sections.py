"""Planes across the slices, and projections through all of them: cut slice by slice, whatever the size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.domain.volume import Volume
from worker.pictures.planes import STORED_AXES, view_of
from worker.pictures.scene import Scene, Structure

_AXES = {0: STORED_AXES, 1: (0, 2), 2: (0, 1)}
"""For each axis that a plane stands on: the axes that run down and to the right in it."""

_SOFT_HU = (-1000.0, 300.0)
"""What a projection of a CT is made of: bones are cut down to it, or they would hide everything."""


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A plane (row, column) that stands on ``axis``, with the masks of the structures that it meets.

    ``number`` is its index along that axis, and ``at`` where the other two planes cross it, as (row, column); both are
    None in a projection.
    """

    axis: int
    number: int | None
    plane: NDArray[np.float32]
    masks: tuple[tuple[Structure, NDArray[np.bool_]], ...]
    at: tuple[int, int] | None

    @property
    def axes(self) -> tuple[int, int]:
        """The axes of the volume that run down and to the right."""
        return _AXES[self.axis]


def place_of_interest(scene: Scene) -> tuple[int, int, int]:
    """The voxel (slice, row, column) through which planes are cut: in the middle of the largest thing found."""
    shape = scene.volume.geometry.shape
    largest = max(scene.structures, key=lambda one: sum(one.voxels.values()), default=None)
    if largest is not None and largest.voxels:
        # The slice that halves it: its largest one may lie at an end.
        slices = sorted(largest.voxels)
        halves = np.cumsum([largest.voxels[k] for k in slices])
        k = slices[int(np.searchsorted(halves, halves[-1] / 2))]
        rows, columns = np.nonzero(largest.mask(k))
        middle = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
        return k, int(rows[middle]), int(columns[middle])
    slices_of_note = [*(mark.slice_index for mark in scene.marks), *(heat.largest for heat in scene.heats)]
    return (slices_of_note or [shape[0] // 2])[0], shape[1] // 2, shape[2] // 2


def sections_at(scene: Scene, place: tuple[int, int, int]) -> tuple[Section, ...]:
    """The three planes through a voxel: along the slices, then across rows and columns."""
    k, row, column = place
    voxels = scene.volume.voxels
    cuts: tuple[list[tuple[Structure, NDArray[np.bool_]]], ...] = ([], [], [])
    for one in scene.structures:
        along_rows = np.zeros((voxels.shape[0], voxels.shape[2]), dtype=np.bool_)
        along_columns = np.zeros((voxels.shape[0], voxels.shape[1]), dtype=np.bool_)
        for n in one.voxels:
            mask = one.mask(n)
            along_rows[n], along_columns[n] = mask[row], mask[:, column]
            if n == k:
                cuts[0].append((one, mask))
        cuts[1].append((one, along_rows))
        cuts[2].append((one, along_columns))
    return (
        Section(0, k, voxels[k], tuple(cuts[0]), (row, column)),
        Section(1, row, voxels[:, row], tuple(cuts[1]), (k, column)),
        Section(2, column, voxels[:, :, column], tuple(cuts[2]), (k, row)),
    )


def projections(scene: Scene) -> tuple[Section, ...]:
    """The coronal and the sagittal projection of the whole volume, with the shadows of the structures."""
    volume = scene.volume
    wanted = {
        view_of(volume, axes).name.removeprefix("oblique (").removesuffix(")"): axis for axis, axes in _AXES.items()
    }
    found = [wanted[name] for name in ("coronal", "sagittal") if name in wanted]
    return tuple(Section(axis, None, _projected(volume, axis), _shadows(scene, axis), None) for axis in found)


def _projected(volume: Volume, axis: int) -> NDArray[np.float32]:
    """Mean of soft tissue in CT, which looks like a radiograph; the maximum elsewhere (MIP)."""
    voxels, ct = volume.voxels, volume.modality == "CT"

    def shown(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        # Not a number (padding) is nothing: it neither shines nor hides.
        return np.clip(np.nan_to_num(plane, nan=_SOFT_HU[0]), *_SOFT_HU) if ct else np.nan_to_num(plane, nan=0.0)

    if axis == 0:
        made: NDArray[np.float32] = shown(voxels[0])
        for plane in voxels[1:]:
            made = made + shown(plane) if ct else np.maximum(made, shown(plane))
        return made
    lines = [shown(plane).mean(axis=axis - 1) if ct else shown(plane).max(axis=axis - 1) for plane in voxels]
    return np.stack(lines).astype(np.float32)


def _shadows(scene: Scene, axis: int) -> tuple[tuple[Structure, NDArray[np.bool_]], ...]:
    shape = scene.volume.voxels.shape
    down, right = _AXES[axis]
    made = []
    for one in scene.structures:
        shadow = np.zeros((shape[down], shape[right]), dtype=np.bool_)
        for k in one.voxels:
            if axis == 0:
                shadow |= one.mask(k)
            else:
                shadow[k] = one.mask(k).any(axis=axis - 1)
        made.append((one, shadow))
    return tuple(made)
