"""Who concluded something: the model and its version."""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.study import Digest


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
