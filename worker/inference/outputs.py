"""What a model concludes, in codes: segments, their measurements, thresholds that a site may move."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from worker.domain import codes
from worker.inference.strict import Strict

Name = Annotated[str, Field(pattern="^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=64)]
"""Lower-case words joined by hyphens."""


class CodeEntry(Strict):
    """A coded concept (PS3.3 8.8)."""

    value: Annotated[str, Field(min_length=1, max_length=16)]
    scheme: Annotated[str, Field(min_length=1, max_length=16)]
    meaning: Annotated[str, Field(min_length=1, max_length=64)]

    def to_domain(self) -> codes.Code:
        """As the domain's code."""
        return codes.Code(self.value, self.scheme, self.meaning)


ColourPart = Annotated[int, Field(ge=0, le=255)]


class SegmentEntry(Strict):
    """A structure that the model outlines.

    ``number`` counts from 1 without a gap; ``channel`` is the channel of the net's output that shows it.
    ``category`` and ``type`` are the segmented property category and type (PS3.3 C.8.20.2, CID 7150 and 7151).
    """

    number: Annotated[int, Field(ge=1, le=65535)]
    channel: Annotated[int, Field(ge=0)]
    label: Annotated[str, Field(min_length=1, max_length=64)]
    category: CodeEntry
    type: CodeEntry
    laterality: CodeEntry | None = None
    colour_rgb: tuple[ColourPart, ColourPart, ColourPart]
    tracking_identifier: Annotated[str, Field(min_length=1, max_length=64)]
    measurements: tuple[Literal["volume"], ...] = ("volume",)


class Outputs(Strict):
    """The findings that a run of the model makes: one segmentation."""

    segments: Annotated[tuple[SegmentEntry, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _numbered(self) -> Outputs:
        numbers = [segment.number for segment in self.segments]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"segments must be numbered 1, 2, 3 ... in order; found {numbers}")
        for what in ("label", "tracking_identifier", "channel"):
            values = [getattr(segment, what) for segment in self.segments]
            if len(set(values)) != len(values):
                raise ValueError(f"every segment needs its own {what}; found {values}")
        return self


class Threshold(Strict):
    """A number that a site may move within stated bounds; steps refer to it by name."""

    name: Name
    default: float
    minimum: float
    maximum: float
    meaning: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _within(self) -> Threshold:
        if not self.minimum <= self.default <= self.maximum:
            raise ValueError(f"default {self.default:g} is not within {self.minimum:g} to {self.maximum:g}")
        return self
