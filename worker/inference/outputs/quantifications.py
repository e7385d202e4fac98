"""Outputs that are a number about the whole image (regression), or about its segments together."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from worker.domain.errors import NotApplicableError
from worker.domain.findings import Measurement, Quantification
from worker.inference.entries.contract import Bounds
from worker.inference.entries.output_parts import Channel, CodeEntry, Label, UnitEntry, domain_code
from worker.inference.entries.strict import Strict
from worker.inference.outputs.case import Case
from worker.inference.outputs.pooling import Activation, Pool, rated


class Quantity(Strict):
    """What a number is: ``value * scale + shift`` in ``unit``.

    Outside of ``plausible`` no result is made: a net that was never shown such an image says any number.
    """

    name: CodeEntry
    unit: UnitEntry
    scale: float = 1.0
    shift: float = 0.0
    plausible: Bounds
    method: CodeEntry | None = None
    derivation: CodeEntry | None = None

    def measured(self, raw: float, *, label: str) -> Measurement:
        """Raises NotApplicableError (``quantity-implausible``) with the number that was found."""
        value = raw * self.scale + self.shift
        if not (np.isfinite(value) and self.plausible.hold(value)):
            raise NotApplicableError(
                f'The result is implausible: "{label}" would be {value:g} {self.unit.ucum}; expected {self.plausible}.',
                next_step="Check that the series shows what the model was made for.",
                code="quantity-implausible",
            )
        return Measurement(
            name=self.name.to_domain(),
            value=value,
            unit=self.unit.to_domain(),
            method=domain_code(self.method),
            derivation=domain_code(self.derivation),
        )


class ChannelQuantity(Quantity):
    """A number that a channel says."""

    channel: Channel


class _About(Strict):
    label: Label
    tracking_identifier: Label
    finding: CodeEntry
    site: CodeEntry | None = None
    laterality: CodeEntry | None = None

    def _concluded(self, measurements: tuple[Measurement, ...]) -> Quantification:
        return Quantification(
            label=self.label,
            tracking_identifier=self.tracking_identifier,
            finding=self.finding.to_domain(),
            measurements=measurements,
            site=domain_code(self.site),
            laterality=domain_code(self.laterality),
        )


class ChannelEntry(_About):
    """Numbers that channels say: an age, a score, a density."""

    by: Literal["channel"]
    values: Annotated[tuple[ChannelQuantity, ...], Field(min_length=1)]
    pool: Pool = Pool(how="mean")
    activation: Activation = "none"

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels of the answer that it reads, for the check that the net has them."""
        return tuple(value.channel for value in self.values)

    @property
    def segments(self) -> tuple[str, ...]:
        """Labels of segments that it needs: none."""
        return ()

    def conclude(self, case: Case) -> Quantification:
        """Scale and judge each number. Raises NotApplicableError (``quantity-implausible``)."""
        vector = rated(case.answer, self.pool, self.activation)
        return self._concluded(tuple(one.measured(float(vector[one.channel]), label=self.label) for one in self.values))


class VolumeRatioEntry(_About):
    """The volume of some segments over that of others (an index, a fraction)."""

    by: Literal["volume_ratio"]
    segments_of: Annotated[tuple[str, ...], Field(min_length=1)]
    segments_over: Annotated[tuple[str, ...], Field(min_length=1)]
    value: Quantity

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels that it reads: none."""
        return ()

    @property
    def segments(self) -> tuple[str, ...]:
        """Labels of segments that it needs."""
        return (*self.segments_of, *self.segments_over)

    def conclude(self, case: Case) -> Quantification:
        """Divide. Raises NotApplicableError (``quantity-implausible``, also when there is nothing to divide by)."""
        above = sum(case.volumes_ml[label] for label in self.segments_of)
        below = sum(case.volumes_ml[label] for label in self.segments_over)
        return self._concluded((self.value.measured(above / below if below else np.inf, label=self.label),))


QuantificationEntry = Annotated[ChannelEntry | VolumeRatioEntry, Field(discriminator="by")]
"""How a quantification is read."""
