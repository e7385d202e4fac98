"""Lungs and trachea by rule, without any learning: the independent reference for cases without labels.

Aerated lung is darker than -320 HU and enclosed by the body; the trachea is a pipe of air that is grown
from the top until it would leak. The rules fail where lung is not aerated (consolidation, masses) and
cannot follow the airways into the lung: agreement with them is evidence, not accuracy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pieces import largest_piece
from scipy import ndimage

Mask = NDArray[np.bool_]
HU = NDArray[np.int16]
LEFT, RIGHT, AIRWAY = 1, 2, 3


def body_mask(hu: HU) -> Mask:
    """Per slice: the largest piece denser than -300 HU with everything it encloses."""
    result = np.zeros(hu.shape, bool)
    for index, plane in enumerate(hu):
        dense = ndimage.binary_opening(plane > -300, iterations=2)
        result[index] = ndimage.binary_fill_holes(largest_piece(dense))
    return result


def lung_density_ml(hu: HU, voxel_mm3: float) -> float:
    """Volume of -950 to -500 HU inside the body: what aerated lung is made of, and hardly anything else."""
    return float(((hu >= -950) & (hu <= -500) & body_mask(hu)).sum() * voxel_mm3 / 1000)


def segment(hu: HU, spacing_mm: tuple[float, float, float]) -> NDArray[np.uint8]:
    """Labels 0-3 of shape (slice, row, column) by rule; slices toward the Head, columns toward Left."""
    voxel_mm3 = float(np.prod(spacing_mm))
    body = body_mask(hu)
    airway = _airway(hu, body, spacing_mm)
    air = body & (hu < -320) & ~ndimage.binary_dilation(airway, iterations=2)
    labels = np.zeros(hu.shape, np.uint8)
    labels[airway] = AIRWAY
    for side, lung in _sides(_lungs(air, voxel_mm3)).items():
        labels[_vessels_filled(lung, spacing_mm[1]) & ~airway] = side
    return labels


def _airway(hu: HU, body: Mask, spacing_mm: tuple[float, float, float]) -> Mask:
    """Grow from a round pipe of air near the midline in the uppermost slices; stop before it leaks."""
    seed = _tracheal_seed(hu, body, spacing_mm)
    empty = np.zeros(hu.shape, bool)
    if seed is None:
        return empty
    voxel_ml, best = float(np.prod(spacing_mm)) / 1000, empty
    for threshold in range(-950, -600, 25):
        pieces, _ = ndimage.label(body & (hu < threshold))
        if pieces[seed] == 0:
            continue
        grown = pieces == pieces[seed]
        volume = grown.sum() * voxel_ml
        if volume > 120 or (best.any() and volume > 2 * best.sum() * voxel_ml and volume > 60):
            break
        best = grown
    return best


def _tracheal_seed(hu: HU, body: Mask, spacing_mm: tuple[float, float, float]) -> tuple[int, int, int] | None:
    pixel_mm2 = spacing_mm[1] * spacing_mm[2]
    for index in range(hu.shape[0] - 1, hu.shape[0] // 2, -1):
        if not body[index].any():
            continue
        middle = ndimage.center_of_mass(body[index])
        pieces, count = ndimage.label(body[index] & (hu[index] < -850))
        for piece in range(1, count + 1):
            inside = pieces == piece
            area = inside.sum() * pixel_mm2
            rows, columns = np.nonzero(inside)
            height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
            away = abs(columns.mean() - middle[1]) * spacing_mm[2]
            round_enough = 0.4 < height / width < 2.5 and inside.sum() / (height * width) > 0.55
            if 60 < area < 700 and away < 40 and round_enough:
                deepest = int(ndimage.distance_transform_edt(inside).argmax())
                row, column = np.unravel_index(deepest, inside.shape)
                return index, int(row), int(column)
    return None


def _lungs(air: Mask, voxel_mm3: float) -> list[Mask]:
    """The pieces of enclosed air above 300 mL, the two largest at most."""
    pieces, count = ndimage.label(ndimage.binary_opening(air))
    if count == 0:
        return []
    volumes = np.bincount(pieces.ravel()) * voxel_mm3 / 1000
    volumes[0] = 0
    kept = [int(piece) for piece in np.argsort(-volumes)[:2] if volumes[piece] > 300]
    return [pieces == piece for piece in kept]


def _sides(lungs: list[Mask]) -> dict[int, Mask]:
    """Which piece is left and which is right; one joined piece is split by erosion first."""
    if len(lungs) == 1:
        lungs = _split(lungs[0])
    if len(lungs) != 2:
        return {}
    first, second = sorted(lungs, key=lambda lung: float(np.nonzero(lung)[2].mean()))
    return {RIGHT: first, LEFT: second}  # columns run toward Left


def _split(joined: Mask) -> list[Mask]:
    cross = ndimage.generate_binary_structure(3, 1)
    cross[0] = cross[2] = False
    core = joined
    for _ in range(12):
        core = ndimage.binary_erosion(core, structure=cross)
        pieces, count = ndimage.label(core)
        if count < 2:
            continue
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        one, two = (int(piece) for piece in np.argsort(-sizes)[:2])
        if sizes[two] > 0.3 * sizes[one]:
            seeds = np.isin(pieces, (one, two))
            nearest = ndimage.distance_transform_edt(~seeds, return_distances=False, return_indices=True)
            owner = pieces[tuple(nearest)]
            return [joined & (owner == one), joined & (owner == two)]
    return [joined]


def _vessels_filled(lung: Mask, pixel_mm: float) -> Mask:
    """Close vessels of up to about 8 mm and fill what is enclosed in each slice."""
    disc = _disc(max(1, round(4.0 / pixel_mm)))
    result = np.zeros_like(lung)
    for index in np.flatnonzero(lung.any(axis=(1, 2))):
        rows, columns = (slice(max(0, int(v.min()) - 20), int(v.max()) + 21) for v in np.nonzero(lung[index]))
        closed = ndimage.binary_closing(np.pad(lung[index, rows, columns], 20), structure=disc)[20:-20, 20:-20]
        result[index, rows, columns] = ndimage.binary_fill_holes(closed)
    return result


def _disc(radius: int) -> Mask:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc: Mask = y * y + x * x <= radius * radius
    return disc
