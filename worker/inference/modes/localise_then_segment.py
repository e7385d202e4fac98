"""Mode "localise_then_segment": a coarse net finds the place, a fine net sees only that."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from worker.domain.errors import NotApplicableError
from worker.inference.entries.nets import Net, RunNet
from worker.inference.entries.strict import Strict
from worker.inference.image import Image, Mask, Scores, shape_of
from worker.inference.modes.base import Kind, whole
from worker.inference.steps import PreprocessingStep, preprocess
from worker.inference.steps.masks import largest_component
from worker.inference.steps.resample import cut

Box = tuple[tuple[int, int, int], tuple[int, int, int]]
"""First index and shape."""


def box_around(
    mask: Mask,
    *,
    shape: tuple[int, int, int],
    margin: float,
    plane_fraction: float,
) -> Box | None:
    """The box, in voxels of a finer grid over the same field of view, that holds a coarse mask and a margin.

    Parameters
    ----------
    mask:
        Coarse mask (a, b, c).
    shape:
        Shape of the finer grid.
    margin:
        Part of the box's size that is added on each side (0.1: a tenth).
    plane_fraction:
        A plane belongs to the box when more than this part of it is in the mask (specks do not widen the box).

    Returns
    -------
    tuple or None
        None when no plane qualifies. Rounding follows deepbet 1.0.2 (centre and size to whole voxels, half to even).
    """
    start, size = [], []
    for axis in range(3):
        share = mask.mean(axis=tuple(other for other in range(3) if other != axis))
        planes = np.flatnonzero(share > plane_fraction)
        if planes.size == 0:
            return None
        scale = shape[axis] / mask.shape[axis]
        low, high = int(planes[0]), int(planes[-1]) + 1
        centre = round((high + low) / 2 * scale)
        width = round((high - low) * scale * (1 + 2 * margin))
        first = max(0, int(centre - width / 2))
        start.append(first)
        size.append(max(1, min(shape[axis], int(centre + width / 2)) - first))
    return (start[0], start[1], start[2]), (size[0], size[1], size[2])


class Localiser(Strict):
    """The coarse net: what it gets, which channel shows the structure, and what counts as found."""

    net: Net
    preprocessing: tuple[PreprocessingStep, ...]
    channel: Annotated[int, Field(ge=0)]
    above: float = 0.5
    plane_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    margin: Annotated[float, Field(ge=0, le=2)] = 0.1


class Segmenter(Strict):
    """The fine net and what it gets, beginning with the cut-out of the source."""

    net: Net
    preprocessing: tuple[PreprocessingStep, ...]


class LocaliseThenSegment(Strict):
    """Two nets: find the box on the whole volume, segment inside the box.

    The preprocessing of the manifest comes first and is common to both; the localiser's chain must leave the field of
    view as it is (resampling to a shape does). What the localiser's chain keeps, the segmenter's chain can use.
    """

    mode: Literal["localise_then_segment"]
    localiser: Localiser
    segmenter: Segmenter

    @model_validator(mode="after")
    def _solid(self) -> LocaliseThenSegment:
        for net in self.nets():
            if len(net.input.shape) != 5 or len(net.output.shape) != 5:
                raise ValueError("mode localise_then_segment needs inputs and outputs of shape [1, channel, a, b, c]")
        return self

    @property
    def kind(self) -> Kind:
        """Which kind of answer comes out of this mode."""
        return "scores"

    def nets(self) -> tuple[Net, ...]:
        """The nets that it runs."""
        return (self.localiser.net, self.segmenter.net)

    def answer(self) -> Net:
        """The net whose output the postprocessing sees."""
        return self.segmenter.net

    def run(self, image: Image, run: RunNet) -> Scores:
        """Localise, cut, segment. Raises NotApplicableError (``nothing-localised``) when there is no box."""
        small = preprocess(image, self.localiser.preprocessing)
        coarse = whole(small, self.localiser.net, run)
        found: Mask = coarse.values[self.localiser.channel] > self.localiser.above
        box = box_around(
            largest_component(found),
            shape=shape_of(image.values),
            margin=self.localiser.margin,
            plane_fraction=self.localiser.plane_fraction,
        )
        if box is None:
            raise NotApplicableError(
                f"The structure was not found in this image ({np.count_nonzero(found)} of {found.size} positions).",
                next_step="Check that the series shows the body part that the model was made for.",
                code="nothing-localised",
            )
        start, size = box
        inner = cut(Image(image.values, image.geometry, small.kept), start=start, shape=size)
        return whole(preprocess(inner, self.segmenter.preprocessing), self.segmenter.net, run)
