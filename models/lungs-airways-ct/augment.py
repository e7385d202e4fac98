"""Make one CT look like many: random slices of a case, as the scanners of other hospitals might give them.

Every function takes and returns torch tensors on the model's grid (rows toward Posterior, columns toward
Left, 2 mm). Labels: 0 background inside the body, 1 left lung, 2 right lung, 3 airways, 4 air outside the
body. Class 4 exists for augmentation only and becomes 0 in `SliceSampler.draw`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from contract import PADDING_HU, SIZE, SPACING_MM
from numpy.typing import NDArray
from pieces import largest_piece
from scipy import ndimage
from torch import Generator, Tensor
from torch.nn import functional

AIRWAY, OUTSIDE = 3, 4
_AIR = -1000.0


@dataclass(frozen=True)
class Source:
    """One case ready to be drawn from: HU int16 and labels uint8, both (slice, row, column)."""

    hu: Tensor
    labels: Tensor
    row_mm: float
    column_mm: float
    slice_mm: float
    weight: float
    scale: tuple[float, float] = (0.75, 1.3)

    @cached_property
    def rare(self) -> list[int]:
        """Slices that show the airways; they are drawn more often."""
        return [int(i) for i in (self.labels == AIRWAY).flatten(1).any(dim=1).nonzero()]


def mark_outside(hu: NDArray[np.int16], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Copy of `labels` in which air around the body is `OUTSIDE`."""
    marked = labels.copy()
    for index, plane in enumerate(hu):
        dense = largest_piece(ndimage.binary_opening(plane > -300, iterations=2))
        body = ndimage.binary_fill_holes(ndimage.binary_dilation(dense, iterations=2))
        marked[index][~body & (labels[index] == 0)] = OUTSIDE
    return marked


class SliceSampler:
    """Draws augmented batches; all randomness comes from one seeded generator."""

    def __init__(
        self, sources: Sequence[Source], synthetic_weight: float, seed: int, mass_probability: float = 0.0
    ) -> None:
        self._sources = sources
        self._mass_probability = mass_probability
        self._weights = torch.tensor([*(s.weight for s in sources), synthetic_weight])
        self._generator = Generator().manual_seed(seed)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Images [count,1,192,192] float32 HU and labels [count,192,192] int64 of 0-3."""
        kinds = torch.multinomial(self._weights, count, replacement=True, generator=self._generator)
        pairs = [self._one(int(kind)) for kind in kinds]
        images, labels = (torch.stack(part) for part in zip(*pairs, strict=True))
        labels[labels == OUTSIDE] = 0
        return images[:, None], labels

    def _one(self, kind: int) -> tuple[Tensor, Tensor]:
        g = self._generator
        if kind == len(self._sources):
            return _degrade(_phantom(g), g), torch.zeros(SIZE, SIZE, dtype=torch.int64)
        image, labels = _resampled(self._sources[kind], g)
        if _chance(0.5, g):
            image, labels = _mirrored(image, labels)
        image = _other_contrast(image, g)
        image = _other_lung(image, labels, g)
        image = _opacities(image, labels, g) if _chance(0.3, g) else image
        if self._mass_probability > 0 and _chance(self._mass_probability, g):
            image = _masses(image, labels, g)
        image = _clutter(image, labels, g) if _chance(0.4, g) else image
        image = _degrade(image, g)
        return _cropped(image, labels, g) if _chance(0.3, g) else (image, labels)


def _uniform(low: float, high: float, g: Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=g))


def _chance(probability: float, g: Generator) -> bool:
    return float(torch.rand((), generator=g)) < probability


def _resampled(source: Source, g: Generator) -> tuple[Tensor, Tensor]:
    """One slice, perhaps thick, through a random affine and a gentle elastic deformation."""
    depth = source.hu.shape[0]
    thick = max(1, round(_uniform(1.0, 10.0, g) / source.slice_mm)) if _chance(0.5, g) else 1
    if len(source.rare) and _chance(0.4, g):
        thick = min(thick, 2)
        start = min(int(source.rare[int(torch.randint(0, len(source.rare), (), generator=g))]), depth - thick)
    else:
        start = int(torch.randint(0, max(1, depth - thick + 1), (), generator=g))
    stop = min(start + thick, depth)
    hu = source.hu[start:stop].to(torch.float32).clamp(-1100, 3000).mean(dim=0)
    labels = source.labels[(start + stop - 1) // 2].to(torch.float32)
    grid = _sampling_grid(source, g)
    image = _sample(hu - PADDING_HU, grid, "bilinear") + PADDING_HU  # zero outside the source means padding
    return image, (_sample(labels - OUTSIDE, grid, "nearest") + OUTSIDE).to(torch.int64)


def _sample(plane: Tensor, grid: Tensor, mode: str) -> Tensor:
    sampled = functional.grid_sample(plane[None, None], grid, mode=mode, padding_mode="zeros", align_corners=True)
    return sampled[0, 0]


def _sampling_grid(source: Source, g: Generator) -> Tensor:
    """Sampling positions [1,192,192,2] in `grid_sample` coordinates with align_corners (voxel centres)."""
    scale, angle = _uniform(*source.scale, g), math.radians(_uniform(-12, 12, g))
    stretch = _uniform(0.92, 1.08, g)
    offset = (torch.arange(SIZE, dtype=torch.float32) - (SIZE - 1) / 2) * SPACING_MM
    y, x = torch.meshgrid(offset / (scale * stretch), offset * stretch / scale, indexing="ij")
    bend = torch.randn((1, 2, 5, 5), generator=g) * _uniform(0, 6, g)
    bend = functional.interpolate(bend, (SIZE, SIZE), mode="bicubic", align_corners=True)[0]
    x, y = x + bend[0] + _uniform(-35, 35, g), y + bend[1] + _uniform(-35, 35, g)
    x, y = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
    rows, columns = source.hu.shape[1:]
    half_width, half_height = source.column_mm * (columns - 1) / 2, source.row_mm * (rows - 1) / 2
    return torch.stack([x / half_width, y / half_height], dim=-1)[None]


def _mirrored(image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Swap left and right, and with them the meaning of labels 1 and 2."""
    swapped = labels.flip(1)
    return image.flip(1), torch.where(swapped == 1, 2, torch.where(swapped == 2, 1, swapped))


def _other_contrast(image: Tensor, g: Generator) -> Tensor:
    """Another contrast phase or none: stretch or flatten everything brighter than unenhanced tissue."""
    if _chance(0.6, g):
        image = torch.where(image > 50, 50 + (image - 50) * _uniform(0.1, 1.6, g), image)
    return image * _uniform(0.97, 1.03, g) + _uniform(-25, 25, g)


def _other_lung(image: Tensor, labels: Tensor, g: Generator) -> Tensor:
    """Emphysema to expiration: shift the density of aerated lung."""
    lung = (labels == 1) | (labels == 2)
    aerated = ((-300 - image) / 500).clamp(0, 1)
    return torch.where(lung, image + aerated * _uniform(-70, 320, g) * _uniform(0.2, 1, g), image)


def _opacities(image: Tensor, labels: Tensor, g: Generator) -> Tensor:
    """Masses, consolidation and ground glass inside the lung; they remain lung."""
    lung = (labels == 1) | (labels == 2)
    places = lung.nonzero()
    if len(places) < 50:
        return image
    yy, xx = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    for _ in range(int(torch.randint(1, 4, (), generator=g))):
        y, x = (int(v) for v in places[int(torch.randint(0, len(places), (), generator=g))])
        ratio, radius = _uniform(0.6, 1.6, g), _uniform(2, 12, g)
        distance = torch.sqrt(((yy - y) * ratio) ** 2 + ((xx - x) / ratio) ** 2) / radius
        amount = (1.5 - distance).clamp(0, 1) * _uniform(0.3, 1.0, g)
        image = torch.where(lung, image + amount * (_uniform(-20, 60, g) - image), image)
    return image


def _masses(image: Tensor, labels: Tensor, g: Generator) -> Tensor:
    """One or two solid masses of 8 to 50 mm, half of them on the pleura; they remain lung.

    Without them the network learns that lung is air, and leaves the tumour out of the outline.
    """
    lung = ((labels == 1) | (labels == 2)).to(torch.float32)
    thickness = functional.avg_pool2d(lung[None], 5, 1, 2)[0]
    rim = ((lung > 0) & (thickness < 0.8)).nonzero()
    anywhere = lung.nonzero()
    yy, xx = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    for _ in range(int(torch.randint(1, 3, (), generator=g))):
        places = rim if _chance(0.5, g) else anywhere
        if len(places) < 50:
            continue
        y, x = (int(v) for v in places[int(torch.randint(0, len(places), (), generator=g))])
        ratio, radius = _uniform(0.7, 1.4, g), _uniform(2, 12, g)
        lumps = functional.interpolate(
            torch.randn((1, 1, 9, 9), generator=g), (SIZE, SIZE), mode="bicubic", align_corners=True
        )[0, 0]
        distance = torch.sqrt(((yy - y) * ratio) ** 2 + ((xx - x) / ratio) ** 2) / radius + lumps * 0.2
        amount = ((1.2 - distance) * _uniform(2, 8, g)).clamp(0, 1)
        image = torch.where(lung > 0, image + amount * (_uniform(0, 110, g) - image), image)
    return image


def _clutter(image: Tensor, labels: Tensor, g: Generator) -> Tensor:
    """Arms, table plates and hoses in the air around the body."""
    yy, xx = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    air = labels == OUTSIDE
    for _ in range(int(torch.randint(1, 4, (), generator=g))):
        if _chance(0.5, g):  # an arm: soft tissue with a bone in it
            y, x, radius = _uniform(40, 150, g), _uniform(0, SIZE, g), _uniform(12, 28, g)
            distance = torch.sqrt((yy - y) ** 2.0 + (xx - x) ** 2.0)
            limb = torch.where(distance < radius * 0.3, _uniform(200, 900, g), _uniform(-80, 60, g))
            image = torch.where(air & (distance < radius), limb, image)
        else:  # a table: a curved plate below or above
            y, bend = _uniform(100, 190, g), _uniform(-0.002, 0.004, g)
            sheet = (yy - y + bend * (xx - SIZE / 2) ** 2).abs() < _uniform(0.5, 2.5, g)
            image = torch.where(air & sheet, _uniform(-600, 200, g), image)
    return image


def _degrade(image: Tensor, g: Generator) -> Tensor:
    """Reconstruction kernel (soft to sharp) and noise (white and coarse)."""
    blurred = functional.avg_pool2d(image[None], 3, 1, 1, count_include_pad=False)[0]
    image = image + (blurred - image) * _uniform(-0.6, 1.0, g)
    level = _uniform(0, 1, g) ** 2 * 90
    noise = torch.randn(image.shape, generator=g)
    if _chance(0.5, g):
        noise = functional.avg_pool2d(noise[None], 3, 1, 1)[0] * 2
    return image + noise * level


def _cropped(image: Tensor, labels: Tensor, g: Generator) -> tuple[Tensor, Tensor]:
    """A smaller field of view: a circle or a rectangle, padding around it, nothing labelled there."""
    yy, xx = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    y, x = (_uniform(86, 106, g) for _ in range(2))
    if _chance(0.5, g):
        inside = (yy - y) ** 2 + (xx - x) ** 2 < _uniform(65, 95, g) ** 2
    else:
        inside = ((yy - y).abs() < _uniform(55, 95, g)) & ((xx - x).abs() < _uniform(65, 95, g))
    return torch.where(inside, image, PADDING_HU), torch.where(inside, labels, 0)


def _phantom(g: Generator) -> Tensor:
    """Not a chest: air, noise, or bodies of soft tissue with bones and gas, but no lung."""
    image = torch.full((SIZE, SIZE), _AIR)
    yy, xx = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    for _ in range(int(torch.randint(0, 3, (), generator=g))):
        y, x, ratio, radius = _uniform(50, 140, g), _uniform(40, 150, g), _uniform(0.7, 1.4, g), _uniform(15, 75, g)
        distance = torch.sqrt(((yy - y) * ratio) ** 2 + ((xx - x) / ratio) ** 2)
        body = distance < radius
        image = torch.where(body, _uniform(-100, 70, g), image)
        if _chance(0.5, g):  # a skull or a cortex
            image = torch.where((distance - radius * _uniform(0.3, 0.95, g)).abs() < 4, _uniform(300, 1500, g), image)
        for _ in range(int(torch.randint(0, 6, (), generator=g))):  # bowel gas, sinuses, mastoid cells
            cy, cx, r = y + _uniform(-0.8, 0.8, g) * radius, x + _uniform(-0.8, 0.8, g) * radius, _uniform(1, 14, g)
            gas = body & (torch.sqrt((yy - cy) ** 2.0 + (xx - cx) ** 2.0) < r)
            image = torch.where(gas, _uniform(-1000, -300, g), image)
    return image
