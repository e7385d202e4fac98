"""Digitally reconstructed radiographs: what a frontal or lateral chest radiograph of a CT would look like.

There are no public radiographs with outlines in any package registry, but there are CTs with labels. A ray sum of the
attenuation shows what a detector behind the patient measures; the labels are projected along the same rays, so every
pixel of the reference is known, also behind heart and diaphragm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ct import rules
from ct.samples import chest_case, load_ct
from numpy.typing import NDArray
from pieces import largest_piece
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

PIXEL_MM = 2.6
SIZE = 160
"""A square of 416 mm: a chest with some margin."""

WATER_PER_MM = 0.0195
"""Linear attenuation of water at about 70 keV (NIST XCOM), the mean energy of a chest radiograph at 120 kV."""

LEAST_LUNG_MM = 20.0
"""A pixel belongs to a lung where its ray crosses at least this much of it."""


@dataclass(frozen=True)
class Chest:
    """Attenuation per mm, and how much of each voxel is left and right lung (0 to 1).

    All float32 [z, y, x] of cubes of ``PIXEL_MM``; z grows toward the Head, y toward Posterior, x toward Left.
    """

    name: str
    attenuation: Tensor
    left: Tensor
    right: Tensor


@dataclass(frozen=True)
class Pose:
    """How the patient stands before the detector, in degrees; ``yaw`` is the rotation about the long axis."""

    yaw: float
    pitch: float
    roll: float
    stretch: tuple[float, float, float]


@dataclass(frozen=True)
class Radiograph:
    """``image``: line integrals [row, column], bright where dense; ``left`` and ``right``: mm of lung along the ray."""

    image: NDArray[np.float32]
    left: NDArray[np.float32]
    right: NDArray[np.float32]


def training_chests(cache: Path) -> Iterator[Chest]:
    """LIDC-IDRI-0001 with TotalSegmentator's labels, and a CT angiography with labels by rule."""
    case = chest_case(cache)
    assert case.labels is not None
    yield body_of("chest-ct", case.grid.values, case.labels, case.grid.spacing_mm)
    yield _by_rule("chest-ct-angio", cache)


def held_out_chest(cache: Path) -> Chest:
    """A chest that no training image comes from: labels by rule."""
    return _by_rule("chest-ct-lung2", cache)


def _by_rule(name: str, cache: Path) -> Chest:
    ct = load_ct(name, cache)
    return body_of(name, ct.values, rules.segment(ct.values, ct.spacing_mm), ct.spacing_mm)


def body_of(
    name: str, hu: NDArray[np.int16], labels: NDArray[np.uint8], spacing_mm: tuple[float, float, float]
) -> Chest:
    """A CT as cubes of attenuation, without its table; labels 1 and 2 are the left and the right lung."""
    # Whole pixels are left out first: opening and filling at full size take a minute and change nothing at 2.6 mm.
    step = max(1, int(PIXEL_MM / 2 / spacing_mm[1] + 0.5))
    hu, labels = hu[:, ::step, ::step], labels[:, ::step, ::step]
    zoom = [spacing_mm[0] / PIXEL_MM, *(mm * step / PIXEL_MM for mm in spacing_mm[1:])]
    inside = _body(hu)
    values = np.where(inside, hu, -1000).astype(np.float32)
    cubes = ndimage.zoom(values, zoom, order=1)
    # Bone takes more of the beam than its density says: photoelectric effect of calcium.
    attenuation = WATER_PER_MM * np.clip(1 + cubes / 1000, 0, None) * (1 + 0.5 * np.clip((cubes - 150) / 1000, 0, 1))
    sides = [ndimage.zoom((labels == side).astype(np.float32), zoom, order=1) for side in (1, 2)]
    return Chest(name, torch.from_numpy(attenuation.astype(np.float32)), *(torch.from_numpy(side) for side in sides))


def _body(hu: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Patient without table: the largest piece in 3D, filled slice by slice."""
    largest = largest_piece(ndimage.binary_opening(hu > -300, iterations=2))
    return np.stack([ndimage.binary_fill_holes(ndimage.binary_dilation(plane, iterations=2)) for plane in largest])


def radiograph(chest: Chest, pose: Pose, *, lateral: bool = False) -> Radiograph:
    """Project a chest. Rows run to the Feet; columns to the patient's Left, of a lateral view to Posterior."""
    stacked = torch.stack([chest.attenuation, chest.left, chest.right])[None]
    turned = _turned(stacked, pose, lateral=lateral)
    sums = turned[0].sum(dim=2).flip(1) * PIXEL_MM
    padded = _centred(sums)
    image, left, right = (plane.numpy() for plane in padded)
    return Radiograph(image, left, right)


def _turned(stacked: Tensor, pose: Pose, *, lateral: bool) -> Tensor:
    """Resample [1, c, z, y, x] so that rays run along y."""
    yaw, pitch, roll = (np.radians(v) for v in (pose.yaw + (90.0 if lateral else 0.0), pose.pitch, pose.roll))
    about_z = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    about_y = np.array([[np.cos(roll), 0, np.sin(roll)], [0, 1, 0], [-np.sin(roll), 0, np.cos(roll)]])
    matrix = about_z @ about_x @ about_y @ np.diag(1 / np.array(pose.stretch))
    depth, height, width = stacked.shape[2:]
    out = (1, stacked.shape[1], int(depth * 1.1), *(2 * (int(np.hypot(height, width) * 1.1),)))
    # grid_sample works in units of half the extent, x first.
    into, of = np.array([width, height, depth]) / 2, np.array([out[4], out[3], out[2]]) / 2
    theta = torch.tensor((matrix * of[None, :]) / into[:, None], dtype=torch.float32)
    theta = torch.cat([theta, torch.zeros(3, 1)], dim=1)[None]
    grid = functional.affine_grid(theta, list(out), align_corners=False)
    return functional.grid_sample(stacked, grid, align_corners=False)


def _centred(planes: Tensor) -> Tensor:
    """Cut or fill [c, row, column] to the square."""
    _, height, width = planes.shape
    result = torch.zeros(planes.shape[0], SIZE, SIZE)
    rows, columns = min(height, SIZE), min(width, SIZE)
    top, left = (height - rows) // 2, (width - columns) // 2
    at_row, at_column = (SIZE - rows) // 2, (SIZE - columns) // 2
    result[:, at_row : at_row + rows, at_column : at_column + columns] = planes[
        :, top : top + rows, left : left + columns
    ]
    return result


def random_pose(random: np.random.Generator, *, yaw: float = 12.0) -> Pose:
    """A stance as it occurs: nobody stands quite straight, and chests differ in form."""
    return Pose(
        yaw=float(random.uniform(-yaw, yaw)),
        pitch=float(random.uniform(-8, 8)),
        roll=float(random.uniform(-5, 5)),
        stretch=(float(random.uniform(0.9, 1.15)), float(random.uniform(0.85, 1.15)), float(random.uniform(0.9, 1.15))),
    )


def labels_of(one: Radiograph) -> NDArray[np.uint8]:
    """0 background, 1 left lung, 2 right lung: where the ray crosses enough of it, the thicker side wins."""
    left, right = one.left, one.right
    lung = np.maximum(left, right) >= LEAST_LUNG_MM
    return np.where(lung, np.where(left >= right, 1, 2), 0).astype(np.uint8)


def random_radiographs(
    chests: list[Chest], count: int, seed: int, *, lateral: bool = False, report: Callable[[str], None] = print
) -> list[tuple[Radiograph, Pose]]:
    """Random radiographs of the chests in turn."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        pose = random_pose(random)
        made.append((radiograph(chests[number % len(chests)], pose, lateral=lateral), pose))
        if number % 25 == 24:
            report(f"radiograph {number + 1}/{count}")
    return made
