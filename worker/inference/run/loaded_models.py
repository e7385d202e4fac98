"""The models of one worker process: loaded before the first job asks for them, found again when they have changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from worker.domain.errors import OverreadError
from worker.domain.findings import Conclusion
from worker.domain.model import Algorithm, ModelIdentity
from worker.domain.routing import RoutingTable
from worker.domain.volume import Volume
from worker.inference.packages.installed import InstalledPackages
from worker.inference.packages.registry import Registry
from worker.inference.run.predictor import PackagePredictor
from worker.settings.execution import ALL_MODELS

log = logging.getLogger(__name__)


class LoadedModels:
    """What the jobs of a process share, made when the first of them, or the warm-up, needs it: the port Predictor.

    Parameters
    ----------
    packages:
        They may be those of the parent: then what it has seen installed is missed here as well.
    table:
        The routing table for the packages that are there.
    new_predictor:
        Makes a predictor for them; all that it makes share their sessions.
    warm:
        Names of the models that ``warm`` loads, or ``ALL_MODELS``.
    """

    def __init__(
        self,
        packages: InstalledPackages,
        *,
        table: Callable[[Registry], RoutingTable],
        new_predictor: Callable[[Registry], PackagePredictor],
        warm: Sequence[str] = (),
    ) -> None:
        self._packages = packages
        self._table = table
        self._new_predictor = new_predictor
        self._warm = warm
        self._making = threading.Lock()
        self._made: tuple[Registry, PackagePredictor] | None = None

    @property
    def predictor(self) -> PackagePredictor:
        """The predictor of this process, for the packages as they are now; it keeps its sessions."""
        installed = self._packages.registry()
        with self._making:  # the warm-up and the first job may ask at the same time
            if self._made is None or self._made[0] is not installed:
                self._made = installed, self._new_predictor(installed)
            return self._made[1]

    def table(self) -> RoutingTable:
        """The routing table, for the packages as they are now."""
        return self._table(self._packages.registry())

    # ---- the port Predictor: whoever holds it meets the packages as they are when it asks

    def inputs(self, model: ModelIdentity) -> tuple[str, ...]:
        """Names of the model's inputs, as ``PackagePredictor`` gives them."""
        return self.predictor.inputs(model)

    def predict(self, model: ModelIdentity, volume: Volume, *further: Volume) -> Conclusion:
        """Run the model that is loaded now, as ``PackagePredictor`` does."""
        return self.predictor.predict(model, volume, *further)

    def algorithm(self, model: ModelIdentity) -> Algorithm:
        """What results say of the model, as ``PackagePredictor`` gives it."""
        return self.predictor.algorithm(model)

    def warm(self) -> None:
        """Load what ``inference.warm`` names, as far as it fits the budget. What fails here fails in its job too."""
        try:
            predictor = self.predictor
            wanted = self._wanted()
        except OverreadError as error:
            log.warning("warm-up-failed", extra={"code": error.code})
            return
        for model in wanted:
            try:
                there = predictor.warm(model)
            except (OverreadError, MemoryError) as error:
                code = error.code if isinstance(error, OverreadError) else "memory"
                log.warning("warm-up-failed", extra={"model": str(model), "code": code})
            else:
                log.info("model-warm" if there else "model-beyond-budget", extra={"model": str(model)})

    def _wanted(self) -> tuple[ModelIdentity, ...]:
        found: dict[ModelIdentity, None] = {}
        installed = self._packages.registry()
        for name in self._warm:
            if name == ALL_MODELS:
                table = self._table(installed)
                found |= {bound.model: None for bound in table.rules}
                for one in table.unusable:
                    log.warning("warm-up-failed", extra={"model": one.model, "code": one.code})
            else:
                found[installed.find(name).identity] = None
        return tuple(found)
