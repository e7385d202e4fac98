"""Test-time augmentation: the mean answer to an image and its mirror images."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from worker.inference.entries.nets import AnyNet, RunNet
from worker.inference.image import Float


def _once(axes: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(axes)) != len(axes) or any(not 0 <= axis <= 2 for axis in axes):
        raise ValueError(f"expected each of the net's image axes (0, 1, 2) at most once; found {list(axes)}")
    return axes


MirrorAxes = Annotated[tuple[int, ...], AfterValidator(_once)]
"""Axes of the net's image (0 is the first after batch and channel) along which it is mirrored."""


def mirrored(run: RunNet, axes: tuple[int, ...]) -> RunNet:
    """Run the net on every combination of mirrored axes, turn the answers back, and take their mean (nnU-Net).

    An answer on a grid is mirrored back; numbers about the image are not.
    """
    if not axes:
        return run
    chosen = [tuple(2 + axis for axis in some) for count in range(len(axes) + 1) for some in combinations(axes, count)]

    def run_all(net: AnyNet, batch: Float, *, last: bool = True) -> Float:
        total: Float | None = None
        for number, flips in enumerate(chosen, start=1):
            fed = np.ascontiguousarray(np.flip(batch, flips)) if flips else batch
            answer = run(net, fed, last=last and number == len(chosen))
            back = np.flip(answer, flips) if flips and answer.ndim == batch.ndim else answer
            total = back.copy() if total is None else np.add(total, back, out=total)
        if total is None:
            raise ValueError("there is always the image itself")
        total /= np.float32(len(chosen))
        return total

    return run_all


def fit(axes: tuple[int, ...], *, rank: int) -> None:
    """Raise ValueError when a net of that rank (with batch and channel) has no such axis."""
    if axes and max(axes) > rank - 3:
        raise ValueError(f"mirror axis {max(axes)} does not exist: the net's image has the axes 0 to {rank - 3}")
