"""Mode "slices": a 2D net on every plane of axis 0, in batches, if wished with its neighbours as channels (2.5D)."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from worker.domain.volume import Geometry
from worker.inference.answers import Ratings
from worker.inference.entries.nets import Net, RunNet
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Image, Scores, over_same_field
from worker.inference.modes.base import Kind, check_grid, check_ratings, kind_of, same_rank
from worker.inference.modes.mirror import MirrorAxes, fit, mirrored


def in_batches(image: Image, net: Net, run: RunNet, *, batch: int, neighbours: int = 0) -> Scores | Ratings:
    """Run a 2D net on every plane.

    (n, channel, b, c) in, (n, classes, b, c) out, put together to (classes, a, b, c); or (n, classes) out, put
    together to ratings (a, classes). With ``neighbours`` the channels are those of the planes -n ... +n, one plane
    after another; beyond the ends the end plane is repeated. A net whose file fixes the batch gets the last batch
    filled up with its last plane.
    """
    planes = image.values.shape[1]
    fixed = net.input.shape[0]
    size = fixed if isinstance(fixed, int) else batch
    answers: Float | None = None
    for first in range(0, planes, size):
        stack = _stack(image.values, first, min(size, planes - first), neighbours)
        count = stack.shape[0]
        if isinstance(fixed, int) and count < fixed:
            stack = np.concatenate([stack, np.repeat(stack[-1:], fixed - count, axis=0)])
        answer = run(net, stack, last=first + size >= planes)
        if net.rates:
            check_ratings(net, answer, count=stack.shape[0])
        answer = answer[:count]
        if answers is None:
            answers = np.empty((planes, *answer.shape[1:]), dtype=np.float32)
            if not net.rates:
                answers = np.empty((answer.shape[1], planes, *answer.shape[2:]), dtype=np.float32)
                if net.output_grid == "input":
                    check_grid(net, answers, image)
        if net.rates:
            answers[first : first + count] = answer
        else:
            answers[:, first : first + count] = answer.swapaxes(0, 1)
    if answers is None:
        raise ValueError("an image without planes cannot have passed the input contract")
    if net.rates:
        return Ratings(answers, np.arange(planes, dtype=np.float64), image.geometry, whole=planes == 1)
    return Scores(answers, _grid(net, answers, image.geometry))


def _grid(net: Net, answers: Float, geometry: Geometry) -> Geometry:
    if net.output_grid == "input":
        return geometry
    return over_same_field(geometry, (answers.shape[1], answers.shape[2], answers.shape[3]))


def _stack(values: Float, first: int, count: int, neighbours: int) -> Float:
    """Planes ``first`` ... as a batch (count, channel * (2 * neighbours + 1), b, c)."""
    if neighbours == 0:
        return np.ascontiguousarray(values[:, first : first + count].swapaxes(0, 1))
    offsets = np.arange(-neighbours, neighbours + 1)
    wanted = np.clip(np.arange(first, first + count)[:, None] + offsets, 0, values.shape[1] - 1)
    taken = values[:, wanted]  # (channel, plane, offset, b, c)
    stacked = taken.transpose(1, 2, 0, 3, 4)
    return np.ascontiguousarray(stacked.reshape(count, -1, *values.shape[2:]))


class Slices(Strict):
    """Every plane of axis 0 by itself; ``batch`` planes in one run; with ``neighbours`` on each side as channels."""

    mode: Literal["slices"]
    net: Net
    batch: Annotated[int, Field(ge=1, le=256)] = 8
    neighbours: Annotated[int, Field(ge=0, le=16)] = 0
    mirror: MirrorAxes = ()

    @model_validator(mode="after")
    def _flat(self) -> Slices:
        if len(self.net.input.shape) != 4:
            raise ValueError("mode slices needs input and output of shape [batch, channel, rows, columns]")
        channels = self.net.input.shape[1]
        if isinstance(channels, int) and channels % (2 * self.neighbours + 1):
            raise ValueError(
                f"{self.neighbours} neighbours on each side make a multiple of {2 * self.neighbours + 1} channels; "
                f"the input has {channels}"
            )
        same_rank(self.net)
        fit(self.mirror, rank=4)
        return self

    @property
    def kind(self) -> Kind:
        """Which kind of answer comes out of this mode."""
        return kind_of(self.net)

    def nets(self) -> tuple[Net, ...]:
        """The nets that it runs."""
        return (self.net,)

    def answer(self) -> Net:
        """The net whose output the postprocessing sees."""
        return self.net

    def run(self, image: Image, run: RunNet) -> Scores | Ratings:
        """The answer of the net to the whole image; see ``in_batches``."""
        turned = mirrored(run, self.mirror)
        return in_batches(image, self.net, turned, batch=self.batch, neighbours=self.neighbours)
