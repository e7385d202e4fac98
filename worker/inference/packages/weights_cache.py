"""Weights that were fetched, by their SHA-256, in the data folder. Whoever runs a model only looks here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WeightsCache:
    """A folder of files that are named by their content; it may be deleted at any time and fetched anew."""

    folder: Path

    def path_of(self, sha256: str) -> Path:
        """Where the file of that content lies, or would lie."""
        return self.folder / sha256[:2] / sha256
