"""The input contract of a model package: which series it may run on, in the words of the routing rules."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydicom.datadict import keyword_dict

from worker.domain import routing
from worker.inference.entries.strict import Strict, nearest
from worker.settings.conditions import ConditionEntry, PreferenceEntry

DERIVED_NAMES = (
    "orientation", "slice_count", "slice_spacing_mm", "slice_thickness_mm", "rows", "columns", "body_region",
)  # fmt: skip
"""What rules may ask of a series beside its DICOM attributes (``SeriesSummary``)."""

_TESTS = ("one_of", "none_of", "matches", "matches_not", "present")


def _exactly_one_test(schema: dict[str, Any]) -> None:
    """Say in the schema what the validator says: one test, or bounds."""
    bounds = {"anyOf": [{"required": ["minimum"]}, {"required": ["maximum"]}]}
    schema["oneOf"] = [*({"required": [test]} for test in _TESTS), bounds]


class Condition(ConditionEntry):
    """A test on a series, as in site rules; the attribute must exist."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, json_schema_extra=_exactly_one_test)

    @field_validator("attribute")
    @classmethod
    def _known(cls, name: str) -> str:
        return _known_attribute(name)


class Preference(PreferenceEntry):
    """A test that adds ``weight`` to the score of a series; the best series of a study is analysed."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, json_schema_extra=_exactly_one_test)

    @field_validator("attribute")
    @classmethod
    def _known(cls, name: str) -> str:
        return _known_attribute(name)


def _known_attribute(name: str) -> str:
    if name in DERIVED_NAMES or name in keyword_dict:
        return name
    # Nearest among 5000 keywords: right more often than a list of them would be read.
    raise ValueError(
        f"it is neither a DICOM keyword nor a derived name{nearest(name, (*DERIVED_NAMES, *keyword_dict))}"
    )


class Bounds(Strict):
    """Numbers from ``minimum`` to ``maximum``, both inclusive; at least one of them is stated."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["minimum"]}, {"required": ["maximum"]}]},
    )

    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Bounds:
        if self.minimum is None and self.maximum is None:
            raise ValueError("expected minimum, maximum or both")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is above maximum {self.maximum:g}")
        return self

    def hold(self, value: float) -> bool:
        """Tell whether the value lies within."""
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)

    def __str__(self) -> str:
        if self.minimum is None:
            return f"at most {self.maximum:g}"
        if self.maximum is None:
            return f"at least {self.minimum:g}"
        return f"{self.minimum:g} to {self.maximum:g}"


Modality = Annotated[str, Field(pattern="^[A-Z0-9_]{1,16}$")]
"""A defined term of Modality (0008,0060)."""
SpaceName = Literal["patient", "plane", "pixels"]
"""What the coordinates of an image mean: ``worker.domain.volume.Space``."""


class InputContract(Strict):
    """What a series must be.

    ``modality`` is one or several. ``slices`` (or frames: their count) and ``slice_spacing_mm`` are asked of the
    headers by routing, and of the volume once more before the run. ``spaces``: "patient" for cross-sectional images,
    "plane" for projection and ultrasound images with a known pixel spacing, "pixels" for those without; only
    cross-sectional images have a slice spacing. ``per_study`` limits how many series of a study are analysed (the best
    by score).
    """

    modality: Modality | Annotated[tuple[Modality, ...], Field(min_length=1)]
    slices: Bounds
    slice_spacing_mm: Bounds | None = None
    spaces: Annotated[tuple[SpaceName, ...], Field(min_length=1)] = ("patient",)
    conditions: tuple[Condition, ...] = ()
    preferences: tuple[Preference, ...] = ()
    per_study: Annotated[int, Field(ge=1)] = 1
    allow_derived: bool = False

    @model_validator(mode="after")
    def _spaced(self) -> InputContract:
        if self.spaces == ("patient",) and self.slice_spacing_mm is None:
            raise ValueError("slice_spacing_mm is missing; cross-sectional images need bounds for it")
        if "patient" not in self.spaces and self.slice_spacing_mm is not None:
            raise ValueError("slice_spacing_mm is stated, but images that are no stack of slices have none")
        return self

    @property
    def modalities(self) -> tuple[str, ...]:
        """All modalities that it may be."""
        return (self.modality,) if isinstance(self.modality, str) else self.modality

    def to_conditions(self) -> tuple[routing.Condition, ...]:
        """Everything that routing must ask, the plainest first."""
        spacing = self.slice_spacing_mm
        return (
            routing.OneOf("Modality", self.modalities),
            routing.Between("slice_count", self.slices.minimum, self.slices.maximum),
            *(() if spacing is None else (routing.Between("slice_spacing_mm", spacing.minimum, spacing.maximum),)),
            *(condition.to_domain() for condition in self.conditions),
        )
