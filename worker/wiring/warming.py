"""The models of one worker process: found once, loaded before the first job asks for them."""

from __future__ import annotations

import logging
import threading
from functools import cached_property

from worker.domain.errors import OverreadError
from worker.domain.model import ModelIdentity
from worker.inference.predictor import PackagePredictor
from worker.inference.registry import Registry
from worker.settings import Settings
from worker.settings.execution import ALL_MODELS
from worker.wiring import offline

log = logging.getLogger(__name__)


class Models:
    """What the jobs of a process share, made when the first of them, or the warm-up, needs it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._making = threading.Lock()

    @property
    def predictor(self) -> PackagePredictor:
        """The one predictor of this process, with the sessions that it keeps."""
        with self._making:  # the warm-up and the first job may ask at the same time
            return self._predictor

    @cached_property
    def _registry(self) -> Registry:
        return offline.registry(self._settings)

    @cached_property
    def _predictor(self) -> PackagePredictor:
        return offline.model_predictor(self._settings, self._registry)

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
        for name in self._settings.inference.warm:
            if name == ALL_MODELS:
                found |= {bound.model: None for bound in offline.bound_rules(self._settings, self._registry)}
            else:
                found[self._registry.find(name).identity] = None
        return tuple(found)
