"""Axial slices with the region that each shows: from the CTs of the samples, by one rule for all of them.

The rule looks at how much of the body's cross-section is lung. Where that says little (the domes of the diaphragm, the
tips of the lungs) a slice has no label: it is neither trained on nor counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ct import rules
from ct.samples import load_ct
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

HEAD, CHEST, ABDOMEN, OTHER = range(4)
UNCLEAR = -1
TRAINING = ("chest-ct", "chest-ct-angio", "abdomen-ct", "head-ct")
HELD_OUT = ("head-ct-4mm", "chest-ct-lung1", "chest-ct-lung2", "chest-ct-jpeg2000")
HEADS = ("head-ct", "head-ct-4mm")
BASE_MM, BASE = 2.0, 192
NET_MM, NET = 4.0, 96


@dataclass(frozen=True)
class Scan:
    """A CT as slices [slice, 192, 192] in HU, 2 mm apart in the plane, with the region of each, and UNCLEAR."""

    name: str
    hu: Tensor
    regions: NDArray[np.int64]
    slice_mm: float


def scan(name: str, cache: Path) -> Scan:
    """A CT of the samples with its labels."""
    ct = load_ct(name, cache)
    slice_mm, row_mm, column_mm = ct.spacing_mm
    regions = np.full(len(ct.values), HEAD) if name in HEADS else regions_of(ct.values, ct.spacing_mm)
    whole = torch.from_numpy(ct.values.astype(np.float32)).clamp(min=-1024.0)[:, None] + 1024.0
    rows, columns = whole.shape[2:]
    reach = torch.arange(BASE, dtype=torch.float32) * BASE_MM - (BASE - 1) * BASE_MM / 2
    y, x = torch.meshgrid(reach / (row_mm * rows / 2), reach / (column_mm * columns / 2), indexing="ij")
    grid = torch.stack([x, y], dim=-1)
    planes = [functional.grid_sample(one[None], grid[None], align_corners=False) for one in whole]
    return Scan(name, torch.cat(planes)[:, 0] - 1024.0, regions, slice_mm)


def regions_of(hu: NDArray[np.int16], spacing_mm: tuple[float, float, float]) -> NDArray[np.int64]:
    """The region of each slice of a trunk, slices toward the Head: by the share of lung in the cross-section."""
    step = max(1, round(3.0 / spacing_mm[1]))
    coarse = hu[:, ::step, ::step]
    body = rules.body_mask(coarse)
    lung = ((coarse >= -950) & (coarse <= -500) & body).sum(axis=(1, 2)) / np.maximum(1, body.sum(axis=(1, 2)))
    lung = ndimage.median_filter(lung, 3)
    regions = np.full(len(hu), UNCLEAR)
    chest = np.flatnonzero(lung >= 0.1)
    if not len(chest):
        regions[lung < 0.03] = ABDOMEN  # no trunk without lungs reaches the neck in these samples
        return regions
    low, high = int(chest[0]), int(chest[-1])
    regions[low : high + 1] = CHEST
    regions[: max(0, low - round(30.0 / spacing_mm[0]))] = ABDOMEN
    tips = high + 1 + int(np.argmax([*(lung[high + 1 :] < 0.01), True]))
    regions[tips + round(15.0 / spacing_mm[0]) :] = HEAD
    return regions


class SliceSampler:
    """Draws training batches: slices of the training scans as other scanners and patients would show them."""

    def __init__(self, scans: list[Scan], seed: int) -> None:
        self._scans = scans
        self._random = np.random.default_rng(seed)
        self._slices = [[np.flatnonzero(one.regions == region) for one in scans] for region in (HEAD, CHEST, ABDOMEN)]

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Images [count, 1, 96, 96] in HU, and their classes, each class as often."""
        classes = [k % 4 for k in range(count)]
        images = [drawn(self._random) if one == OTHER else self._one(one) for one in classes]
        return torch.stack(images)[:, None], torch.tensor(classes)

    def _one(self, region: int) -> Tensor:
        random = self._random
        # A scan with many slices must not outweigh the others, nor two slices of one make up a half.
        weights = np.sqrt([len(found) for found in self._slices[region]])
        number = int(random.choice(len(weights), p=weights / weights.sum()))
        index = int(random.choice(self._slices[region][number]))
        scan = self._scans[number]
        thick = int(random.integers(0, 3))
        low, high = max(0, index - thick), min(len(scan.hu), index + thick + 1)
        plane = scan.hu[low:high].mean(dim=0) if random.random() < 0.4 else scan.hu[index]
        return disturbed(moved(plane, random), random)


def straight(scan: Scan) -> Tensor:
    """All slices as the package sees them: [slice, 1, 96, 96]."""
    return torch.stack([_placed(plane, torch.eye(2), torch.zeros(2)) for plane in scan.hu])[:, None]


def moved(plane: Tensor, random: np.random.Generator) -> Tensor:
    """Larger or smaller, turned, shifted, mirrored: at 4 mm."""
    size, turn = random.uniform(0.75, 1.3), np.deg2rad(random.uniform(-15, 15))
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / size
    if random.random() < 0.5:
        turned[:, 0] *= -1
    shift = random.uniform(-35.0, 35.0, 2) / (BASE * BASE_MM / 2)
    return _placed(plane, torch.from_numpy(turned).float(), torch.from_numpy(shift).float())


def _placed(plane: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    theta = torch.cat([matrix, shift[:, None]], dim=1)[None]
    grid = functional.affine_grid(theta, [1, 1, NET, NET], align_corners=False)
    smooth = functional.avg_pool2d(plane[None, None] + 1024.0, 2)  # 4 mm, as thick as the grid is coarse
    return functional.grid_sample(smooth, grid, align_corners=False)[0, 0] - 1024.0


def disturbed(image: Tensor, random: np.random.Generator) -> Tensor:
    """Another calibration, noise, and a field of view that is round or smaller."""
    image = (image + 1024.0) * float(random.uniform(0.95, 1.05)) - 1024.0 + float(random.uniform(-25, 25))
    noise = torch.from_numpy(random.normal(0, random.uniform(0, 40), image.shape).astype(np.float32))
    image = image + noise
    if random.random() < 0.4:
        y, x = torch.meshgrid(*[torch.arange(NET) - (NET - 1) / 2] * 2, indexing="ij")
        radius = float(random.uniform(30, 60))
        image = torch.where(x**2 + y**2 < radius**2, image, torch.tensor(-1024.0))
    return image


def drawn(random: np.random.Generator) -> Tensor:
    """What is no head and no trunk: limbs, phantoms, air, noise. Drawn, because no registry has CTs of limbs."""
    y, x = np.meshgrid(*[(np.arange(NET) - (NET - 1) / 2) * NET_MM] * 2, indexing="ij")
    image = np.full((NET, NET), -1000.0)
    kind = random.choice(["limbs", "limbs", "phantom", "air", "noise"])
    if kind == "limbs":
        for side in [(-1, 1), (0,)][int(random.random() < 0.4)]:
            _limb(image, x - side * random.uniform(60, 110), y - random.uniform(-40, 40), random)
    elif kind == "phantom":
        radius = random.uniform(60, 160)
        image[np.hypot(x, y) < radius] = random.uniform(-120, 130)
        for _ in range(int(random.integers(0, 8))):
            at, size = random.uniform(-radius / 1.6, radius / 1.6, 2), random.uniform(4, 18)
            image[np.hypot(x - at[0], y - at[1]) < size] = random.uniform(-1000, 1000)
    elif kind == "noise":
        coarse = random.normal(0, 600, (NET // 8, NET // 8))
        image = np.kron(coarse, np.ones((8, 8)))
    image = ndimage.gaussian_filter(image, random.uniform(0, 1))
    return disturbed(torch.from_numpy(image.astype(np.float32)), random)


def _limb(image: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], random) -> None:  # type: ignore[no-untyped-def]
    radius, wide = random.uniform(25, 90), random.uniform(0.8, 1.25)
    skin = np.hypot(x * wide, y / wide)
    image[skin < radius] = -100
    image[skin < radius * random.uniform(0.7, 0.95)] = random.uniform(30, 80)
    for _ in range(int(random.integers(1, 3))):
        at, bone = random.uniform(-radius / 3, radius / 3, 2), radius * random.uniform(0.12, 0.35)
        distance = np.hypot(x - at[0], y - at[1])
        image[distance < bone] = random.uniform(600, 1500)
        image[distance < bone * random.uniform(0.3, 0.7)] = random.uniform(-80, 300)


def scans(names: tuple[str, ...], cache: Path) -> Iterator[Scan]:
    """Several scans, one after another."""
    for name in names:
        yield scan(name, cache)
