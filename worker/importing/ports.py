"""What importers need of the other rooms, in their own words; ``wiring`` fits them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.domain.findings import Conclusion
from worker.domain.model import Family
from worker.domain.volume import Volume

Said = Callable[[str], None]
"""Told what is being done now, for people who wait."""


class Runtime(Protocol):
    """The worker's own way to run a package."""

    def problem(self, folder: Path) -> str:
        """What is wrong with a package folder, as `models check` says it; empty for a sound one."""

    def skeleton(self, folder: Path, family: Family, *, name: str, weights: Path) -> Path:
        """Make a package of a family with these weights; returns its manifest, which is to be filled in."""

    def outside(self, weights: Path) -> Collection[str]:
        """Names of the files, beside an ONNX file, that hold tensors of it."""

    def outputs(
        self, weights: Path, batch: NDArray[np.float32], *, optimised: bool = True
    ) -> Mapping[str, NDArray[Any]]:
        """Every output of an ONNX file with one input; ``optimised``: as the worker runs it, else its graph as it is.

        Raises ConfigurationError (``model-not-loadable``).
        """

    def scores(self, folder: Path, weights: str, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """What a net of a package says of one batch."""

    def prepared(self, folder: Path, volume: Volume, *further: Volume) -> NDArray[np.float32]:
        """What a package's chain makes of a volume: (channel, a, b, c), as its last net is shown it."""

    def conclude(self, folder: Path, volume: Volume, *further: Volume) -> Conclusion:
        """What a package concludes about a volume, and those of its further inputs in their order."""
