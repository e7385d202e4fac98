"""Steps that a package brings itself: a method of the class in its Python file, called with an array.

Nothing here loads that file. Whoever runs a chain hands over the code (``worker.inference.runtime.custom_code``), which
exists only in the process that runs the model.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import Field

from worker.domain.volume import Geometry
from worker.inference.answers import Answer
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Image
from worker.inference.steps.decide import Labels
from worker.inference.steps.scores import on_channels

Spacing = tuple[float, float, float]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
"""A method's or parameter's name: lower-case letters, digits, underscores, a letter first (nothing private)."""
Scalar = bool | int | float | Annotated[str, Field(max_length=1024)]
Parameter = Scalar | tuple[Scalar, ...]


class CustomStep(Strict):
    """A call: ``method`` of the package's class, and what it is told beside the array, by keyword."""

    method: Word
    parameters: dict[Word, Parameter] = Field(default_factory=dict)


class CustomCode(Protocol):
    """The package's class, loaded. Both raise PermanentError (``custom-step-failed``, ``custom-step-answer``)."""

    def floats(self, step: CustomStep, values: Float, *, spacing_mm: Spacing, same_channels: bool) -> Float:
        """Call with float32 (channel, a, b, c), get float32 of the same shape; the number of channels may differ."""

    def labels(self, step: CustomStep, labels: Labels, *, spacing_mm: Spacing, highest: int) -> Labels:
        """Call with a label map (a, b, c), get one of the same shape with numbers from 0 to ``highest``."""


class CustomOnImage(CustomStep):
    """A method of the package's own class, on the values: (channel, a, b, c) in and out, the grid stays."""

    step: Literal["custom"]

    def apply(self, image: Image, code: CustomCode | None) -> Image:
        """Run ``CustomCode.floats``; the number of channels may change."""
        called = _needed(code).floats(self, image.values, spacing_mm=image.geometry.spacing_mm, same_channels=False)
        return image.with_values(called)


class CustomOnScores(CustomStep):
    """A method of the package's own class, on what the net says: (channel, a, b, c) in and out, same shape."""

    step: Literal["custom_scores"]

    def apply(self, answer: Answer, code: CustomCode | None) -> Answer:
        """Run ``CustomCode.floats`` on the channels, as ``sigmoid`` runs on them."""
        loaded, spacing_mm = _needed(code), answer.geometry.spacing_mm
        return on_channels(
            answer, lambda values: loaded.floats(self, values, spacing_mm=spacing_mm, same_channels=True)
        )


class CustomOnLabels(CustomStep):
    """A method of the package's own class, on the label map: (slice, row, column) in and out, same shape."""

    step: Literal["custom_labels"]

    def apply(self, labels: Labels, geometry: Geometry, code: CustomCode | None, *, highest: int) -> Labels:
        """Run ``CustomCode.labels``; ``highest`` is the highest segment number of the manifest."""
        return _needed(code).labels(self, labels, spacing_mm=geometry.spacing_mm, highest=highest)


def _needed(code: CustomCode | None) -> CustomCode:
    if code is None:
        raise ValueError("a custom step without the package's file cannot have been parsed")
    return code
