"""What a model concludes, in codes: one list for each kind of finding.

A new way to make a known kind is a class in its file and a name in its union.
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, model_validator

from worker.inference.entries.output_parts import CodeEntry, Name, Threshold
from worker.inference.entries.strict import Strict
from worker.inference.outputs.classifications import ClassificationEntry
from worker.inference.outputs.detections import DetectionEntry
from worker.inference.outputs.heat_maps import HeatMapEntry
from worker.inference.outputs.quantifications import QuantificationEntry
from worker.inference.outputs.segments import SegmentEntry, numbers_within

_KINDS = ("segments", "detections", "classifications", "quantifications", "heat_maps")


def _at_least_one_kind(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"required": [kind], "properties": {kind: {"minItems": 1}}} for kind in _KINDS]


class Outputs(Strict):
    """The findings that a run of the model makes: segments, detections, classifications, quantities, heat maps."""

    model_config = ConfigDict(json_schema_extra=_at_least_one_kind)

    segments: tuple[SegmentEntry, ...] = ()
    detections: tuple[DetectionEntry, ...] = ()
    classifications: tuple[ClassificationEntry, ...] = ()
    quantifications: tuple[QuantificationEntry, ...] = ()
    heat_maps: tuple[HeatMapEntry, ...] = ()

    @model_validator(mode="after")
    def _sound(self) -> Outputs:
        if not any(getattr(self, kind) for kind in _KINDS):
            raise ValueError(f"expected at least one of {', '.join(_KINDS)}")
        numbers = [segment.number for segment in self.segments]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"segments must be numbered 1, 2, 3 ... in order; found {numbers}")
        channels = [segment.channel for segment in self.segments]
        if len(set(channels)) != len(channels):
            raise ValueError(f"every segment needs its own channel; found {channels}")
        numbers_within(self.segments)
        for what in ("label", "tracking_identifier"):
            of_segments = [getattr(segment, what) for segment in self.segments]
            if len(set(of_segments)) != len(of_segments):
                raise ValueError(f"every segment needs its own {what}; found {of_segments}")
            values = [getattr(entry, what) for entry in self._others()]
            if len(set(values)) != len(values):
                raise ValueError(f"every output needs its own {what}; found {values}")
        return self

    def _others(self) -> tuple[Any, ...]:
        counts = [entry.count for entry in self.detections if entry.count is not None]
        return (*self.detections, *self.classifications, *self.quantifications, *counts)

    def thresholds(self) -> tuple[tuple[str, str], ...]:
        """Where a threshold is used, and its name."""
        found = []
        for kind in ("detections", "classifications"):
            for index, entry in enumerate(getattr(self, kind)):
                if entry.threshold is not None:
                    found.append((f"outputs.{kind}[{index}]", entry.threshold))
        return tuple(found)

    def channels(self) -> tuple[tuple[str, int], ...]:
        """Where a channel of the answer is used, and its number."""
        found = [(f"outputs.segments[{i}]", segment.channel) for i, segment in enumerate(self.segments)]
        for kind in _KINDS[1:]:
            for index, entry in enumerate(getattr(self, kind)):
                found += [(f"outputs.{kind}[{index}]", channel) for channel in entry.channels]
        return tuple(found)


__all__ = ["CodeEntry", "Name", "Outputs", "SegmentEntry", "Threshold"]
