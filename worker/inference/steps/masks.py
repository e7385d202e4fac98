"""Steps on the label map, on the source's grid. Each returns a new map; structures never overwrite each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
import scipy
from pydantic import Field

from worker.domain.volume import Geometry
from worker.inference.entries.strict import Strict
from worker.inference.image import Mask
from worker.inference.steps.decide import Labels

Connectivity = Literal[6, 18, 26]
_ORDER: dict[int, int] = {6: 1, 18: 2, 26: 3}


def largest_component(mask: Mask, *, connectivity: Connectivity = 26) -> Mask:
    """Only the component with the most voxels of (a, b, c); of equals the first in reading order."""
    components, count = scipy.ndimage.label(
        mask, structure=scipy.ndimage.generate_binary_structure(3, _ORDER[connectivity])
    )
    if count <= 1:
        return mask
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    kept: Mask = components == int(np.argmax(sizes))
    return kept


def fill_holes(mask: Mask, *, in_plane: bool = False) -> Mask:
    """Fill background that is enclosed (6-connected; with ``in_plane`` 4-connected within each plane of axis 0)."""
    structure = scipy.ndimage.generate_binary_structure(3, 1)
    if in_plane:
        structure[0] = structure[2] = False
        # A border plane has no neighbour to be open to, so each plane is judged by itself.
        padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
        outside = scipy.ndimage.binary_propagation(_frame(padded), structure=structure, mask=~padded)
        filled: Mask = ~outside[:, 1:-1, 1:-1]
        return filled
    whole: Mask = scipy.ndimage.binary_fill_holes(mask, structure=structure)
    return whole


def _frame(padded: Mask) -> Mask:
    frame: Mask = np.zeros_like(padded)
    frame[:, [0, -1], :] = True
    frame[:, :, [0, -1]] = True
    return frame


def drop_small(mask: Mask, *, minimum_voxels: float, connectivity: Connectivity = 26) -> Mask:
    """Without the components of fewer than ``minimum_voxels`` voxels."""
    components, count = scipy.ndimage.label(
        mask, structure=scipy.ndimage.generate_binary_structure(3, _ORDER[connectivity])
    )
    if count == 0:
        return mask
    large = np.bincount(components.ravel()) >= minimum_voxels
    large[0] = False
    kept: Mask = large[components]
    return kept


def _boxes(labels: Labels) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Each segment number with the box that holds it: a structure is worked on in its box, not in the volume."""
    for index, box in enumerate(scipy.ndimage.find_objects(labels)):
        if box is not None:
            yield index + 1, box


class LargestComponent(Strict):
    """Of each structure only the largest connected part."""

    step: Literal["largest_component"]
    connectivity: Connectivity = 26

    def apply(self, labels: Labels, geometry: Geometry) -> Labels:
        """Run ``largest_component`` on each segment."""
        del geometry  # voxels are counted, not millilitres: all have one size
        result = labels.copy()
        for number, box in _boxes(labels):
            mask = labels[box] == number
            result[box][mask & ~largest_component(mask, connectivity=self.connectivity)] = 0
        return result


class FillHoles(Strict):
    """Enclosed background becomes part of the structure that encloses it; other structures stay."""

    step: Literal["fill_holes"]
    in_plane: bool = False

    def apply(self, labels: Labels, geometry: Geometry) -> Labels:
        """Run ``fill_holes`` on each segment."""
        del geometry
        result = labels.copy()
        for number, box in _boxes(labels):
            part = result[box]
            part[fill_holes(labels[box] == number, in_plane=self.in_plane) & (part == 0)] = number
        return result


class MinVolume(Strict):
    """Components below a volume are dropped."""

    step: Literal["min_volume"]
    min_ml: Annotated[float, Field(gt=0)]
    connectivity: Connectivity = 26

    def apply(self, labels: Labels, geometry: Geometry) -> Labels:
        """Run ``drop_small`` on each segment."""
        result = labels.copy()
        voxels = self.min_ml * 1000.0 / geometry.voxel_volume_mm3
        for number, box in _boxes(labels):
            mask = labels[box] == number
            result[box][mask & ~drop_small(mask, minimum_voxels=voxels, connectivity=self.connectivity)] = 0
        return result
