"""Drawn limbs: tapered soft tissue with one or two long bones. No CT of a limb can be had, but nets must know them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from radiographs.batches import Pool
from radiographs.projection import SIZE

Line = NDArray[np.float32]


def limb_pool(count: int, seed: int) -> Pool:
    """Images [n, 1, SIZE, SIZE] of line integrals, without labels."""
    random = np.random.default_rng(seed)
    images = np.stack([_limb(random) for _ in range(count)])[:, None]
    nothing = torch.zeros(count)
    return Pool(torch.from_numpy(images), torch.zeros(count, SIZE, SIZE, dtype=torch.int64), nothing, nothing)


def joined(one: Pool, other: Pool) -> Pool:
    """Both pools as one."""
    return Pool(
        torch.cat([one.images, other.images]),
        torch.cat([one.labels, other.labels]),
        torch.cat([one.yaw, other.yaw]),
        torch.cat([one.roll, other.roll]),
    )


def _limb(random: np.random.Generator) -> Line:
    """One image: one limb or two beside each other, in any direction."""
    row, column = np.meshgrid(*(2 * [np.linspace(-1, 1, SIZE)]), indexing="ij")
    angle = random.uniform(-0.4, 0.4) + (np.pi / 2 if random.random() < 0.25 else 0.0)
    along = row * np.cos(angle) + column * np.sin(angle)
    across = column * np.cos(angle) - row * np.sin(angle)
    image = np.zeros((SIZE, SIZE))
    for place in [0.0] if random.random() < 0.75 else [-0.45, 0.45]:
        image += _one(along, across - place - random.uniform(-0.1, 0.1), random, single=place == 0.0)
    return image.astype(np.float32)


def _one(
    along: NDArray[np.float64], across: NDArray[np.float64], random: np.random.Generator, *, single: bool
) -> NDArray[np.float64]:
    width = random.uniform(0.2, 0.65) if single else random.uniform(0.15, 0.35)
    bulge = 1 + random.uniform(-0.3, 0.3) * along + 0.2 * np.sin(random.uniform(1, 4) * along + random.uniform(0, 6))
    image = 3.0 * _chord(across, width * bulge)
    joint = random.uniform(-1.3, 1.3)
    flare = 1 + 1.2 * np.exp(-(((along - joint) / 0.2) ** 2))
    for shift in [0.0] if random.random() < 0.5 else [-0.35, 0.3]:
        bone = width * random.uniform(0.2, 0.35)
        middle = across - shift * width - random.uniform(-0.05, 0.05) * along
        image += 4.0 * (_chord(middle, bone * flare) - 0.8 * _chord(middle, 0.7 * bone * flare))
    gap = np.exp(-(((along - joint) / random.uniform(0.02, 0.05)) ** 2))
    return image * (1 - 0.25 * gap)


def _chord(across: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of a ray through a cylinder of this radius, in units of the image."""
    chord: NDArray[np.float64] = 2 * np.sqrt(np.clip(radius**2 - across**2, 0, None))
    return chord
