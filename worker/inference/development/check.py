"""What `overread models check` does with a package: load it, weights included, and run it once on a made-up image."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import ConfigurationError, OverreadError
from worker.inference.development.trial import try_out
from worker.inference.packages.package import Package, read_manifest
from worker.inference.packages.registry import Registry, package_folders
from worker.inference.runtime.execution import Execution
from worker.inference.runtime.memory import check_weights_memory
from worker.inference.runtime.session import SessionCache
from worker.inference.runtime.variants import bound_entries


@dataclass(frozen=True, slots=True)
class PackageReport:
    """What was found: ``error`` and ``code`` are empty for a sound package."""

    folder: Path
    model: str
    error: str
    code: str = ""


def check_package(folder: Path, load: Callable[[Path], Package], *, limit_bytes: int) -> PackageReport:
    """Say what is wrong with a package. ``load`` raises what is; ``limit_bytes`` is the most that one run may need."""
    try:
        package = load(folder)
        check_weights_memory(Execution().weights_bytes(package), limit_bytes=limit_bytes)
        sessions = SessionCache()
        for net in package.manifest.nets():
            for entry in bound_entries(package, net.weights):
                sessions.get(package.weights[entry.id], net)
        try_out(package, sessions)
    except OverreadError as error:
        return PackageReport(folder, "", str(error), error.code)
    return PackageReport(folder, str(package.identity), "")


def folders_of(installed: Registry) -> list[Path]:
    """Where the installed packages are, sound or broken."""
    return sorted({*(one.folder for one in installed.packages), *(one.folder for one in installed.broken)})


def folders_named(folders: Sequence[Path], names: Collection[str]) -> Iterator[Path]:
    """The packages in these folders whose manifests give them one of the names."""
    for folder in package_folders(folders):
        try:
            _, manifest = read_manifest(folder)
        except ConfigurationError:
            continue
        if manifest.package.name in names:
            yield folder
