"""Mode "nnunet_cascade": a net on a coarse grid, and one on a fine grid that is shown what the first one said."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from worker.domain.errors import ConfigurationError
from worker.inference.answers import Ratings
from worker.inference.entries.nets import Net, RunNet
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Image, Scores, shape_of
from worker.inference.modes.base import Kind
from worker.inference.modes.ensemble import Ensemble, Single
from worker.inference.steps import PreprocessingStep, preprocess
from worker.inference.steps.decide import Argmax, LastAbove
from worker.inference.steps.intensity import foreground
from worker.inference.steps.nnunet import Labels, LabelsNnunet

_NOT_SEEN = -1
"""What nnU-Net writes where the image is 0 and no structure is: a label of its own while labels are resampled."""


class Coarse(Strict):
    """The first stage. ``channels``: the channel of its output that each mask for the second stage comes from."""

    preprocessing: tuple[PreprocessingStep, ...] = ()
    inference: Single | Ensemble
    decision: Annotated[Argmax | LastAbove, Field(discriminator="step")]
    channels: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class Fine(Strict):
    """The second stage, and how the labels of the first come onto its grid."""

    preprocessing: tuple[PreprocessingStep, ...] = ()
    inference: Single | Ensemble
    labels: LabelsNnunet


class NnunetCascade(Strict):
    """Two stages as in nnU-Net's ``3d_cascade_fullres``: the second net also sees the first one's labels, one-hot.

    The preprocessing of the manifest comes first and is common to both: turning, and cropping to what is not 0. The
    first stage's scores become labels on that common grid; these are resampled to the grid of the second stage, and one
    channel for each of ``first.channels`` (1 inside, 0 outside) is appended to its image.
    """

    mode: Literal["nnunet_cascade"]
    first: Coarse
    second: Fine

    @model_validator(mode="after")
    def _fits(self) -> NnunetCascade:
        if self.first.inference.kind != "scores" or self.second.inference.kind != "scores":
            raise ValueError("both stages must answer a score map")
        count = self.first.inference.answer().output.shape[1]
        for channel in self.first.channels:
            if isinstance(count, int) and channel >= count:
                raise ValueError(f"first.channels: channel {channel} does not exist; the output has {count} (from 0)")
        fed = self.second.inference.answer().input.shape[1]
        if isinstance(fed, int) and fed <= len(self.first.channels):
            raise ValueError(
                f"the second net takes {fed} channels, which must be those of the image and {len(self.first.channels)} "
                "masks"
            )
        return self

    @property
    def kind(self) -> Kind:
        """Which kind of answer comes out of this mode."""
        return "scores"

    def nets(self) -> tuple[Net, ...]:
        """The nets that it runs."""
        return (*self.first.inference.nets(), *self.second.inference.nets())

    def answer(self) -> Net:
        """The net whose output the postprocessing sees."""
        return self.second.inference.answer()

    def run(self, image: Image, run: RunNet) -> Scores | Ratings:
        """Outline on the coarse grid, then again on the fine one. ConfigurationError (``net-grid-mismatch``)."""
        labels = self._outlined(image, run)
        prepared = preprocess(image, self.second.preprocessing)
        shown = self.second.labels.apply(labels, image.geometry)
        if shown.shape != shape_of(prepared.values):
            raise ConfigurationError(
                f"The labels of the first stage have the grid {shown.shape}, the image of the second "
                f"{shape_of(prepared.values)}.",
                next_step="State the same spacing_mm in second.labels as in second.preprocessing.",
                code="net-grid-mismatch",
            )
        masks: Float = np.stack([shown == number for number in self._numbers().values()]).astype(np.float32)
        return self.second.inference.run(prepared.with_values(np.concatenate([prepared.values, masks])), run)

    def _numbers(self) -> dict[int, int]:
        """Channel of the first output to a number from 1, in the order of the masks."""
        return {channel: number for number, channel in enumerate(self.first.channels, start=1)}

    def _outlined(self, image: Image, run: RunNet) -> Labels:
        """The first stage's labels (a, b, c) on the grid of the image; -1 where there is nothing to see."""
        scores = self.first.inference.run(preprocess(image, self.first.preprocessing), run)
        if not isinstance(scores, Scores):
            raise TypeError("the first stage answers a score map: the manifest does not allow anything else")
        decided = self.first.decision.labels(scores, image.geometry, numbers=self._numbers(), thresholds={})
        labels = decided.astype(np.int16)
        labels[(labels == 0) & ~foreground(image.values)] = _NOT_SEEN
        return labels
