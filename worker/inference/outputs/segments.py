"""Outputs that are an outlined structure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from worker.inference.measure import MeasurementName
from worker.inference.outputs.parts import Channel, CodeEntry, Colour, EvaluationEntry, Label
from worker.inference.strict import Strict


class SegmentEntry(Strict):
    """A structure that the model outlines.

    ``number`` counts from 1 without a gap; ``channel`` is the channel of the net's output that shows it.
    ``category`` and ``type`` are the segmented property category and type (PS3.3 C.8.20.2, CID 7150 and 7151).
    """

    number: Annotated[int, Field(ge=1, le=65535)]
    channel: Channel
    label: Label
    category: CodeEntry
    type: CodeEntry
    laterality: CodeEntry | None = None
    site: CodeEntry | None = None
    colour_rgb: Colour
    tracking_identifier: Label
    measurements: tuple[MeasurementName, ...] = ("volume",)
    evaluations: tuple[EvaluationEntry, ...] = ()
