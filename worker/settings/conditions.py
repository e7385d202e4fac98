"""How conditions on a series are written in TOML, in site rules and in model manifests alike.

``{ attribute = "Modality", one_of = ["CT"] }``, ``{ attribute = "slice_count", minimum = 20 }``: the attribute, and
exactly one test.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from worker.domain.routing import Between, Condition, Matches, MatchesNot, NoneOf, OneOf, Preference, Present


def _regular_expression(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_regular_expression)]
Values = Annotated[tuple[str, ...], Field(min_length=1)]


class ConditionEntry(BaseModel):
    """One test of one attribute of a series."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attribute: str = Field(
        pattern=r"^([A-Z][A-Za-z0-9]*|orientation|slice_count|slice_spacing_mm|slice_thickness_mm|rows|columns|body_region)$",
        description=(
            "A DICOM keyword, or a derived name: orientation, slice_count, slice_spacing_mm, slice_thickness_mm, "
            "rows, columns, body_region."
        ),
    )
    one_of: Values | None = Field(None, description="At least one value equals one of these (case-insensitive).")
    none_of: Values | None = Field(None, description="No value equals one of these; an absent attribute passes.")
    matches: Pattern | None = Field(None, description="The regular expression is found in at least one value.")
    matches_not: Pattern | None = Field(None, description="The regular expression is found in no value.")
    minimum: float | None = Field(None, description="Every value is a number of at least this.")
    maximum: float | None = Field(None, description="Every value is a number of at most this.")
    present: bool | None = Field(None, description="true: the attribute has a value in at least one instance.")

    @model_validator(mode="after")
    def _exactly_one_test(self) -> ConditionEntry:
        tests = [self.one_of, self.none_of, self.matches, self.matches_not, self.present or None]
        bounded = self.minimum is not None or self.maximum is not None
        if sum(test is not None for test in tests) + bounded != 1:
            raise ValueError(
                "expected exactly one of one_of, none_of, matches, matches_not, present = true, or minimum/maximum"
            )
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is greater than maximum {self.maximum:g}")
        return self

    def to_domain(self) -> Condition:
        """The condition that the selection tests."""
        if self.one_of is not None:
            return OneOf(self.attribute, self.one_of)
        if self.none_of is not None:
            return NoneOf(self.attribute, self.none_of)
        if self.matches is not None:
            return Matches(self.attribute, self.matches)
        if self.matches_not is not None:
            return MatchesNot(self.attribute, self.matches_not)
        if self.present:
            return Present(self.attribute)
        return Between(self.attribute, self.minimum, self.maximum)


class PreferenceEntry(ConditionEntry):
    """A condition that adds to the score of a series instead of refusing it."""

    weight: float = Field(description="Points that a series gets which passes; negative counts against it.")

    def to_preference(self) -> Preference:
        """The preference that the selection scores."""
        return Preference(self.to_domain(), self.weight)
