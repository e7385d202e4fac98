"""Where a name can stand beside what it names: on nothing that was found, with a line that leads there.

Places are (y, x) in pixels of the picture, areas are bool arrays of its size (row, column).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Area = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Spot:
    """A free rectangle for a text, and the line from it to what it names: from ``start`` to ``end``, (y, x)."""

    top: int
    left: int
    bottom: int
    right: int
    start: tuple[float, float]
    end: tuple[float, float]


def free_spot(own: Area, taken: Area, *, height_px: int, width_px: int, gap_px: int) -> Spot | None:
    """The free rectangle nearest to ``own`` (some of it is set) that touches nothing ``taken``; None without any.

    ``taken`` includes ``own``. The line may run over ``own``, and over nothing else that is taken.
    """
    edge = np.argwhere(own)
    sums = np.pad(np.cumsum(np.cumsum(taken, axis=0, dtype=np.int64), axis=1), ((1, 0), (1, 0)))
    others = taken & ~own
    for top, left in _candidates(edge, own.shape, height_px, width_px, gap_px):
        bottom, right = top + height_px, left + width_px
        if sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]:
            continue
        start, end = _line(edge, top, left, bottom, right)
        along = np.rint(np.linspace(start, end, 2 * max(own.shape) // 3)).astype(int)
        along = np.clip(along, 0, np.array(own.shape) - 1)
        if not others[along[:, 0], along[:, 1]].any():
            return Spot(top, left, bottom, right, start, end)
    return None


def _candidates(
    edge: NDArray[np.int64], size: tuple[int, ...], height_px: int, width_px: int, gap_px: int
) -> list[tuple[int, int]]:
    """Upper left corners inside of the picture, the nearest to the bounding box of the area first."""
    (top, left), (bottom, right) = edge.min(axis=0), edge.max(axis=0) + 1
    step = max(gap_px, 1)
    rows = range(gap_px, size[0] - height_px - gap_px + 1, step)
    columns = range(gap_px, size[1] - width_px - gap_px + 1, step)
    if not rows or not columns:
        return []
    y, x = np.meshgrid(np.array(rows), np.array(columns), indexing="ij")
    down = np.maximum(np.maximum(top - (y + height_px), y - bottom), 0)
    along = np.maximum(np.maximum(left - (x + width_px), x - right), 0)
    off = np.abs(y + height_px / 2 - (top + bottom) / 2) / 8 + (x < left)  # beside it first, and to the right
    away = np.hypot(down, along)
    order = np.argsort(np.where(away < gap_px, np.inf, away + off), axis=None, kind="stable")
    count = int((away >= gap_px).sum())
    return [(int(y.flat[n]), int(x.flat[n])) for n in order[:count]]


def _line(
    edge: NDArray[np.int64], top: int, left: int, bottom: int, right: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """From the middle of the side of a rectangle that faces the area to the nearest place of the area."""
    middle = np.array([(top + bottom) / 2, (left + right) / 2])
    nearest = edge[int(np.argmin(((edge - middle) ** 2).sum(axis=1)))]
    start = np.clip(nearest, (top, left), (bottom, right))
    return (float(start[0]), float(start[1])), (float(nearest[0]), float(nearest[1]))
