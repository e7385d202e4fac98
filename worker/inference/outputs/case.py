"""What an output is concluded from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from worker.domain.findings import is_any
from worker.domain.volume import Volume
from worker.inference.answers import Answer
from worker.inference.image import Mask
from worker.inference.steps.decide import Labels


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One run: the net's answer after the score steps, the label map, the source, and the thresholds in force.

    ``labels`` are on the source's grid, numbered as the manifest numbers its segments; None for a model without.
    ``numbers`` (those that are part of a segment) and ``volumes_ml`` are by segment label; absent ones have 0 mL.
    """

    answer: Answer
    labels: Labels | None
    volume: Volume
    thresholds: Mapping[str, float]
    numbers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    volumes_ml: Mapping[str, float] = field(default_factory=dict)

    def mask_of(self, label: str) -> Mask:
        """Where a segment is, (slice, row, column) of the source."""
        if self.labels is None:
            return np.zeros(self.volume.geometry.shape, np.bool_)
        return is_any(self.labels, self.numbers[label])
