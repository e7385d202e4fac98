"""Steps that cut away what holds nothing, and that fill up to a size that a net can take."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from worker.domain.errors import NotApplicableError
from worker.inference.entries.strict import Strict
from worker.inference.image import Image, Mask, shape_of
from worker.inference.steps.resample import cut

Multiple = Annotated[int, Field(ge=1, le=1024)]


def crop_to(image: Image, mask: Mask, *, margin: int = 0) -> Image:
    """The box that holds every voxel of a mask (a, b, c), with ``margin`` voxels more on each side where there are.

    Raises NotApplicableError (``input-constant``) when the mask is empty.
    """
    start, size = [], []
    for axis, count in enumerate(shape_of(image.values)):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if used.size == 0:
            raise NotApplicableError("No voxel belongs to the foreground: there is nothing to see.",
                                     code="input-constant")  # fmt: skip
        first, last = max(0, int(used[0]) - margin), min(count - 1, int(used[-1]) + margin)
        start.append(first)
        size.append(last - first + 1)
    box = cut(image, start=(start[0], start[1], start[2]), shape=(size[0], size[1], size[2]))
    return replace(box, bounds=box.geometry)


class CropToForeground(Strict):
    """Cut to the box that holds every voxel that is not 0 in some channel, or is above ``above`` in the first."""

    step: Literal["crop_to_foreground"]
    above: float | None = None
    margin: Annotated[int, Field(ge=0, le=512)] = 0

    def apply(self, image: Image) -> Image:
        """The image after this step; see ``crop_to``."""
        mask: Mask = (image.values != 0).any(axis=0) if self.above is None else image.values[0] > np.float32(self.above)
        return crop_to(image, mask, margin=self.margin)


class PadToMultiple(Strict):
    """Fill each axis up to a multiple of a number: around the middle (odd counts: one more after), or at the end."""

    step: Literal["pad_to_multiple"]
    multiple: tuple[Multiple, Multiple, Multiple]
    outside: float
    side: Literal["both", "end"] = "both"

    def apply(self, image: Image) -> Image:
        """Run ``cut`` with a larger box."""
        now = shape_of(image.values)
        wished = [-(-n // multiple) * multiple for n, multiple in zip(now, self.multiple, strict=True)]
        start = [-((m - n) // 2) if self.side == "both" else 0 for n, m in zip(now, wished, strict=True)]
        return cut(
            image,
            start=(start[0], start[1], start[2]),
            shape=(wished[0], wished[1], wished[2]),
            outside=self.outside,
        )


class PadToSquare(Strict):
    """Fill the shorter of rows and columns up to the longer, around the middle."""

    step: Literal["pad_to_square"]
    outside: float

    def apply(self, image: Image) -> Image:
        """Run ``cut`` with a larger box."""
        planes, rows, columns = shape_of(image.values)
        side = max(rows, columns)
        start = (0, -((side - rows) // 2), -((side - columns) // 2))
        return cut(image, start=start, shape=(planes, side, side), outside=self.outside)
