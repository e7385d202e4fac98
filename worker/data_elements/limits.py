"""How deep a data set is looked into."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """Bounds of the scan of one data set."""

    depth: int = 64
    elements: int = 100_000
    fragments: int = 500_000
    text_bytes: int = 1024
    inflated_bytes: int = 4 << 30
    inflated_free_bytes: int = 64 << 20
    inflated_ratio: int = 100
