"""What is wrong with model packages, as ``overread models check`` says it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from worker.inference.development.check import PackageReport, check_package, folders_of
from worker.settings import Settings
from worker.wiring.execution import memory_limit_bytes
from worker.wiring.packages import package_in, registry


def check_packages(settings: Settings, folders: Sequence[Path] = ()) -> tuple[PackageReport, ...]:
    """What is wrong with each of these packages; by default with all that are installed."""
    load, limit_bytes = partial(package_in, settings=settings), memory_limit_bytes(settings)
    wanted = folders or folders_of(registry(settings))
    return tuple(check_package(folder, load, limit_bytes=limit_bytes) for folder in wanted)
