"""Mode "sliding_window": a net on overlapping windows, in 3D or on every plane, blended by weight."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from worker.inference.entries.nets import Net, RunNet
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Image, Scores
from worker.inference.modes.base import Kind, check_grid, same_rank
from worker.inference.modes.mirror import MirrorAxes, fit, mirrored
from worker.inference.modes.window_grid import Placement, Weighting, padding, starts, weights

Size = Annotated[int, Field(ge=1, le=4096)]
Box = tuple[slice, slice, slice]


class SlidingWindow(Strict):
    """Overlapping windows over the volume (3D nets) or over every plane of axis 0 (2D nets), blended by weight.

    Parameters
    ----------
    window:
        Size in voxels: three numbers for a 3D net, two for a 2D net. A shorter image is filled up with ``outside``
        around it.
    overlap:
        Part of the window that neighbouring windows share.
    placement, weighting:
        "fixed_step" and "gaussian" are what MONAI does, "even_step" and "gaussian_filter" what nnU-Net does.
    batch:
        Windows in one run.
    mirror:
        Axes of the window along which it is also shown mirrored.
    """

    mode: Literal["sliding_window"]
    net: Net
    window: Annotated[tuple[Size, ...], Field(min_length=2, max_length=3)]
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    placement: Placement = "fixed_step"
    weighting: Weighting = "gaussian"
    sigma: Annotated[float, Field(gt=0, le=1)] = 0.125
    outside: float = 0.0
    batch: Annotated[int, Field(ge=1, le=64)] = 1
    mirror: MirrorAxes = ()

    @model_validator(mode="after")
    def _fits(self) -> SlidingWindow:
        rank = len(self.net.input.shape)
        if len(self.window) != rank - 2:
            raise ValueError(f"the net's image has {rank - 2} axes, so the window needs {rank - 2} numbers")
        if self.net.rates or self.net.output_grid != "input":
            raise ValueError("windows are put together on the grid of the input: the net must answer there")
        for size, stated in zip(self.window, self.net.input.shape[2:], strict=True):
            if isinstance(stated, int) and stated != size:
                raise ValueError(f"window {list(self.window)} does not fit the input {list(self.net.input.shape)}")
        same_rank(self.net)
        fit(self.mirror, rank=rank)
        return self

    @property
    def kind(self) -> Kind:
        """Which kind of answer comes out of this mode."""
        return "scores"

    def nets(self) -> tuple[Net, ...]:
        """The nets that it runs."""
        return (self.net,)

    def answer(self) -> Net:
        """The net whose output the postprocessing sees."""
        return self.net

    def run(self, image: Image, run: RunNet) -> Scores:
        """The answer of the net to the whole image; see ``over_windows``."""
        flat = len(self.window) == 2
        window = (1, *self.window) if flat else self.window
        weight = weights(self.window, weighting=self.weighting, sigma=self.sigma)
        turned = mirrored(run, self.mirror)
        fixed = self.net.input.shape[0]
        size = fixed if isinstance(fixed, int) else self.batch
        pads = padding(image.values.shape[1:], window)
        values = np.pad(image.values, [(0, 0), *pads], constant_values=np.float32(self.outside)) if any(
            pair != (0, 0) for pair in pads
        ) else image.values  # fmt: skip
        boxes = list(_boxes(values.shape[1:], window, overlap=self.overlap, placement=self.placement))
        total: Float | None = None
        for first, group in _groups(boxes, size):
            batch = np.stack([values[:, *box] for box in group])
            if flat:
                batch = batch[:, :, 0]
            if isinstance(fixed, int) and len(group) < fixed:
                batch = np.concatenate([batch, np.repeat(batch[-1:], fixed - len(group), axis=0)])
            answers = turned(self.net, np.ascontiguousarray(batch), last=first + size >= len(boxes))
            for box, answer in zip(group, answers, strict=False):
                check_grid(self.net, answer, Image(batch[0], image.geometry))
                if total is None:
                    total = np.zeros((answer.shape[0], *values.shape[1:]), dtype=np.float32)
                piece = answer * weight
                total[:, *box] += piece[:, None] if flat else piece
        if total is None:
            raise ValueError("an image without voxels cannot have passed the input contract")
        total /= _sum_of_weights(values.shape[1:], boxes, weight[None] if flat else weight)
        inner = tuple(slice(before, before + n) for (before, _), n in zip(pads, image.values.shape[1:], strict=True))
        return Scores(total[:, *inner], image.geometry)


def _boxes(shape: tuple[int, ...], window: tuple[int, ...], *, overlap: float, placement: Placement) -> Iterator[Box]:
    per_axis = [
        starts(size, wished, overlap=overlap, placement=placement) for size, wished in zip(shape, window, strict=True)
    ]
    for first in product(*per_axis):
        box = [slice(begin, begin + size) for begin, size in zip(first, window, strict=True)]
        yield box[0], box[1], box[2]


def _groups(boxes: list[Box], size: int) -> Iterator[tuple[int, list[Box]]]:
    for first in range(0, len(boxes), size):
        yield first, list(islice(boxes, first, first + size))


def _sum_of_weights(shape: tuple[int, ...], boxes: list[Box], weight: Float) -> Float:
    total: Float = np.zeros(shape, dtype=np.float32)
    for box in boxes:
        total[box] += weight
    return total
