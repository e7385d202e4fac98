"""The models of this installation: as they run, and what each process has loaded of them."""

from __future__ import annotations

import os
import threading
from functools import cache, partial

from worker.inference.packages.installed import InstalledPackages
from worker.inference.packages.registry import Registry
from worker.inference.run.loaded_models import LoadedModels
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.execution import Execution
from worker.settings import Settings
from worker.wiring.execution import execution, memory_limit_bytes
from worker.wiring.packages import installed_packages, registry, routing_table


def model_predictor(
    settings: Settings, installed: Registry | None = None, running: Execution | None = None
) -> PackagePredictor:
    """The installed models, running where and how the site has configured it. Nothing is loaded yet."""
    return PackagePredictor(
        installed or registry(settings),
        execution=running or execution(settings),
        memory_limit_bytes=memory_limit_bytes(settings),
        thresholds=settings.models.thresholds,
    )


def models_of(settings: Settings, packages: InstalledPackages | None = None) -> LoadedModels:
    """The models of a process. Nothing is loaded yet."""
    running = cache(partial(execution, settings))

    def new_predictor(installed: Registry) -> PackagePredictor:
        return model_predictor(settings, installed, running())

    return LoadedModels(
        packages or installed_packages(settings),
        table=partial(routing_table, settings),
        new_predictor=new_predictor,
        warm=settings.inference.warm,
    )


class ModelsByProcess:
    """The models of whoever asks: what a parent has loaded must not be used by a child that was forked from it.

    All of them know the same packages, so that what the parent has seen installed is missed by its children.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.packages = installed_packages(settings)
        self._by_process: dict[int, LoadedModels] = {}
        self._making = threading.Lock()  # the warm-up and the first task may come at the same time

    def __call__(self) -> LoadedModels:
        """Those of this process."""
        with self._making:
            if os.getpid() not in self._by_process:
                self._by_process[os.getpid()] = models_of(self._settings, self.packages)
            return self._by_process[os.getpid()]
