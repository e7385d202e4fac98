"""Who concluded something: the model, its version and its family."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from worker.domain.study import Digest


class Family(StrEnum):
    """What a model does, and on what."""

    SEGMENTATION = "segmentation"
    """Structures in CT or MR, in three dimensions."""
    SEGMENTATION_2D = "segmentation-2d"
    """Structures on a projection image."""
    CLASSIFICATION = "classification"
    """Whether something is there (triage)."""
    DETECTION = "detection"
    """Where lesions are, by the peaks of a score map."""
    BOXES = "boxes"
    """Where lesions are, by boxes that the net proposes."""
    REGRESSION = "regression"
    """A number about the image."""
    GUARD = "guard"
    """Which body part the image shows."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """A model package that is pinned by its content.

    ``digest`` covers the manifest and all weights: a job that was queued for one digest never runs with another.
    """

    name: str
    version: str
    digest: Digest

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """Algorithm identification as it is written into results (PS3.16 TID 4019, PS3.3 C.8.20.2).

    ``parameters`` are texts such as ``threshold=0.5``; ``provider`` is the execution provider really used.
    """

    model: ModelIdentity
    title: str
    manufacturer: str
    parameters: tuple[str, ...] = ()
    provider: str = ""
