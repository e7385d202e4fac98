"""Mode "clips": a net that rates runs of neighbouring frames (cine, phases) or slices."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from worker.inference.answers import Ratings
from worker.inference.entries.nets import Net, RunNet
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Image
from worker.inference.modes.base import Kind, check_ratings, same_rank
from worker.inference.modes.mirror import MirrorAxes, fit, mirrored


def clip_starts(frames: int, *, span: int, stride: int) -> tuple[int, ...]:
    """First frames of clips that each span ``span`` frames: every ``stride``, and one that ends with the last frame."""
    last = max(0, frames - span)
    found = list(range(0, last + 1, stride))
    return tuple(found if found[-1] == last else [*found, last])


class Clips(Strict):
    """Runs of ``frames`` planes of axis 0, ``every``-th plane each, one run beginning every ``stride`` planes.

    The net gets [batch, channel, frame, rows, columns] and answers [batch, channel]: one rating for each clip. A
    series that is too short is continued with its last plane.
    """

    mode: Literal["clips"]
    net: Net
    frames: Annotated[int, Field(ge=1, le=512)]
    every: Annotated[int, Field(ge=1, le=64)] = 1
    stride: Annotated[int, Field(ge=1, le=4096)]
    mirror: MirrorAxes = ()

    @model_validator(mode="after")
    def _rates(self) -> Clips:
        if len(self.net.input.shape) != 5 or not self.net.rates:
            raise ValueError("mode clips needs an input [batch, channel, frame, rows, columns] and an output "
                             "[batch, channel]")  # fmt: skip
        stated = self.net.input.shape[2]
        if isinstance(stated, int) and stated != self.frames:
            raise ValueError(f"frames is {self.frames}, but the input has {stated}")
        same_rank(self.net)
        fit(self.mirror, rank=5)
        return self

    @property
    def kind(self) -> Kind:
        """Which kind of answer comes out of this mode."""
        return "ratings"

    def nets(self) -> tuple[Net, ...]:
        """The nets that it runs."""
        return (self.net,)

    def answer(self) -> Net:
        """The net whose output the postprocessing sees."""
        return self.net

    def run(self, image: Image, run: RunNet) -> Ratings:
        """Rate clips of ``frames`` planes, ``stride`` apart: one row of ratings for each, in their order."""
        turned = mirrored(run, self.mirror)
        planes = image.values.shape[1]
        span = (self.frames - 1) * self.every + 1
        firsts = clip_starts(planes, span=span, stride=self.stride)
        rows: list[Float] = []
        for number, first in enumerate(firsts, start=1):
            wanted = np.minimum(first + np.arange(self.frames) * self.every, planes - 1)
            answer = turned(self.net, np.ascontiguousarray(image.values[None, :, wanted]), last=number == len(firsts))
            check_ratings(self.net, answer, count=1)
            rows.append(answer[0])
        middles = np.minimum(np.asarray(firsts, dtype=np.float64) + (span - 1) / 2, planes - 1)
        return Ratings(np.stack(rows), middles, image.geometry, whole=len(rows) == 1)
