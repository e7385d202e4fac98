"""What the manifest says of a net: its file, its input, its output."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import Field

from worker.inference.outputs import Name
from worker.inference.steps.image import Float
from worker.inference.strict import Strict

Dimension = Annotated[int, Field(ge=1)] | Annotated[str, Field(min_length=1)]
"""A fixed size, or the name of one that varies."""


class Tensor(Strict):
    """Name, type and shape of a net's input or output."""

    name: Annotated[str, Field(min_length=1)]
    dtype: Literal["float32", "float16"] = "float32"
    shape: Annotated[tuple[Dimension, ...], Field(min_length=4, max_length=5)]


class Net(Strict):
    """A net: one of the manifest's weights, with one input and the output that is used."""

    weights: Name
    input: Tensor
    output: Tensor


class RunNet(Protocol):
    """Runs nets on batches."""

    def __call__(self, net: Net, batch: Float, *, last: bool = True) -> Float:
        """Run a net on one batch: float32 (batch, channel, ...) in, float32 (batch, channel, ...) out.

        ``last`` tells that no further batch of this image follows, so that working memory can be given back.
        """
