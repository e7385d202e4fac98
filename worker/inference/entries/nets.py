"""What the manifest says of a net: its file, its input, its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from worker.domain.errors import ConfigurationError
from worker.inference.entries.output_parts import Name
from worker.inference.entries.strict import Strict
from worker.inference.image import Float

Dimension = Annotated[int, Field(ge=1)] | Annotated[str, Field(min_length=1)]
"""A fixed size, or the name of one that varies."""


class OutputTensor(Strict):
    """Name, type and shape of a net's output.

    [batch, channel, ...] on a grid, or [batch, channel]: numbers about the image.
    """

    name: Annotated[str, Field(min_length=1)]
    dtype: Literal["float32", "float16"] = "float32"
    shape: Annotated[tuple[Dimension, ...], Field(min_length=2, max_length=5)]

    @model_validator(mode="after")
    def _known_rank(self) -> OutputTensor:
        if len(self.shape) == 3:
            raise ValueError("expected [batch, channel], or [batch, channel, ...] with two or three further axes")
        return self


class Tensor(OutputTensor):
    """Name, type and shape of a net's input."""

    shape: Annotated[tuple[Dimension, ...], Field(min_length=4, max_length=5)]


class ListTensor(Strict):
    """Name, type and shape of an output that is a list: of boxes, scores or classes."""

    name: Annotated[str, Field(min_length=1)]
    dtype: Literal["float32", "float16", "int64", "int32"] = "float32"
    shape: Annotated[tuple[Dimension, ...], Field(min_length=1, max_length=3)]


class Net(Strict):
    """A net: one of the manifest's weights, with one input and the output that is used.

    ``output_grid`` says what grid the output lies on: that of the input, or ("scaled") a coarser or finer one over the
    same field of view (a class activation map).
    """

    weights: Name
    input: Tensor
    output: OutputTensor
    output_grid: Literal["input", "scaled"] = "input"

    @property
    def outputs(self) -> tuple[OutputTensor, ...]:
        """What is fetched from a run."""
        return (self.output,)

    @property
    def rates(self) -> bool:
        """True when it answers numbers about the image, not a map."""
        return len(self.output.shape) == 2

    def pack(self, answers: Sequence[NDArray[Any]]) -> Float:
        """The output as float32 (batch, channel, ...)."""
        return np.asarray(answers[0], dtype=np.float32)


class BoxNet(Strict):
    """A net that answers boxes, scores and (for several classes) class numbers.

    Parameters
    ----------
    axes:
        In which order a box names the axes of the input: "column_row" is the (x, y) of torchvision, "array" the order
        of the array (MONAI: the axes as they stand).
    form:
        "corners": the lowest and the highest corner; "centre_size": the middle and the size.
    unit:
        "pixels" of the input, or "fraction" of its size.
    origin:
        Where 0 is: at the outer "edge" of the first pixel, or at its "centre".
    lists_of:
        "image": the lists have no batch axis and the net gets one image at a time (torchvision); "batch": the first
        axis is the batch, lists are filled up with scores of 0.
    """

    weights: Name
    input: Tensor
    boxes: ListTensor
    scores: ListTensor
    classes: ListTensor | None = None
    axes: Literal["column_row", "array"]
    form: Literal["corners", "centre_size"] = "corners"
    unit: Literal["pixels", "fraction"] = "pixels"
    origin: Literal["edge", "centre"] = "edge"
    lists_of: Literal["image", "batch"] = "image"

    @model_validator(mode="after")
    def _ranks(self) -> BoxNet:
        batch = 1 if self.lists_of == "batch" else 0
        if len(self.boxes.shape) != 2 + batch or len(self.scores.shape) != 1 + batch:
            raise ValueError(
                f"lists_of {self.lists_of} needs boxes of {2 + batch} axes and scores of {1 + batch}; found "
                f"{len(self.boxes.shape)} and {len(self.scores.shape)}"
            )
        if self.classes is not None and len(self.classes.shape) != len(self.scores.shape):
            raise ValueError("classes must have as many axes as scores")
        columns = self.boxes.shape[-1]
        if isinstance(columns, int) and columns != 2 * self.flat:
            raise ValueError(f"a box of this net has {2 * self.flat} numbers; found {columns}")
        if self.axes == "column_row" and len(self.input.shape) == 5:
            raise ValueError('axes "column_row" is for flat images; boxes in a volume have axes "array"')
        return self

    @property
    def flat(self) -> int:
        """Number of axes of a box: 2 or 3."""
        return len(self.input.shape) - 2

    @property
    def outputs(self) -> tuple[ListTensor, ...]:
        """What is fetched from a run."""
        return (self.boxes, self.scores) if self.classes is None else (self.boxes, self.scores, self.classes)

    def pack(self, answers: Sequence[NDArray[Any]]) -> Float:
        """Float32 (batch, box, columns): the numbers of the box as the net says them, its score, its class (or 0).

        Raises ConfigurationError (``net-output-mismatch``) when the lists do not fit each other.
        """
        parts = [np.asarray(answer, dtype=np.float32) for answer in answers]
        if self.lists_of == "image":
            parts = [part[None] for part in parts]
        boxes, scores = parts[0], parts[1]
        classes = parts[2] if self.classes is not None else np.zeros_like(scores)
        if boxes.shape[:2] != scores.shape or classes.shape != scores.shape or boxes.shape[2] != 2 * self.flat:
            raise ConfigurationError(
                f"Net {self.weights} answered boxes {boxes.shape}, scores {scores.shape}, classes {classes.shape}.",
                next_step="Correct the box net in the manifest, or export the model with these lists.",
                code="net-output-mismatch",
            )
        return np.concatenate([boxes, scores[..., None], classes[..., None]], axis=2)


AnyNet = Net | BoxNet


class RunNet(Protocol):
    """How a mode has its nets run, wherever that is: in this process, or at a Triton server."""

    def __call__(self, net: AnyNet, batch: Float, *, last: bool = True) -> Float:
        """Run a net on one batch: float32 (batch, channel, ...) in, float32 (batch, ...) as the net packs it out.

        ``last`` tells that no further batch of this image follows, so that working memory can be given back.
        """
