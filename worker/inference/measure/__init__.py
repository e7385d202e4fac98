"""Measurements of masks on the grid of the source: sizes, surface, values."""

from __future__ import annotations

from typing import Literal

MeasurementName = Literal[
    "volume",
    "area",
    "diameter_3d",
    "axes",
    "surface_area",
    "mean",
    "standard_deviation",
    "median",
    "minimum",
    "maximum",
    "skewness",
    "kurtosis",
]
"""What the manifest may ask of a segment; ``measure.segment`` makes them."""
