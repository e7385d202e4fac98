"""Model packages that are not installed (yet), run by their folder: what importers compare with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.findings import Conclusion
from worker.domain.model import Family
from worker.domain.volume import Volume
from worker.inference.development.scaffold import write_package_skeleton
from worker.inference.modes import NnunetCascade
from worker.inference.packages.onnx_file import summarize
from worker.inference.packages.package import MANIFEST, load_package
from worker.inference.packages.registry import Registry
from worker.inference.run.inputs import assemble
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.session import SessionCache, run_file
from worker.inference.steps import preprocess
from worker.inference.steps.registration import register_rigidly


class PackageRuntime:
    """Runs packages by their folder. ``problem`` tells what `models check` says of one."""

    def __init__(self, problem: Callable[[Path], str]) -> None:
        self._problem = problem

    def problem(self, folder: Path) -> str:
        """What `models check` says of it."""
        return self._problem(folder)

    def skeleton(self, folder: Path, family: Family, *, name: str, weights: Path) -> Path:
        """Make a package of a family with these weights; raises as ``write_package_skeleton``."""
        return write_package_skeleton(folder, family, name=name, weights=weights) / MANIFEST

    def outside(self, weights: Path) -> Collection[str]:
        """As the file names them. Raises ConfigurationError (``not-onnx``)."""
        summary = summarize(weights.read_bytes())
        return summary.locations if summary.external else ()

    def outputs(
        self, weights: Path, batch: NDArray[np.float32], *, optimised: bool = True
    ) -> Mapping[str, NDArray[Any]]:
        """Run the file on the CPU; raises as ``run_file``."""
        return run_file(weights, batch, optimised=optimised)

    def scores(self, folder: Path, weights: str, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run one net of the package."""
        package = load_package(folder)
        net = next(one for one in package.manifest.inference.nets() if one.weights == weights)
        return SessionCache().get(package.weights[weights], net).run(batch, last=True)

    def prepared(self, folder: Path, volume: Volume, *further: Volume) -> NDArray[np.float32]:
        """Run the preprocessing up to the last net; raises as ``assemble`` and ``preprocess``."""
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
