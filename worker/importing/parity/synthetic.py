"""A made-up volume, and a stand-in for a net: what an import is compared on when no case is given.

A trained net says nothing about what it has never seen, and two silent answers prove nothing. So the net itself is
compared on tensors, and the way from the image to labels on its grid with a stand-in whose answer follows the values
that it is shown: classes are there, and a wrong axis, spacing or intensity moves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.study import FrameOfReferenceUID, SeriesInstanceUID, SOPInstanceUID
from worker.domain.volume import Geometry, SliceRef, Volume
from worker.importing.frameworks import need

Float = NDArray[np.float32]

_LETTERS = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}
_CASE_AXES = "PIL"
"""Towards what the axes of the made-up volume run: coronal slices, as no packaged chain wants them."""
_LONGER = (1.25, 0.8, 1.05)
"""Of the net's window: one axis takes two windows, one is filled up, one is nearly as long."""
_COARSER = (1.3, 0.85, 1.1)
"""The volume's spacing, of the net's."""
_TURN = (np.array([[41, 0, 0], [0, 40, -9], [0, 9, 40]]) @ np.array([[40, -9, 0], [9, 40, 0], [0, 0, 41]])).astype(
    float
)
"""Over 41 * 41 a turn about two axes by 12.7 degrees each."""
_STEP_MM = 41 * 41 / 2**16
"""Spacings are multiples of it: then the affine is a dyadic fraction, which no file rounds. Rounded, MONAI's Spacing
would place its grid by the middle instead of by the first voxel (its test of corners allows for 1e-8)."""
_UNKNOWN_MM = 1.5
_ACTING = 4
"""Of many exclusive channels so many win somewhere: with more, half precision would decide between neighbours."""
_NARROW = 0.52
"""Of the distance of two channels' values: where both are equally likely both are nearly 0, where nnU-Net's sums of
windows in half precision are exact; a half would leave values that belong to none."""
_SMALLEST, _LARGEST = 12, 320
_UID = "2.25.2"


def made_up_volumes(
    modalities: Sequence[str], *, axes: str, spacing_mm: Sequence[float | str | None], window: Sequence[int]
) -> tuple[Volume, ...]:
    """One oblique volume of anisotropic spacing for each modality, all on one grid.

    Parameters
    ----------
    modalities:
        Of each: CT has air of -1000 HU around the body, others have 0.
    axes:
        Towards what the axes of the net's image run ("RAS").
    spacing_mm, window:
        Of the net along these axes; a spacing that is no number is that of the image.
    """
    shape, spacing = [0, 0, 0], [0.0, 0.0, 0.0]
    for place, letter in enumerate(axes):
        mine = [_LETTERS[one] for one in _CASE_AXES].index(_LETTERS[letter])
        wished = spacing_mm[place]
        mm = float(wished) if isinstance(wished, int | float) else _UNKNOWN_MM
        coarser = _COARSER[place] if isinstance(wished, int | float) else 1.0
        spacing[mine] = max(1, round(mm * coarser / _STEP_MM)) * _STEP_MM
        shape[mine] = int(np.clip(round(window[place] * _LONGER[place] / coarser), _SMALLEST, _LARGEST))
    geometry = Geometry(shape=(shape[0], shape[1], shape[2]), affine_lps=_affine(spacing))
    return tuple(
        Volume(
            voxels=made_up_values(geometry.shape, modality, seed),
            geometry=geometry,
            slices=tuple(SliceRef(SOPInstanceUID(f"{_UID}.{seed + 1}.{k + 1}")) for k in range(shape[0])),
            modality=modality,
            series_instance_uid=SeriesInstanceUID(f"{_UID}.{seed + 1}"),
            frame_of_reference_uid=FrameOfReferenceUID(f"{_UID}.0"),
        )
        for seed, modality in enumerate(modalities)
    )


def stand_in(prepared: Float, *, planes: int, heads: int, exclusive: bool) -> Any:
    """A net of ``planes`` input and ``heads`` output channels that answers by the values it is shown.

    Its first layer looks to one side only, so that mirroring and windows count. ``exclusive``: the highest channel
    wins, and each (of many, four) wins somewhere in ``prepared`` (image channel, ...); else each is above 0 somewhere.
    """
    (torch,) = need("torch")
    rank = prepared.ndim - 1
    weight = torch.zeros((1, planes, *([3] * rank)))
    for plane in range(planes):
        spread = float(prepared[plane].std()) if plane < len(prepared) else 2.0
        share = 1.0 / ((1 + plane) * max(spread, 1e-6))
        middle = (0, plane, *([1] * rank))
        weight[middle] = 0.6 * share
        for axis in range(rank):
            beside = list(middle)
            beside[2 + axis] = 2
            weight[tuple(beside)] = share * (0.2, 0.13, 0.07)[axis]
    with torch.no_grad():
        convolve = torch.nn.functional.conv3d if rank == 3 else torch.nn.functional.conv2d
        seen = convolve(torch.from_numpy(prepared[None]), weight[:, : len(prepared)], padding=1).numpy()
    low, high = (float(one) for one in np.quantile(np.unique(seen), [0.02, 0.98]))
    return _net(weight, low, max(high, low + 1e-6), heads, exclusive=exclusive)


def window_of(values: Float, size: Sequence[int | str]) -> Float:
    """The middle of (channel, ...), as large as a net takes it (a word: all there is); filled up with 0."""
    piece = values
    for axis, wished in enumerate(size, start=1):
        if isinstance(wished, int):
            first = max(0, (piece.shape[axis] - wished) // 2)
            piece = piece.take(range(first, min(first + wished, piece.shape[axis])), axis=axis)
            pads = [(0, 0)] * piece.ndim
            pads[axis] = (0, wished - piece.shape[axis])
            piece = np.pad(piece, pads)
    return np.ascontiguousarray(piece)


def _net(weight: Any, low: float, high: float, heads: int, *, exclusive: bool) -> Any:
    (torch,) = need("torch")
    rank = weight.ndim - 2
    silent = torch.zeros(heads)
    if exclusive:  # bumps beside each other, from the lowest value to the highest
        acting = torch.linspace(0, heads - 1, min(heads, _ACTING)).round().long()
        places, width = torch.full((heads,), low), (high - low) / max(1, len(acting) - 1)
        places[acting] = torch.linspace(low, high, len(acting))
        silent[:] = 1
        silent[acting] = 0
    else:
        places, width = torch.linspace(low, high, heads + 2)[1:-1], (high - low) / 4

    class StandIn(torch.nn.Module):  # type: ignore[misc, name-defined]
        """A value of each voxel and its neighbours, then how near it is to each channel's own."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", weight)
            self.register_buffer("places", places.reshape(1, heads, *([1] * rank)))
            self.register_buffer("silent", silent.reshape(1, heads, *([1] * rank)))

        def forward(self, image: Any) -> Any:
            convolve = torch.nn.functional.conv3d if rank == 3 else torch.nn.functional.conv2d
            distance = convolve(image, self.weight, padding=1).clamp(low, high) - self.places
            if exclusive:
                return 4 * torch.relu(1 - distance.abs() / (_NARROW * width)) * (1 - self.silent) - self.silent
            return 4 * (distance / width).clamp(-1, 1)

    return StandIn().eval()


def _affine(spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    upright = np.zeros((3, 3))
    for array, letter in enumerate(_CASE_AXES):
        upright[_LETTERS[letter], array] = -1.0 if letter in "RAI" else 1.0
    affine: NDArray[np.float64] = np.eye(4)
    affine[:3, :3] = (_TURN @ upright) * (np.asarray(spacing_mm) / (41 * 41))
    affine[:3, 3] = (-41.5, 23.25, -310.75)
    return affine


def made_up_values(shape: tuple[int, int, int], modality: str, seed: int) -> Float:
    """A body without any symmetry: a gradient, organs of several values, a hole; noise everywhere inside."""
    rng = np.random.default_rng(seed)
    k, i, j = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    body = (k / 0.9) ** 2 + ((i - 0.03) / 0.88) ** 2 + ((j + 0.02) / 0.86) ** 2 < 1
    values = 0.35 + 0.12 * i - 0.09 * j + 0.07 * k + 0.05 * np.sin(3 * i + 2 * k)
    organs = (
        (0.06, (0.1, -0.35, 0.4), (0.5, 0.4, 0.3)), (0.62, (-0.2, 0.3, -0.3), (0.55, 0.35, 0.4)),
        (0.95, (0.05, 0.62, 0.2), (0.7, 0.14, 0.18)), (0.5, (0.45, 0.2, 0.4), (0.25, 0.3, 0.22)),
    )  # fmt: skip
    for value, middle, radius in organs:
        inside = sum(((one - m) / r) ** 2 for one, m, r in zip((k, i, j), middle, radius, strict=True)) < 1
        values[inside] = (value if seed % 2 == 0 else 0.9 - 0.8 * value) + 0.06 * j[inside]
    values = np.clip(values + rng.normal(0, 0.02, shape), 0.001, 1)
    values[(k - 0.5) ** 2 + (i + 0.5) ** 2 + (j + 0.3) ** 2 < 0.03] = 0
    if modality == "CT":
        return np.where(body, np.round(values * 2200 - 900), -1000).astype(np.float32)
    scale = 20.0 if modality == "PT" else 1500.0
    return np.where(body, values * scale, 0).astype(np.float32)
