"""One of several series that a model needs: the input contract with a name, and how it comes onto the reference."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from worker.domain.routing import FurtherInput
from worker.inference.entries.contract import InputContract
from worker.inference.guards.guards import ValueGuard

_OF_FURTHER_INPUTS = frozenset({"registration", "interpolation", "outside", "least_covered", "guards"})


class NamedInput(InputContract):
    """One of several series that a model needs; the first of the list is the reference, whose grid findings lie on.

    The others are sampled onto the reference's grid: by their patient coordinates when they share its Frame of
    Reference; else ``registration`` says whether a rigid registration may be made ("rigid", which needs the extra
    ``registration``) or the study is refused ("never"). ``outside`` stands where a series has no image, and
    ``least_covered`` is the part of the reference's voxels that it must have an image of. ``guards`` are asked of this
    input as it was acquired; those of the reference stand under ``guards.input``.
    """

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=64)]
    registration: Literal["never", "rigid"] = "never"
    interpolation: Literal["linear", "nearest"] = "linear"
    outside: float = 0.0
    least_covered: Annotated[float, Field(gt=0, le=1)] = 0.8
    guards: tuple[ValueGuard, ...] = ()

    @model_validator(mode="after")
    def _one_of_several(self) -> NamedInput:
        if self.spaces != ("patient",):
            raise ValueError('spaces must be ["patient"]: inputs are brought together by where they lie in the patient')
        if self.per_study != 1:
            raise ValueError("per_study must be 1: a study is analysed once, with the best series for each input")
        return self

    @property
    def stated_of_further(self) -> tuple[str, ...]:
        """The keys that were written and that say something of a further input only."""
        return tuple(sorted(self.model_fields_set & _OF_FURTHER_INPUTS))

    def to_further(self) -> FurtherInput:
        """What routing must know of it."""
        return FurtherInput(
            name=self.name,
            conditions=self.to_conditions(),
            preferences=tuple(preference.to_preference() for preference in self.preferences),
            allow_derived=self.allow_derived,
        )
