"""The model packages of this installation, and the routing rules that name them."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from pathlib import Path

import worker
from worker.domain.routing import BoundRule, RoutingTable
from worker.inference.packages import routing_table as tables
from worker.inference.packages.installed import InstalledPackages
from worker.inference.packages.package import MANIFEST, Package, load_package
from worker.inference.packages.registry import Registry
from worker.inference.packages.weights_cache import WeightsCache
from worker.settings import Settings


def packaged_models() -> Path:
    """Folder of the model packages that come with Overread: inside the wheel, or beside the source tree."""
    inside = Path(str(files(worker) / "packaged_models"))
    return inside if inside.is_dir() else Path(worker.__file__).resolve().parent.parent / "models"


def registry(settings: Settings) -> Registry:
    """The installed model packages; broken ones are named, and do not block the others."""
    return Registry(
        model_folders(settings),
        largest_weights_bytes=settings.models.max_weights_mb << 20,
        trusted=settings.models.trusted,
        cache=weights_cache(settings),
    )


def package_in(folder: Path, settings: Settings) -> Package:
    """The package of one folder, within what the site allows; raises what ``load_package`` raises."""
    return load_package(
        folder,
        largest_weights_bytes=settings.models.max_weights_mb << 20,
        trusted=settings.models.trusted,
        cache=weights_cache(settings),
    )


def package_named(model: str, settings: Settings) -> Package:
    """The package in that folder, or the installed one of that name. Raises ConfigurationError."""
    folder = Path(model)
    if (folder / MANIFEST).is_file():
        return package_in(folder, settings)
    return registry(settings).find(model)


def model_folders(settings: Settings) -> list[Path]:
    """Folders that hold model packages: the site's, and ours."""
    return [*settings.models.folders, *([packaged_models()] if settings.models.packaged else [])]


def weights_cache(settings: Settings) -> WeightsCache:
    """The folder of weights that were fetched, in the data folder, by their SHA-256."""
    return WeightsCache(settings.node.data / "weights")


def bound_rules(settings: Settings, installed: Registry | None = None) -> tuple[BoundRule, ...]:
    """The rules whose models can be used; raises as ``packages.routing_table.bound_rules``."""
    return tables.bound_rules(settings, installed or registry(settings))


def routing_table(settings: Settings, installed: Registry | None = None) -> RoutingTable:
    """The routing table; raises as ``packages.routing_table.routing_table``."""
    return tables.routing_table(settings, installed or registry(settings))


def table_of(settings: Settings, model: str = "") -> RoutingTable:
    """The routing table for a person at the console, or only its rules for one model."""
    return tables.table_of(settings, registry(settings), model)


def installed_packages(settings: Settings) -> InstalledPackages:
    """The packages of a process, as they are on the disk now."""
    return InstalledPackages(
        model_folders(settings), cache=weights_cache(settings).folder, read=partial(registry, settings)
    )
