"""The case that a package and its framework are compared on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from worker.domain.errors import ConfigurationError
from worker.domain.volume import Volume
from worker.importing.parity.itk_images import read_nifti


def read_case(path: Path, *, modality: str, read_series: Callable[[Path], Volume]) -> Volume:
    """Read a NIfTI file, which knows no ``modality`` of its own, or what ``read_series`` reads of DICOM files.

    Raises ConfigurationError (``case-missing``, ``case-unreadable``), and what ``read_series`` raises.
    """
    if path.is_file() and not path.name.lower().endswith(".dcm"):
        return read_nifti(path, modality=modality)
    if not path.exists():
        raise ConfigurationError(f"There is no {path}.", next_step="Name a folder or a file.", code="case-missing")
    return read_series(path)
