"""Chests with nodules that are known to the voxel: real CTs with synthetic nodules in their lungs.

No package registry has more than three CTs with outlined nodules, and two of them are kept for the test. So nodules are
drawn: blobs with lobes, spicules and soft edges, of the density and size of solid and part-solid nodules, set into
real lung between real vessels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ct import rules
from ct.samples import chest_case, empty_case, load_ct, nodule_mask
from numpy.typing import NDArray
from pieces import largest_piece
from scipy import ndimage
from torch import Tensor

SPACING_MM = (2.5, 2.0, 2.0)
CHANNELS = 5
"""Slices that the net sees at once: a vessel goes on through them, a nodule does not."""
CROP = 64

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Scan:
    """HU, lung and real nodules on a grid of ``SPACING_MM``, [slice, row, column]; slices toward the Head."""

    name: str
    hu: Values
    lung: Mask
    nodule: Mask


def training_scans(cache: Path) -> Iterator[Scan]:
    """Two chests, one of them with a real nodule (from its labels: solid tissue within the lung), and a head."""
    case = chest_case(cache)
    assert case.labels is not None
    lung = np.isin(case.labels, (1, 2))
    yield _scan("chest-ct", case.grid.values, lung, _solid(case.grid.values, lung, case.grid.spacing_mm), case.grid)
    ct = load_ct("chest-ct-angio", cache)
    yield _scan("chest-ct-angio", ct.values, _lung(ct), np.zeros(ct.values.shape, bool), ct)
    head = empty_case("head-ct-4mm", cache)
    yield _scan("head-ct-4mm", head.grid.values, head.labels > 0, head.labels > 0, head.grid)


def test_scans(cache: Path) -> Iterator[Scan]:
    """Two chests that were never trained on, with nodules as experts outlined them."""
    for name in ("chest-ct-lung1", "chest-ct-lung2"):
        ct = load_ct(name, cache)
        outlined = nodule_mask(name, cache)
        assert outlined is not None
        yield _scan(name, ct.values, _lung(ct) | outlined, outlined, ct)


def _lung(ct) -> Mask:  # type: ignore[no-untyped-def]
    labels = rules.segment(ct.values, ct.spacing_mm)
    mask: Mask = np.isin(labels, (1, 2))
    return mask


def _solid(hu: NDArray[np.int16], lung: Mask, spacing_mm: tuple[float, float, float]) -> Mask:
    """The largest solid body inside the labelled lung: the nodule of this case; vessels are opened away."""
    radius = [max(1, round(4 / mm)) for mm in spacing_mm]
    ball = np.ones([2 * r + 1 for r in radius], bool)
    core = largest_piece(ndimage.binary_opening((hu > -150) & lung, ball))
    solid = ndimage.binary_opening((hu > -300) & lung, iterations=1)
    grown: Mask = ndimage.binary_dilation(core, iterations=12, mask=solid)
    return grown


def _scan(name: str, hu, lung: Mask, nodule: Mask, grid) -> Scan:  # type: ignore[no-untyped-def]
    zoom = [mm / wanted for mm, wanted in zip(grid.spacing_mm, SPACING_MM, strict=True)]
    values = ndimage.zoom(hu.astype(np.float32), zoom, order=1)
    masks = [ndimage.zoom(mask.astype(np.uint8), zoom, order=0) > 0 for mask in (lung, nodule)]
    return Scan(name, values, *masks)


class NoduleSampler:
    """Draws training crops from scans."""

    def __init__(self, scans: list[Scan], seed: int) -> None:
        self._scans = scans
        self._random = np.random.default_rng(seed)
        self._lungs = [np.argwhere(_deep(scan.lung & ~scan.nodule)) for scan in scans]

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Crops [n, CHANNELS, CROP, CROP] in HU, and targets [n, CROP, CROP] of 0 to 1: how much a nodule's middle."""
        made = [self._one() for _ in range(count)]
        images = torch.from_numpy(np.stack([image for image, _ in made]))
        targets = torch.from_numpy(np.stack([target for _, target in made]))
        return images, targets

    def _one(self) -> tuple[Values, Values]:
        random = self._random
        number = int(random.choice(len(self._scans), p=self._weights()))
        scan, inside = self._scans[number], self._lungs[number]
        reach = CHANNELS // 2
        if len(inside) and random.random() < 0.7:
            middle = inside[random.integers(len(inside))]
        else:
            middle = np.array([random.integers(0, n) for n in scan.hu.shape])
        shift = random.integers(-20, 21, 2)
        z = int(np.clip(middle[0], reach, scan.hu.shape[0] - reach - 1))
        row, column = int(middle[1] + shift[0]), int(middle[2] + shift[1])
        # Wide enough in z that a drawn nodule may begin outside of what is seen.
        depth = 9
        block = _cut(scan.hu, z, row, column, depth, -1024.0)
        lung = _cut(scan.lung, z, row, column, depth, 0).astype(bool)
        real = _cut(scan.nodule, z, row, column, depth, 0).astype(bool)
        target = _heat(real)
        if lung.sum() > 300:
            for _ in range(int(random.choice([0, 0, 1, 2, 3]))):
                block, target = self._grow(block, lung & ~real, target)
        if random.random() < 0.5:  # slices of 5 mm, read at 2.5 mm: the half of all chest CTs
            block = ndimage.gaussian_filter1d(block, random.uniform(0.5, 1.2), axis=0)
        image = block[depth - reach : depth + reach + 1].copy()
        image += random.normal(0, random.uniform(0, 25), image.shape).astype(np.float32)
        image = image * random.uniform(0.95, 1.05) + random.uniform(-30, 30)
        flat = target[depth]
        if random.random() < 0.5:
            image, flat = image[:, :, ::-1], flat[:, ::-1]
        if random.random() < 0.5:
            image = image[::-1]
        if random.random() < 0.3:
            image, flat = image[:, ::-1], flat[::-1]
        return np.ascontiguousarray(image, np.float32), np.ascontiguousarray(flat, np.float32)

    def _weights(self) -> list[float]:
        weights = [0.12 if not len(inside) else 1.0 for inside in self._lungs]
        total = sum(weights)
        return [w / total for w in weights]

    def _grow(self, block: Values, lung: Mask, target: Values) -> tuple[Values, Values]:
        """Set a nodule somewhere into the lung of the block."""
        random = self._random
        places = np.argwhere(lung)
        # Mostly where it is seen: near the middle slice.
        near = places[np.abs(places[:, 0] - block.shape[0] // 2) <= 2]
        if not len(near):
            return block, target
        middle = near[random.integers(len(near))]
        diameter_mm = float(np.exp(random.uniform(np.log(7.0), np.log(40.0))))
        grown, nodule = self.set_in(block, lung, middle, diameter_mm)
        return grown, np.maximum(target, _heat(nodule))

    def set_in(self, block: Values, lung: Mask, middle: NDArray[np.int64], diameter_mm: float) -> tuple[Values, Mask]:
        """The block with a nodule around ``middle``, and the nodule's voxels."""
        random = self._random
        profile = self._profile(block.shape, middle, diameter_mm)
        density = random.uniform(-100, 80) if random.random() < 0.8 else random.uniform(-550, -250)
        texture = ndimage.gaussian_filter(random.normal(0, 60, block.shape), 1.0)
        tissue = (density + texture).astype(np.float32)
        # A nodule displaces air, not vessels or the chest wall.
        grown = np.where(block < tissue, block * (1 - profile) + tissue * profile, block)
        weight = profile * (lung | (block < -300))
        return grown.astype(np.float32), weight > 0.5

    def _profile(self, shape: tuple[int, ...], middle: NDArray[np.int64], diameter_mm: float) -> Values:
        random = self._random
        z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
        dz, dy, dx = ((a - m) * mm for a, m, mm in zip((z, y, x), middle, SPACING_MM, strict=True))
        stretch = random.uniform(0.75, 1.3, 3)
        distance = np.sqrt((dz * stretch[0]) ** 2 + (dy * stretch[1]) ** 2 + (dx * stretch[2]) ** 2)
        angle, tilt = np.arctan2(dy, dx), np.arctan2(dz, np.hypot(dx, dy))
        lobes = sum(
            random.uniform(0, 0.14) * np.cos(k * angle + random.uniform(0, 6.3)) * np.cos(tilt) for k in range(2, 6)
        )
        radius = diameter_mm / 2 * (1 + lobes)
        softness = random.uniform(0.8, 2.2)
        profile: Values = (1 / (1 + np.exp(np.clip((distance - radius) / softness * 2, -30, 30)))).astype(np.float32)
        return profile


def planted(scan: Scan, count: int, seed: int) -> tuple[Values, list[tuple[float, Mask]]]:
    """The scan with ``count`` synthetic nodules far from each other, and of each its diameter in mm and its voxels."""
    grower, random = NoduleSampler([scan], seed), np.random.default_rng(seed + 1)
    hu, made = scan.hu.copy(), list[tuple[float, Mask]]()
    taken: list[NDArray[np.int64]] = list(np.argwhere(scan.nodule)[:1])
    places = np.argwhere(_deep(scan.lung & ~scan.nodule))
    depth, half = 9, CROP // 2
    inside = (places[:, 0] > depth) & (places[:, 0] < scan.hu.shape[0] - depth - 1)
    for axis in (1, 2):
        inside &= (places[:, axis] > half) & (places[:, axis] < scan.hu.shape[axis] - half - 1)
    for at in random.permutation(places[inside]):
        if len(made) == count:
            break
        if any(np.linalg.norm((at - other) * SPACING_MM) < 60 for other in taken):
            continue
        taken.append(at)
        box = tuple(slice(m - r, m + r) for m, r in zip(at, (depth, half, half), strict=True))
        middle = np.array([depth, half, half])
        diameter_mm = float(np.exp(random.uniform(np.log(8.0), np.log(40.0))))
        hu[box], nodule = grower.set_in(hu[box], scan.lung[box], middle, diameter_mm)
        whole = np.zeros(hu.shape, bool)
        whole[box] = nodule
        made.append((diameter_mm, whole))
    return hu, made


def _deep(lung: Mask) -> Mask:
    eroded: Mask = ndimage.binary_erosion(lung, iterations=2)
    return eroded


def _cut(values, z: int, row: int, column: int, depth: int, outside: float) -> NDArray:  # type: ignore[no-untyped-def]
    """A block of 2 * depth + 1 slices around a voxel, filled where it leaves the scan."""
    half = CROP // 2
    starts, sizes = (z - depth, row - half, column - half), (2 * depth + 1, CROP, CROP)
    result = np.full(sizes, outside, values.dtype)
    source, goal = [], []
    for start, size, n in zip(starts, sizes, values.shape, strict=True):
        low, high = max(start, 0), min(start + size, n)
        if low >= high:
            return result
        source.append(slice(low, high))
        goal.append(slice(low - start, high - start))
    result[tuple(goal)] = values[tuple(source)]
    return result


def _heat(nodule: Mask) -> Values:
    """1 in the middle of each nodule, falling toward its edge: distance to the edge over the largest distance."""
    result = np.zeros(nodule.shape, np.float32)
    pieces, count = ndimage.label(nodule)
    if not count:
        return result
    inside = ndimage.distance_transform_edt(nodule, sampling=SPACING_MM)
    largest = ndimage.maximum(inside, pieces, np.arange(count + 1))
    heat: Values = np.where(pieces > 0, np.sqrt(inside / np.maximum(largest[pieces], 1e-3)), 0).astype(np.float32)
    return heat
