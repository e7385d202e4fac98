"""Outputs that are a number per voxel."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from worker.domain.findings import HeatMap
from worker.inference.entries.output_parts import Channel, CodeEntry, Label, UnitEntry
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Scores, index_map
from worker.inference.outputs.case import Case
from worker.inference.steps.sampling import Interpolation, sample_filled


class ChannelMapEntry(Strict):
    """A channel of the score map, sampled onto the grid of the source series.

    ``value_range`` is what a viewer should spread its colours over; ``outside`` is said where the net saw nothing.
    Values are ``score * scale + shift``.
    """

    by: Literal["channel"]
    channel: Channel
    label: Label
    quantity: CodeEntry
    unit: UnitEntry
    value_range: tuple[float, float]
    scale: float = 1.0
    shift: float = 0.0
    outside: float = 0.0
    interpolation: Interpolation = "linear"

    @model_validator(mode="after")
    def _ordered(self) -> ChannelMapEntry:
        if self.value_range[0] >= self.value_range[1]:
            raise ValueError(f"value_range {list(self.value_range)} must go from a lower to a higher number")
        return self

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels of the answer that it reads, for the check that the net has them."""
        return (self.channel,)

    def conclude(self, case: Case) -> HeatMap:
        """Sample the channel at the source's voxel centres."""
        if not isinstance(case.answer, Scores):
            raise TypeError("a heat map needs a score map: the manifest does not allow anything else")
        scores = case.answer
        values = on_grid_of_source(self, scores, case)
        return HeatMap(
            label=self.label,
            values=values,
            quantity=self.quantity.to_domain(),
            unit=self.unit.to_domain(),
            value_range=self.value_range,
        )


def on_grid_of_source(entry: ChannelMapEntry, scores: Scores, case: Case) -> Float:
    """float32 (slice, row, column) of the source."""
    source = case.volume.geometry
    channel = scores.values[entry.channel : entry.channel + 1]
    if (entry.scale, entry.shift) != (1.0, 0.0):
        channel = channel * np.float32(entry.scale) + np.float32(entry.shift)
    matrix = index_map(of=source, into=scores.geometry)
    sampled = sample_filled(channel, matrix, source.shape, interpolation=entry.interpolation, outside=entry.outside)
    return np.ascontiguousarray(sampled[0])


HeatMapEntry = Annotated[ChannelMapEntry, Field()]
"""How a heat map is read; ``by`` leaves room for other ways."""
