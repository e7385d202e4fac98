"""Mode "slices": a 2D net on every plane of axis 0, in batches."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from worker.inference.modes.base import check_grid
from worker.inference.nets import Net, RunNet
from worker.inference.steps.image import Float, Image, Scores
from worker.inference.strict import Strict


def in_batches(image: Image, net: Net, run: RunNet, *, batch: int) -> Scores:
    """Run a 2D net: (n, channel, b, c) in, (n, classes, b, c) out, put together to (classes, a, b, c).

    A net whose file fixes the batch gets the last batch filled up with its last plane.
    """
    planes = image.values.shape[1]
    fixed = net.input.shape[0]
    size = fixed if isinstance(fixed, int) else batch
    scores: Float | None = None
    for first in range(0, planes, size):
        stack = np.ascontiguousarray(image.values[:, first : first + size].swapaxes(0, 1))
        count = stack.shape[0]
        if isinstance(fixed, int) and count < fixed:
            stack = np.concatenate([stack, np.repeat(stack[-1:], fixed - count, axis=0)])
        answer = run(net, stack, last=first + size >= planes)[:count]
        if scores is None:
            scores = np.empty((answer.shape[1], planes, *answer.shape[2:]), dtype=np.float32)
            check_grid(net, scores, image)
        scores[:, first : first + count] = answer.swapaxes(0, 1)
    if scores is None:
        raise ValueError("an image without planes cannot have passed the input contract")
    return Scores(scores, image.geometry)


class Slices(Strict):
    """Every plane of axis 0 by itself; ``batch`` planes in one run."""

    mode: Literal["slices"]
    net: Net
    batch: Annotated[int, Field(ge=1, le=256)] = 8

    @model_validator(mode="after")
    def _flat(self) -> Slices:
        if len(self.net.input.shape) != 4 or len(self.net.output.shape) != 4:
            raise ValueError("mode slices needs input and output of shape [batch, channel, rows, columns]")
        return self

    def nets(self) -> tuple[Net, ...]:
        """The nets that it runs."""
        return (self.net,)

    def answer(self) -> Net:
        """The net whose output the postprocessing sees."""
        return self.net

    def run(self, image: Image, run: RunNet) -> Scores:
        """Run ``in_batches``."""
        return in_batches(image, self.net, run, batch=self.batch)
