"""Mode "cascade": what a first net outlines tells a second one where to look, or is shown to it."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from worker.domain.errors import NotApplicableError
from worker.inference.answers import Ratings
from worker.inference.entries.nets import Net, RunNet
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Image, Mask, Scores, index_map, shape_of
from worker.inference.modes.base import Kind
from worker.inference.modes.ensemble import Activation, Ensemble, Single, activated
from worker.inference.steps import PreprocessingStep, preprocess
from worker.inference.steps.masks import largest_component
from worker.inference.steps.resample import cut
from worker.inference.steps.sampling import sample

Channels = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class FirstStage(Strict):
    """The first net: its own chain, how it is run, and what of its answer counts as found.

    ``channels`` show what is looked for. A voxel belongs to channel k when k is the highest of all channels
    (``decide`` "argmax"), or when channel k is above ``above``.
    """

    preprocessing: tuple[PreprocessingStep, ...] = ()
    inference: Single | Ensemble
    activation: Activation = "none"
    channels: Channels
    decide: Literal["argmax", "threshold"] = "argmax"
    above: float = 0.5
    largest_component: bool = False


class SecondStage(Strict):
    """The second net: its own chain (beginning with the cut-out, where there is one), and how it is run."""

    preprocessing: tuple[PreprocessingStep, ...] = ()
    inference: Single | Ensemble


class Cascade(Strict):
    """Two stages: localise, crop, look closer; or show the second net what the first outlined (nnU-Net's cascade).

    The preprocessing of the manifest comes first and is common to both. With ``crop_margin_mm`` the second stage sees
    only the box around what was found and that margin. With ``feed_masks`` one channel for each of ``first.channels``
    (1 inside, 0 outside) is appended to its image, after its preprocessing.
    """

    mode: Literal["cascade"]
    first: FirstStage
    second: SecondStage
    crop_margin_mm: Annotated[float, Field(ge=0)] | None = None
    feed_masks: bool = False

    @model_validator(mode="after")
    def _used(self) -> Cascade:
        if self.crop_margin_mm is None and not self.feed_masks:
            raise ValueError("expected crop_margin_mm, feed_masks or both: else the first stage is for nothing")
        if self.first.inference.kind != "scores":
            raise ValueError("the first stage must answer a score map")
        count = self.first.inference.answer().output.shape[1]
        for channel in self.first.channels:
            if isinstance(count, int) and channel >= count:
                raise ValueError(f"first.channels: channel {channel} does not exist; the output has {count} (from 0)")
        return self

    @property
    def kind(self) -> Kind:
        """Which kind of answer comes out of this mode."""
        return self.second.inference.kind

    def nets(self) -> tuple[Net, ...]:
        """The nets that it runs."""
        return (*self.first.inference.nets(), *self.second.inference.nets())

    def answer(self) -> Net:
        """The net whose output the postprocessing sees."""
        return self.second.inference.answer()

    def run(self, image: Image, run: RunNet) -> Scores | Ratings:
        """Outline, then look again. Raises NotApplicableError (``nothing-localised``) when there is nothing to crop."""
        small = preprocess(image, self.first.preprocessing)
        scores = self.first.inference.run(small, run)
        if not isinstance(scores, Scores):
            raise TypeError("the first stage answers a score map: the manifest does not allow anything else")
        masks = _masks(Scores(activated(scores, self.first.activation), scores.geometry), self.first)
        image = Image(image.values, image.geometry, small.kept)
        if self.crop_margin_mm is not None:
            image = _cropped(image, masks, scores, margin_mm=self.crop_margin_mm)
        prepared = preprocess(image, self.second.preprocessing)
        if self.feed_masks:
            shown = _on_grid(masks, scores, prepared)
            prepared = prepared.with_values(np.concatenate([prepared.values, shown]))
        return self.second.inference.run(prepared, run)


def _masks(scores: Scores, stage: FirstStage) -> NDArray[np.bool_]:
    """One mask for each of the stage's channels, (mask, a, b, c) on the grid of the scores."""
    if stage.decide == "argmax":
        highest = np.argmax(scores.values, axis=0)
        masks = np.array([highest == channel for channel in stage.channels])
    else:
        masks = np.array([scores.values[channel] > stage.above for channel in stage.channels])
    if stage.largest_component:
        masks[:] = [largest_component(mask) for mask in masks]
    return masks


def _cropped(image: Image, masks: NDArray[np.bool_], scores: Scores, *, margin_mm: float) -> Image:
    found: Mask = np.any(masks, axis=0)
    places = np.argwhere(found)
    if len(places) == 0:
        raise NotApplicableError(
            f"The structure was not found in this image (0 of {found.size} positions).",
            next_step="Check that the series shows the body part that the model was made for.",
            code="nothing-localised",
        )
    low, high = places.min(axis=0) - 0.5, places.max(axis=0) + 0.5
    corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1)
    matrix = index_map(of=scores.geometry, into=image.geometry)
    mapped = matrix[:3, :3] @ corners + matrix[:3, 3:4]
    margin = margin_mm / np.asarray(image.geometry.spacing_mm)
    shape = np.asarray(shape_of(image.values))
    start = np.clip(np.floor(mapped.min(axis=1) - margin + 0.5), 0, shape - 1).astype(int)
    end = np.clip(np.ceil(mapped.max(axis=1) + margin + 0.5), start + 1, shape).astype(int)
    size = end - start
    return cut(image, start=(int(start[0]), int(start[1]), int(start[2])),
               shape=(int(size[0]), int(size[1]), int(size[2])))  # fmt: skip


def _on_grid(masks: NDArray[np.bool_], scores: Scores, target: Image) -> Float:
    """The masks as 1 and 0 on another grid: inside where more than half of the surrounding voxels are."""
    matrix = index_map(of=target.geometry, into=scores.geometry)
    shape = shape_of(target.values)
    shown: Float = np.empty((len(masks), *shape), dtype=np.float32)
    for number, mask in enumerate(masks):
        sampled, inside = sample(mask[None].astype(np.float32), matrix, shape, interpolation="linear")
        shown[number] = sampled[0] >= 0.5
        if inside is not None:
            shown[number] *= inside
    return shown
