"""Outputs that are a statement on the whole image."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from worker.domain.findings import Classification, Evaluation, OperatingPoint, Presence
from worker.inference.entries.output_parts import Channel, CodeEntry, EvaluationEntry, Label, Name
from worker.inference.entries.strict import Strict
from worker.inference.outputs.case import Case
from worker.inference.outputs.pooling import LARGEST, Activation, Pool, key_slices, probability, rated

Share = Annotated[float, Field(ge=0, le=1)]


class OperatingPointEntry(Strict):
    """What was measured on data that the model had not seen, at one value of the threshold."""

    threshold: Share
    sensitivity: Share
    specificity: Share


class ProbabilityEntry(Strict):
    """Whether one thing is there: the probability of a channel against a threshold.

    ``indeterminate_within`` says nothing about what is nearer to the threshold than that. ``operating_points`` are
    measured ones: the result states sensitivity and specificity when the threshold in force is one of them.
    """

    by: Literal["probability"]
    channel: Channel
    label: Label
    tracking_identifier: Label
    finding: CodeEntry
    threshold: Name
    operating_points: tuple[OperatingPointEntry, ...] = ()
    indeterminate_within: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    urgent: bool = False
    key_slices: Annotated[int, Field(ge=0, le=20)] = 0
    pool: Pool = LARGEST
    activation: Activation = "none"
    evaluations: tuple[EvaluationEntry, ...] = ()

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels of the answer that it reads, for the check that the net has them."""
        return (self.channel,)

    def conclude(self, case: Case) -> Classification:
        """Present from the threshold on. Raises PermanentError (``probability-out-of-range``)."""
        found = probability(float(rated(case.answer, self.pool, self.activation)[self.channel]), label=self.label)
        threshold = case.thresholds[self.threshold]
        presence = Presence.PRESENT if found >= threshold else Presence.ABSENT
        if abs(found - threshold) < self.indeterminate_within:
            presence = Presence.INDETERMINATE
        present = presence is Presence.PRESENT
        shown = 0 if presence is Presence.ABSENT else self.key_slices
        return Classification(
            label=self.label,
            tracking_identifier=self.tracking_identifier,
            finding=self.finding.to_domain(),
            presence=presence,
            probability=found,
            operating_point=self._operating_point(threshold),
            urgent=self.urgent and present,
            key_slices=key_slices(case.answer, case.volume.geometry, channel=self.channel, count=shown),
            evaluations=tuple(entry.to_domain() for entry in self.evaluations) if present else (),
        )

    def _operating_point(self, threshold: float) -> OperatingPoint:
        for point in self.operating_points:
            if abs(point.threshold - threshold) < 1e-9:
                return OperatingPoint(threshold, point.sensitivity, point.specificity)
        return OperatingPoint(threshold)


class ClassEntry(Strict):
    """One of the answers that exclude each other; ``finding`` replaces the entry's where this answer is the highest."""

    channel: Channel
    value: CodeEntry
    finding: CodeEntry | None = None
    urgent: bool = False


class HighestEntry(Strict):
    """Which of several answers that exclude each other: a grade, a view, a body part.

    ``question`` is the coded question, the class with the highest probability its answer. Below ``minimum`` the model
    does not know: the statement is indeterminate.
    """

    by: Literal["highest"]
    label: Label
    tracking_identifier: Label
    finding: CodeEntry
    question: CodeEntry
    classes: Annotated[tuple[ClassEntry, ...], Field(min_length=2)]
    minimum: Name | None = None
    key_slices: Annotated[int, Field(ge=0, le=20)] = 0
    pool: Pool = Pool(how="mean")
    activation: Activation = "none"

    @model_validator(mode="after")
    def _different(self) -> HighestEntry:
        if len(set(self.channels)) != len(self.channels):
            raise ValueError(f"every class needs its own channel; found {list(self.channels)}")
        return self

    @property
    def threshold(self) -> str | None:
        """The name of the threshold that it uses."""
        return self.minimum

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels of the answer that it reads, for the check that the net has them."""
        return tuple(one.channel for one in self.classes)

    def conclude(self, case: Case) -> Classification:
        """The highest of the classes. Raises PermanentError (``probability-out-of-range``)."""
        vector = rated(case.answer, self.pool, self.activation)
        best = self.classes[int(np.argmax([vector[one.channel] for one in self.classes]))]
        found = probability(float(vector[best.channel]), label=best.value.meaning)
        threshold = None if self.minimum is None else case.thresholds[self.minimum]
        known = threshold is None or found >= threshold
        shown = self.key_slices if known else 0
        return Classification(
            label=self.label,
            tracking_identifier=self.tracking_identifier,
            finding=(best.finding or self.finding).to_domain() if known else self.finding.to_domain(),
            presence=Presence.PRESENT if known else Presence.INDETERMINATE,
            probability=found,
            operating_point=None if threshold is None else OperatingPoint(threshold),
            urgent=best.urgent and known,
            key_slices=key_slices(case.answer, case.volume.geometry, channel=best.channel, count=shown),
            evaluations=(Evaluation(self.question.to_domain(), best.value.to_domain()),) if known else (),
        )


ClassificationEntry = Annotated[ProbabilityEntry | HighestEntry, Field(discriminator="by")]
"""How a classification is read from the answer."""
