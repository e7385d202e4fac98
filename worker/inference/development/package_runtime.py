"""Model packages that are not installed (yet), run by their folder: what importers compare with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.domain.findings import Conclusion
from worker.domain.volume import Volume
from worker.inference.modes import NnunetCascade
from worker.inference.packages.package import load_package
from worker.inference.packages.registry import Registry
from worker.inference.run.inputs import assemble
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.session import SessionCache
from worker.inference.steps import preprocess
from worker.inference.steps.registration import register_rigidly


class PackageRuntime:
    """Runs packages by their folder. ``problem`` tells what `models check` says of one."""

    def __init__(self, problem: Callable[[Path], str]) -> None:
        self._problem = problem

    def problem(self, folder: Path) -> str:
        """What `models check` says of it."""
        return self._problem(folder)

    def scores(self, folder: Path, weights: str, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run one net of the package."""
        package = load_package(folder)
        net = next(one for one in package.manifest.inference.nets() if one.weights == weights)
        return SessionCache().get(package.weights[weights], net).run(batch, last=True)

    def prepared(self, folder: Path, volume: Volume, *further: Volume) -> NDArray[np.float32]:
        """Run the preprocessing chain."""
        manifest = load_package(folder).manifest
        mode = manifest.inference
        own = mode.second.preprocessing if isinstance(mode, NnunetCascade) else ()
        assembled = assemble(manifest, volume, further, register_rigidly)
        return preprocess(assembled.image, (*manifest.preprocessing, *own)).values

    def conclude(self, folder: Path, volume: Volume, *further: Volume) -> Conclusion:
        """Run the package on a volume, as a worker would."""
        registry = Registry([folder])
        if registry.broken:
            raise registry.broken[0].error
        return PackagePredictor(registry).predict(registry.packages[0].identity, volume, *further)
