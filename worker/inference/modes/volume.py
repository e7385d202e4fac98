"""Mode "volume": a 3D net on the whole volume at once."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from worker.inference.answers import Ratings
from worker.inference.entries.nets import Net, RunNet
from worker.inference.entries.strict import Strict
from worker.inference.image import Image, Scores
from worker.inference.modes.base import Kind, kind_of, same_rank, whole, whole_rated
from worker.inference.modes.mirror import MirrorAxes, fit, mirrored


class WholeVolume(Strict):
    """The whole volume in one run."""

    mode: Literal["volume"]
    net: Net
    mirror: MirrorAxes = ()

    @model_validator(mode="after")
    def _solid(self) -> WholeVolume:
        if len(self.net.input.shape) != 5:
            raise ValueError("mode volume needs input and output of shape [1, channel, a, b, c]")
        same_rank(self.net)
        fit(self.mirror, rank=5)
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
        """Show the net the whole image at once: ratings of a net that rates, else scores of every voxel."""
        turned = mirrored(run, self.mirror)
        return whole_rated(image, self.net, turned) if self.net.rates else whole(image, self.net, turned)
