"""The model packages of this installation as they are now, and what a process has loaded of them."""

from __future__ import annotations

from functools import cache, partial

from worker.inference.packages.installed import InstalledPackages
from worker.inference.packages.registry import Registry
from worker.inference.run.loaded_models import LoadedModels
from worker.inference.run.predictor import PackagePredictor
from worker.settings import Settings
from worker.wiring import offline
from worker.wiring.execution import execution


def packages_of(settings: Settings) -> InstalledPackages:
    """The packages of a process."""
    return InstalledPackages(
        offline.model_folders(settings),
        cache=offline.weights_cache(settings).folder,
        read=partial(offline.registry, settings),
    )


def models_of(settings: Settings, packages: InstalledPackages | None = None) -> LoadedModels:
    """The models of a process. Nothing is loaded yet."""
    running = cache(partial(execution, settings))

    def new_predictor(installed: Registry) -> PackagePredictor:
        return offline.model_predictor(settings, installed, running())

    return LoadedModels(
        packages or packages_of(settings),
        table=partial(offline.routing_table, settings),
        new_predictor=new_predictor,
        warm=settings.inference.warm,
    )
