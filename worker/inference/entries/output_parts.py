"""What all kinds of output are made of: names, codes, thresholds that a site may move."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from worker.domain import codes, findings
from worker.inference.entries.strict import Strict

Name = Annotated[str, Field(pattern="^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=64)]
"""Lower-case words joined by hyphens."""
Label = Annotated[str, Field(min_length=1, max_length=64)]
Channel = Annotated[int, Field(ge=0)]
ColourPart = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[ColourPart, ColourPart, ColourPart]


class CodeEntry(Strict):
    """A coded concept (PS3.3 8.8)."""

    value: Annotated[str, Field(min_length=1, max_length=16)]
    scheme: Annotated[str, Field(min_length=1, max_length=16)]
    meaning: Annotated[str, Field(min_length=1, max_length=64)]

    def to_domain(self) -> codes.Code:
        """The code that findings carry."""
        return codes.Code(self.value, self.scheme, self.meaning)


def domain_code(entry: CodeEntry | None) -> codes.Code | None:
    """As the domain's code, where there is one."""
    return None if entry is None else entry.to_domain()


class UnitEntry(Strict):
    """A unit in UCUM (PS3.16 CID 82): ``ucum`` is its code, ``meaning`` what people read."""

    ucum: Annotated[str, Field(min_length=1, max_length=16)]
    meaning: Annotated[str, Field(min_length=1, max_length=64)]

    def to_domain(self) -> codes.Unit:
        """The unit that measurements carry."""
        return codes.Unit(self.ucum, self.meaning)


class EvaluationEntry(Strict):
    """A coded question and its coded answer (PS3.16 TID 1501, Qualitative Evaluations)."""

    name: CodeEntry
    value: CodeEntry

    def to_domain(self) -> findings.Evaluation:
        """The evaluation that regions carry."""
        return findings.Evaluation(self.name.to_domain(), self.value.to_domain())


class Threshold(Strict):
    """A number that a site may move within stated bounds; steps and outputs refer to it by name."""

    name: Name
    default: float
    minimum: float
    maximum: float
    meaning: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _within(self) -> Threshold:
        if not self.minimum <= self.default <= self.maximum:
            raise ValueError(f"default {self.default:g} is not within {self.minimum:g} to {self.maximum:g}")
        return self
