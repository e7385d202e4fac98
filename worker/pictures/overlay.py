"""The montage that is written beside each job, from what the model itself said: for ``overread show`` and the demo.

It carries no patient name, number or date, and says on its face that it is an unverified AI draft.
"""

from __future__ import annotations

from pathlib import Path

from worker.domain.findings import Conclusion
from worker.pictures.scene import scene_of
from worker.pictures.sheets import Style, montage


def write_overlay(conclusion: Conclusion, path: Path, style: Style | None = None) -> None:
    """Write the montage of a conclusion as a PNG file; its folder must exist."""
    montage(scene_of(conclusion), style or Style()).save(path, format="PNG")
