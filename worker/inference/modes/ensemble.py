"""Mode "ensemble": the mean answer of several weights of one net (the folds of a cross-validation)."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from worker.inference.answers import Candidates, Ratings
from worker.inference.entries.nets import Net, RunNet
from worker.inference.entries.output_parts import Name
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Image, Scores
from worker.inference.modes.base import Kind
from worker.inference.modes.clips import Clips
from worker.inference.modes.slices import Slices
from worker.inference.modes.sliding_window import SlidingWindow
from worker.inference.modes.volume import WholeVolume
from worker.inference.steps.scores import on_channels, sigmoid, softmax

Single = Annotated[Slices | WholeVolume | SlidingWindow | Clips, Field(discriminator="mode")]
"""Modes that run one net."""
Activation = Literal["none", "softmax", "sigmoid"]


class Ensemble(Strict):
    """Several weights of one net, run one after another: the mean of their answers.

    ``weights`` are the members; ``of`` says how each is run, its net's own ``weights`` is the first of them. Each
    answer goes through ``activation`` before the mean: "softmax" for the mean of probabilities, "none" for the mean of
    logits (nnU-Net's folds). What has been activated here needs no such step in the postprocessing.
    """

    mode: Literal["ensemble"]
    weights: Annotated[tuple[Name, ...], Field(min_length=2, max_length=32)]
    activation: Activation
    of: Single

    @model_validator(mode="after")
    def _members(self) -> Ensemble:
        if self.of.net.weights != self.weights[0]:
            raise ValueError(f'of.net.weights must be the first member, "{self.weights[0]}"')
        if len(set(self.weights)) != len(self.weights):
            raise ValueError(f"every member stands once; found {list(self.weights)}")
        return self

    @property
    def kind(self) -> Kind:
        """Which kind of answer comes out of this mode."""
        return self.of.kind

    def nets(self) -> tuple[Net, ...]:
        """The nets that it runs."""
        return tuple(self.of.net.model_copy(update={"weights": weights}) for weights in self.weights)

    def answer(self) -> Net:
        """The net whose output the postprocessing sees."""
        return self.of.answer()

    def run(self, image: Image, run: RunNet) -> Scores | Ratings:
        """Run member after member; only the sum is kept."""
        total: Scores | Ratings | None = None
        for member in (self.of.model_copy(update={"net": net}) for net in self.nets()):
            answer = member.run(image, run)
            values = activated(answer, self.activation)
            total = _with(answer, values if total is None else np.add(total.values, values, out=total.values))
        if total is None:
            raise ValueError("an ensemble has members")
        return _with(total, np.divide(total.values, np.float32(len(self.weights)), out=total.values))


def activated(answer: Scores | Ratings, activation: Activation) -> Float:
    """The values of an answer as probabilities. Channels are axis 0 of a score map and axis 1 of ratings."""
    if activation == "none":
        return answer.values
    found = on_channels(answer, softmax if activation == "softmax" else sigmoid)
    if isinstance(found, Candidates):
        raise TypeError("an ensemble has no boxes: the manifest does not allow it")
    return found.values


def _with(answer: Scores | Ratings, values: Float) -> Scores | Ratings:
    if isinstance(answer, Scores):
        return Scores(values, answer.geometry)
    return Ratings(values, answer.positions, answer.geometry, answer.whole)
