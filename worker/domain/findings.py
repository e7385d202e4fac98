"""The closed set of what a model can conclude (IHE AIR: result primitives).

A new kind is a new class here and a new member of ``Finding``; mypy then lists every ``match`` that must learn it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.domain.codes import Code, Unit
from worker.domain.model import Algorithm
from worker.domain.volume import Volume


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number with its unit: what (``name``, a coded concept), how much, and how it was derived."""

    name: Code
    value: float
    unit: Unit
    method: Code | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A structure that was outlined: its number in the label map and what it shows.

    ``number`` counts from 1 without a gap. ``category`` and ``type`` are the segmented property category and type
    (PS3.3 C.8.20.2, CID 7150/7151). ``colour_rgb`` is sRGB, 0 to 255.
    """

    number: int
    label: str
    category: Code
    type: Code
    colour_rgb: tuple[int, int, int]
    measurements: tuple[Measurement, ...]
    tracking_identifier: str
    laterality: Code | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Structures on the grid of the source series.

    ``labels`` has the volume's shape (slice, row, column); dtype uint8 (uint16 above 255 segments); 0 is background,
    n is the segment with that number. Segments that were looked for and not found have no voxel and are listed in
    ``absent`` (labels), not in ``segments``.
    """

    labels: NDArray[np.uint8] | NDArray[np.uint16]
    segments: tuple[Segment, ...]
    absent: tuple[str, ...] = ()


Finding = Segmentation
"""Closed union of findings. One member so far; it grows with the result objects."""


@dataclass(frozen=True, slots=True, eq=False)
class Conclusion:
    """All that one model concluded about one series."""

    algorithm: Algorithm
    volume: Volume
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
