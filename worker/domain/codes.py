"""Coded concepts (PS3.3 Section 8)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept: code value, coding scheme designator and code meaning (PS3.3 8.8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measurement in UCUM (PS3.16 CID 82), for example ``Unit("mL", "milliliter")``."""

    ucum: str
    meaning: str


MILLILITRE = Unit("mL", "milliliter")
SQUARE_MILLIMETRE = Unit("mm2", "square millimeter")
MILLIMETRE = Unit("mm", "millimeter")
HOUNSFIELD = Unit("[hnsf'U]", "Hounsfield unit")
