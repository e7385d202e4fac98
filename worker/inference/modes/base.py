"""What modes share: putting an image into a net and taking its answer back to where the image lies."""

from __future__ import annotations

from typing import Literal

import numpy as np

from worker.domain.errors import ConfigurationError
from worker.domain.volume import Geometry
from worker.inference.answers import Ratings
from worker.inference.entries.nets import Net, RunNet
from worker.inference.image import Float, Image, Scores, over_same_field, shape_of

Kind = Literal["scores", "ratings", "boxes"]
"""What kind of answer a mode gives."""


def same_rank(net: Net) -> None:
    """Raise ValueError unless the output has the rank of the input, or is [batch, channel]."""
    if len(net.output.shape) not in (2, len(net.input.shape)):
        raise ValueError(
            f"the output has neither as many axes as the input ({len(net.input.shape)}) nor [batch, channel]; "
            f"found {len(net.output.shape)}"
        )


def kind_of(net: Net) -> Kind:
    """What a net with one output answers."""
    return "ratings" if net.rates else "scores"


def whole(image: Image, net: Net, run: RunNet) -> Scores:
    """Run a net on the whole volume at once: (1, channel, a, b, c) in, (1, channel, a, b, c) out."""
    answer = run(net, image.values[None])
    return Scores(answer[0], answer_grid(net, answer[0], image))


def whole_rated(image: Image, net: Net, run: RunNet) -> Ratings:
    """Run a net that rates the whole volume: (1, channel, a, b, c) in, (1, channel) out."""
    answer = run(net, image.values[None])
    check_ratings(net, answer, count=1)
    middle = np.array([(image.values.shape[1] - 1) / 2])
    return Ratings(answer, middle, image.geometry, whole=True)


def check_ratings(net: Net, answer: Float, *, count: int) -> None:
    """Raise ConfigurationError unless the answer is (count, channel)."""
    if answer.ndim != 2 or answer.shape[0] != count:
        raise ConfigurationError(
            f'Output "{net.output.name}" has the shape {answer.shape}, but {count} images went in.',
            next_step="This mode needs a net that answers [batch, channel]; export it so.",
            code="net-grid-mismatch",
        )


def answer_grid(net: Net, values: Float, image: Image) -> Geometry:
    """Where the answer (channel, a, b, c) lies: on the image's grid, or ("scaled") on one over its field of view."""
    if net.output_grid == "input":
        check_grid(net, values, image)
        return image.geometry
    return over_same_field(image.geometry, shape_of(values))


def check_grid(net: Net, values: Float, image: Image) -> None:
    """Raise ConfigurationError unless the answer (channel, a, b, c) lies on the grid of what went in."""
    if values.shape[1:] != image.values.shape[1:]:
        raise ConfigurationError(
            f'Output "{net.output.name}" has the grid {values.shape[1:]}, but its input had {image.values.shape[1:]}.',
            next_step='Export a net whose output lies on the grid of its input, or state output_grid = "scaled".',
            code="net-grid-mismatch",
        )
