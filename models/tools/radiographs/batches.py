"""From projected chests to training batches: other exposures, other processing, other framing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from radiographs.projection import PIXEL_MM, SIZE, Pose, Radiograph, labels_of

GRID = 128
GRID_MM = 3.3
"""What the net sees: about 420 mm square, when the whole chest with some margin is on the image."""


@dataclass(frozen=True)
class Pool:
    """Radiographs ready for sampling: images [n, 1, h, w], labels [n, h, w], yaw and roll in degrees [n]."""

    images: Tensor
    labels: Tensor
    yaw: Tensor
    roll: Tensor


@dataclass(frozen=True)
class Angles:
    """Of each image of a batch, in degrees [n].

    ``yaw``: about the long axis of the body, positive when the front is turned to the patient's right. ``tilt``: of the
    long axis in the image, positive when the head leans to the patient's left.
    """

    yaw: Tensor
    tilt: Tensor


def pool_of(made: list[tuple[Radiograph, Pose]]) -> Pool:
    """Stack them."""
    return Pool(
        images=torch.from_numpy(np.stack([one.image for one, _ in made]))[:, None],
        labels=torch.from_numpy(np.stack([labels_of(one) for one, _ in made]).astype(np.int64)),
        yaw=torch.tensor([pose.yaw for _, pose in made]),
        roll=torch.tensor([pose.roll for _, pose in made]),
    )


def normalised(images: Tensor) -> Tensor:
    """Clip at the 1st and 99th percentile and make mean 0, deviation 1, image by image: the manifest's chain."""
    flat = images.flatten(1)
    low, high = torch.quantile(flat, 0.01, dim=1), torch.quantile(flat, 0.99, dim=1)
    flat = flat.clamp(low[:, None], high[:, None])
    centred = (flat - flat.mean(1, keepdim=True)) / (flat.std(1, keepdim=True) + 1e-6)
    return centred.view_as(images)


def draw(pool: Pool, count: int, random: np.random.Generator) -> tuple[Tensor, Tensor, Angles]:
    """A batch: images [n, 1, GRID, GRID] normalised, labels [n, GRID, GRID], and how each patient stands."""
    chosen = torch.from_numpy(random.integers(0, len(pool.images), count))
    turns = torch.tensor([random.uniform(-8, 8) for _ in range(count)])
    theta = torch.stack([_framing(float(turn), random) for turn in turns])
    grid = functional.affine_grid(theta, [count, 1, GRID, GRID], align_corners=False)
    whole = torch.stack([_extended(image) if random.random() < 0.7 else image for image in pool.images[chosen]])
    images = functional.grid_sample(whole, grid, align_corners=False)
    labels = functional.grid_sample(pool.labels[chosen][:, None].float(), grid, mode="nearest", align_corners=False)[
        :, 0
    ]
    images = torch.stack([_exposed(image, random) for image in images])
    return normalised(images), labels.long(), Angles(pool.yaw[chosen], -(pool.roll[chosen] + turns))


def _extended(image: Tensor) -> Tensor:
    """Carry the first and the last row of the body on to the edges: a CT ends where a radiograph goes on."""
    rows = torch.nonzero(image[0].amax(dim=1) > 0.1).flatten()
    first, last = int(rows[0]) + 2, int(rows[-1]) - 2
    if last - first < 20:
        return image
    filled = image.clone()
    filled[:, :first] = image[:, first : first + 1]
    filled[:, last + 1 :] = image[:, last : last + 1]
    return filled


def straight(pool: Pool) -> tuple[Tensor, Tensor]:
    """The whole pool on the net's grid without changes of exposure, for evaluation."""
    scale = 0.9 * GRID * GRID_MM / (SIZE * PIXEL_MM)
    theta = torch.tensor([[scale, 0.0, 0.0], [0.0, scale, 0.0]])[None].repeat(len(pool.images), 1, 1)
    grid = functional.affine_grid(theta, [len(pool.images), 1, GRID, GRID], align_corners=False)
    whole = torch.stack([_extended(image) for image in pool.images])
    images = functional.grid_sample(whole, grid, align_corners=False)
    labels = functional.grid_sample(pool.labels[:, None].float(), grid, mode="nearest", align_corners=False)[:, 0]
    return normalised(images), labels.long()


def _framing(turn: float, random: np.random.Generator) -> Tensor:
    """Scale, turn in degrees and shift in the plane of the detector."""
    scale = GRID * GRID_MM / (SIZE * PIXEL_MM) * random.uniform(0.66, 1.1)
    angle = np.radians(turn)
    aspect = random.uniform(0.85, 1.18)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    shift = random.uniform(-0.18, 0.18, 2)
    return torch.tensor(
        [[scale * cos * aspect, -scale * sin, shift[0]], [scale * sin * aspect, scale * cos, shift[1]]],
        dtype=torch.float32,
    )


def _exposed(image: Tensor, random: np.random.Generator) -> Tensor:
    """What generators, detectors and vendors' processing make of line integrals [1, h, w]."""
    x = image / image.max().clamp(min=1e-3)
    x = _lesions(x, random)
    if random.random() < 0.5:  # from a logarithmic to a saturating curve
        k = random.uniform(1.0, 4.0)
        x = (1 - torch.exp(-k * x)) / (1 - float(np.exp(-k)))
    x = x.clamp(0, 1) ** random.uniform(0.6, 1.6)
    if random.random() < 0.6:  # unsharp masking, as vendors do it
        radius = int(random.choice([7, 11, 17, 27]))
        blurred = functional.avg_pool2d(x[None], radius, 1, radius // 2, count_include_pad=False)[0]
        x = x + random.uniform(0.2, 1.0) * (x - blurred)
    if random.random() < 0.3:
        x = functional.avg_pool2d(x[None], 3, 1, 1)[0]
    noise = torch.from_numpy(random.normal(0, random.uniform(0, 0.03), x.shape).astype(np.float32))
    return _collimated(x + noise, random)


def _lesions(x: Tensor, random: np.random.Generator) -> Tensor:
    """Soft shadows: a lung stays a lung where something lies in it."""
    rows, columns = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    for _ in range(int(random.integers(0, 4))):
        row, column = random.uniform(0, GRID, 2)
        a, b = random.uniform(3, 19, 2)
        shadow = torch.exp(-(((rows - row) / a) ** 2 + ((columns - column) / b) ** 2))
        x = x + float(random.uniform(-0.06, 0.16)) * shadow
    return x


def _collimated(x: Tensor, random: np.random.Generator) -> Tensor:
    """Borders outside of the beam: black, white or as dark as air."""
    if random.random() < 0.4:
        value = float(random.choice([0.0, 1.0, float(x.min())]))
        top, bottom, left, right = (int(v) for v in random.integers(0, 14, 4))
        x = x.clone()
        x[:, :top] = value
        x[:, GRID - bottom :] = value
        x[..., :left] = value
        x[..., GRID - right :] = value
    return x
