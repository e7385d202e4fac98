"""Non-maximum suppression of boxes, and boxes of neighbouring planes that show one thing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.inference.image import Float

Array = NDArray[np.float64]


def overlaps(box: Array, boxes: Array) -> Array:
    """Intersection over union of one box (2k,) with boxes (n, 2k): lowest corner, then highest corner."""
    count = box.shape[0] // 2
    low = np.maximum(box[:count], boxes[:, :count])
    high = np.minimum(box[count:], boxes[:, count:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=1)
    sizes = np.prod(boxes[:, count:] - boxes[:, :count], axis=1)
    union = float(np.prod(box[count:] - box[:count])) + sizes - shared
    ratio: Array = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio


def suppress(boxes: Array, scores: Float, *, overlap: float) -> NDArray[np.intp]:
    """Indices of the boxes that stay, the best first: of boxes that overlap more than ``overlap`` only the best.

    Of equal scores the first stays.
    """
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(waiting):
        best, waiting = int(waiting[0]), waiting[1:]
        kept.append(best)
        waiting = waiting[overlaps(boxes[best], boxes[waiting]) <= overlap]
    return np.asarray(kept, dtype=np.intp)


def linked(boxes: Array, *, overlap: float) -> list[NDArray[np.intp]]:
    """Groups of flat boxes (n, 6), each one plane thick, that overlap more than that from plane to plane.

    A group keeps the order of its boxes; groups are in the order of their first box.
    """
    planes = np.rint((boxes[:, 0] + boxes[:, 3]) / 2).astype(int)
    in_plane = boxes[:, [1, 2, 4, 5]]
    group = np.arange(len(boxes))
    for index in range(len(boxes)):
        near = np.flatnonzero(np.abs(planes - planes[index]) == 1)
        for other in near[overlaps(in_plane[index], in_plane[near]) > overlap]:
            first, second = sorted((group[index], group[other]))
            group[group == second] = first
    return [np.flatnonzero(group == one) for one in dict.fromkeys(group.tolist())]
