"""Importers of models, with the worker's own inference to compare with."""

from __future__ import annotations

from pathlib import Path

from worker.decode.dataset.files import instances_from_folder
from worker.decode.series.headers import HeaderReader
from worker.decode.series.volumes import VolumeReader
from worker.domain.volume import Volume
from worker.importing.parity import case
from worker.importing.ports import Runtime
from worker.inference.development.package_runtime import PackageRuntime
from worker.pipeline.case import largest_series
from worker.settings import Settings
from worker.wiring.package_check import check_packages


def runtime() -> Runtime:
    """The worker's own inference, which importers compare a framework's with."""
    return PackageRuntime(_problem)


def _problem(folder: Path) -> str:
    return check_packages(Settings(), [folder])[0].error


def read_case(path: Path, *, modality: str) -> Volume:
    """A case to compare on; raises as ``parity.case.read_case``, and what reading a series raises."""
    return case.read_case(path, modality=modality, read_series=_largest_series)


def _largest_series(path: Path) -> Volume:
    instances, _ = instances_from_folder(path)
    return largest_series(instances, HeaderReader(), VolumeReader(), where=path)
