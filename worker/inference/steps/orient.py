"""Steps that turn the axes of a volume towards the patient."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from worker.domain.volume import Geometry
from worker.inference.entries.strict import Strict
from worker.inference.image import Image, index_map, regrid, shape_of
from worker.inference.steps.sampling import Interpolation, sample_filled

_DIRECTIONS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
"""Letter to patient axis (L, P, S = 0, 1, 2) and sign."""


def _axes(letters: str) -> str:
    if len(letters) != 3 or sorted(_DIRECTIONS[x][0] if x in _DIRECTIONS else 9 for x in letters) != [0, 1, 2]:
        raise ValueError('expected three letters, one of each pair L/R, P/A and S/I, such as "SPL" or "RAS"')
    return letters


AxisLetters = Annotated[str, AfterValidator(_axes)]
"""Towards what each array axis runs: "SPL" = axial slices upwards, rows to the back, columns to the left."""


def closest_axes(geometry: Geometry) -> str:
    """Three letters that say towards what each array axis runs, by the closest assignment (each pair once)."""
    letters = ""
    for axis, sign in _closest(geometry):
        letters += next(letter for letter, direction in _DIRECTIONS.items() if direction == (axis, sign))
    return letters


def _closest(geometry: Geometry) -> list[tuple[int, int]]:
    """For each array axis the patient axis (0 L, 1 P, 2 S) it runs along and its sign; largest cosines first."""
    steps = geometry.affine_lps[:3, :3]
    cosines = steps / np.linalg.norm(steps, axis=0)
    found: dict[int, tuple[int, int]] = {}
    taken: set[int] = set()
    for flat in np.argsort(-np.abs(cosines), axis=None, kind="stable"):
        patient, array = divmod(int(flat), 3)
        if array not in found and patient not in taken:
            found[array] = (patient, 1 if cosines[patient, array] > 0 else -1)
            taken.add(patient)
    return [found[array] for array in range(3)]


def reorient(image: Image, *, axes: str) -> Image:
    """Permute and flip the array axes so that they run towards ``axes`` as closely as can be.

    No value is changed and nothing is interpolated; an oblique or sheared grid stays oblique or sheared.

    Parameters
    ----------
    image:
        Values (channel, a, b, c).
    axes:
        Three letters, one for each array axis of the result.
    """
    now = _closest(image.geometry)
    wanted = [_DIRECTIONS[letter] for letter in axes]
    shape = shape_of(image.values)
    source_of = [[axis for axis, _ in now].index(patient) for patient, _ in wanted]
    step: NDArray[np.float64] = np.zeros((4, 4))
    step[3, 3] = 1.0
    values = image.values.transpose(0, *(1 + source for source in source_of))
    for target, source in enumerate(source_of):
        if now[source][1] == wanted[target][1]:
            step[source, target] = 1.0
        else:
            step[source, target] = -1.0
            step[source, 3] = shape[source] - 1
            values = np.flip(values, axis=target + 1)
    geometry = regrid(image.geometry, shape=shape_of(values), step=step)
    return image.on_grid(values, geometry)


def rectify(image: Image, *, axes: str, interpolation: Interpolation, outside: float) -> Image:
    """Resample onto the upright grid (axes exactly along the patient's) that holds the whole image.

    The spacing is that of the source's closest axes. Values outside the source are ``outside``. A grid that is
    upright already is only reoriented.
    """
    turned = reorient(image, axes=axes)
    source = turned.geometry
    steps = source.affine_lps[:3, :3]
    upright = np.zeros((3, 3))
    for array, (patient, sign) in enumerate(_closest(source)):
        # Spacing across the planes: for a sheared stack the distance of planes, not the length of the slanted step.
        upright[patient, array] = (
            sign * abs(steps[patient, array]) if _sheared(steps) else sign * source.spacing_mm[array]
        )
    if np.allclose(upright, steps, atol=1e-6 * float(np.abs(steps).max())):
        return turned
    size = np.asarray(source.shape, dtype=np.float64)
    corners = np.array(np.meshgrid(*((-0.5, n - 0.5) for n in size), indexing="ij")).reshape(3, -1)
    placed = np.linalg.inv(upright) @ (steps @ corners + source.affine_lps[:3, 3:4])
    low, high = placed.min(axis=1), placed.max(axis=1)
    shape = tuple(int(n) for n in np.maximum(np.ceil(high - low - 1e-6), 1))
    affine = np.eye(4)
    affine[:3, :3] = upright
    affine[:3, 3] = upright @ ((low + high) / 2 - (np.asarray(shape) - 1) / 2)
    grid = Geometry(shape=(shape[0], shape[1], shape[2]), affine_lps=affine)
    matrix = index_map(of=grid, into=source)
    values = sample_filled(turned.values, matrix, grid.shape, interpolation=interpolation, outside=outside)
    return image.on_grid(values, grid)


def _sheared(steps: NDArray[np.float64]) -> bool:
    unit = steps / np.linalg.norm(steps, axis=0)
    return not np.allclose(unit.T @ unit, np.eye(3), atol=1e-4)


class Reorient(Strict):
    """Permute and flip axes; nothing is interpolated."""

    step: Literal["reorient"]
    axes: AxisLetters

    def apply(self, image: Image) -> Image:
        """The image after this step; see ``reorient``."""
        return reorient(image, axes=self.axes)


class Rectify(Strict):
    """Resample an oblique or sheared volume onto the patient's own axes."""

    step: Literal["rectify"]
    axes: AxisLetters
    interpolation: Interpolation = "linear"
    outside: float

    def apply(self, image: Image) -> Image:
        """The image after this step; see ``rectify``."""
        return rectify(image, axes=self.axes, interpolation=self.interpolation, outside=self.outside)
