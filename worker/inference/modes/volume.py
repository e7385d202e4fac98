"""Mode "volume": a 3D net on the whole volume at once."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from worker.inference.modes.base import whole
from worker.inference.nets import Net, RunNet
from worker.inference.steps.image import Image, Scores
from worker.inference.strict import Strict


class WholeVolume(Strict):
    """The whole volume in one run."""

    mode: Literal["volume"]
    net: Net

    @model_validator(mode="after")
    def _solid(self) -> WholeVolume:
        if len(self.net.input.shape) != 5 or len(self.net.output.shape) != 5:
            raise ValueError("mode volume needs input and output of shape [1, channel, a, b, c]")
        return self

    def nets(self) -> tuple[Net, ...]:
        """The nets that it runs."""
        return (self.net,)

    def answer(self) -> Net:
        """The net whose output the postprocessing sees."""
        return self.net

    def run(self, image: Image, run: RunNet) -> Scores:
        """Run ``whole``."""
        return whole(image, self.net, run)
