"""Mode "boxes": a net that answers lists of boxes, on every plane or on the volume, if wished in windows."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from worker.inference.answers import Candidates
from worker.inference.entries.nets import BoxNet, RunNet
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Image
from worker.inference.modes.base import Kind
from worker.inference.modes.window_grid import Placement, starts

Size = Annotated[int, Field(ge=1, le=4096)]


class Boxes(Strict):
    """Boxes with scores, on every plane of axis 0 (2D nets) or in the volume (3D nets).

    With ``window`` (two or three numbers) the net sees overlapping windows instead of the whole; boxes that it finds
    twice are left to the output's non-maximum suppression. ``least`` is the score below which a box is not even kept.
    """

    mode: Literal["boxes"]
    net: BoxNet
    window: Annotated[tuple[Size, ...], Field(min_length=2, max_length=3)] | None = None
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.25
    placement: Placement = "fixed_step"
    least: Annotated[float, Field(ge=0, lt=1)] = 0.01

    @model_validator(mode="after")
    def _fits(self) -> Boxes:
        if self.window is not None and len(self.window) != self.net.flat:
            raise ValueError(f"the net's image has {self.net.flat} axes, so the window needs {self.net.flat} numbers")
        if self.net.lists_of == "image" and self.net.input.shape[0] not in (1, "N"):
            raise ValueError('with lists_of "image" the net gets one image at a time: its batch is 1')
        return self

    @property
    def kind(self) -> Kind:
        """Which kind of answer comes out of this mode: lists of boxes."""
        return "boxes"

    def nets(self) -> tuple[BoxNet, ...]:
        """The nets that it runs."""
        return (self.net,)

    def answer(self) -> BoxNet:
        """The net whose output the postprocessing sees."""
        return self.net

    def run(self, image: Image, run: RunNet) -> Candidates:
        """Window after window; boxes come back in voxels of the image."""
        flat = self.net.flat == 2
        shape = image.values.shape[1:]
        stated = shape[1:] if flat and self.window is None else (self.window or shape)
        window = tuple(int(n) for n in ((1, *stated) if flat else stated))
        size = tuple(min(wished, has) for wished, has in zip(window, shape, strict=True))
        corners = list(
            product(*(starts(n, w, overlap=self.overlap, placement=self.placement)
                      for n, w in zip(shape, size, strict=True)))
        )  # fmt: skip
        found = []
        for number, corner in enumerate(corners, start=1):
            place = tuple(slice(first, first + n) for first, n in zip(corner, size, strict=True))
            part = image.values[:, *place]
            fed = np.ascontiguousarray(part[:, 0] if flat else part)[None]
            answer = run(self.net, fed, last=number == len(corners))[0]
            found.append(_placed(self.net, answer, corner, size, least=self.least))
        boxes = np.concatenate([one[0] for one in found])
        scores = np.concatenate([one[1] for one in found])
        classes = np.concatenate([one[2] for one in found])
        return Candidates(boxes, scores, classes, image.geometry)


def _placed(
    net: BoxNet, answer: Float, corner: tuple[int, ...], size: tuple[int, ...], *, least: float
) -> tuple[NDArray[np.float64], Float, NDArray[np.int64]]:
    rows = answer[answer[:, -2] >= least]
    boxes = in_voxels(rows[:, :-2].astype(np.float64), net, size=size[-net.flat :])
    if net.flat == 2:
        # A flat box lies in its plane: half a voxel to each side.
        whole = np.empty((len(boxes), 6))
        whole[:, [0, 3]] = [-0.5, 0.5]
        whole[:, [1, 2, 4, 5]] = boxes
        boxes = whole
    boxes += np.tile(np.asarray(corner, dtype=np.float64), 2)
    return boxes, rows[:, -2].copy(), np.rint(rows[:, -1]).astype(np.int64)


def in_voxels(boxes: NDArray[np.float64], net: BoxNet, *, size: tuple[int, ...]) -> NDArray[np.float64]:
    """Boxes as the net says them, as (lowest corner, highest corner) in voxel indices; array axes in order.

    ``size`` is that of the net's image. The centre of the first pixel is 0, its outer edge -0.5.
    """
    count = net.flat
    first, second = boxes[:, :count], boxes[:, count:]
    if net.axes == "column_row":
        first, second = first[:, ::-1], second[:, ::-1]
    if net.form == "centre_size":
        first, second = first - second / 2, first + second / 2
    if net.unit == "fraction":
        first, second = first * np.asarray(size), second * np.asarray(size)
    shift = 0.5 if net.origin == "edge" else 0.0
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1) - shift
