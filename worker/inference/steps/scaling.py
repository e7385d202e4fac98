"""Steps that bring values into a range, and channels into the number and scale that a net was trained with."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from worker.domain.errors import ConfigurationError, NotApplicableError
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Image
from worker.inference.steps.intensity import Channel, Over, Percent, on_channel, percentiles


def rescale(values: Float, *, lower: float, upper: float, low: float, high: float, clip: bool = True) -> Float:
    """``lower`` ... ``upper`` linearly to ``low`` ... ``high``; with ``clip`` nothing lies outside.

    Raises NotApplicableError (``input-constant``) when ``lower`` is ``upper``.
    """
    if upper <= lower:
        raise NotApplicableError(
            f"The image is constant (from {lower:g} to {upper:g}): there is nothing to see.", code="input-constant"
        )
    scaled: Float = (values - np.float32(lower)) * np.float32((high - low) / (upper - lower)) + np.float32(low)
    return np.clip(scaled, min(low, high), max(low, high)) if clip else scaled


class _Target(Strict):
    low: float = 0.0
    high: float = 1.0
    channel: Channel = None


class WindowLevel(_Target):
    """A display window to ``low`` ... ``high``: centre and width, exactly linear (PS3.3 C.11.2.1.3.2)."""

    step: Literal["window"]
    centre: float
    width: Annotated[float, Field(gt=0)]

    def apply(self, image: Image) -> Image:
        """The image after this step; see ``rescale``."""
        lower, upper = self.centre - self.width / 2, self.centre + self.width / 2
        return on_channel(image, self.channel, partial(rescale, lower=lower, upper=upper, low=self.low, high=self.high))


class ScalePercentiles(_Target):
    """The values at two percentiles to ``low`` and ``high`` (0 and 100: the extremes)."""

    step: Literal["scale_percentiles"]
    lower: Percent
    upper: Percent
    over: Over = "all"
    clip: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> ScalePercentiles:
        if self.lower >= self.upper:
            raise ValueError(f"lower {self.lower:g} must be below upper {self.upper:g}")
        return self

    def apply(self, image: Image) -> Image:
        """Map two percentiles of the values to the ends of a range; see ``rescale``."""

        def scaled(values: Float) -> Float:
            lower, upper = percentiles(values, lower=self.lower, upper=self.upper, over=self.over)
            return rescale(values, lower=lower, upper=upper, low=self.low, high=self.high, clip=self.clip)

        return on_channel(image, self.channel, scaled)


class RepeatChannel(Strict):
    """The one channel several times (nets that were trained on colour photographs)."""

    step: Literal["repeat_channel"]
    count: Annotated[int, Field(ge=2, le=16)]

    def apply(self, image: Image) -> Image:
        """The first channel ``count`` times, for nets that were trained on colour photographs."""
        return image.with_values(np.repeat(image.values[:1], self.count, axis=0))


class NormaliseChannels(Strict):
    """Subtract a mean and divide by a deviation, both stated for each channel."""

    step: Literal["normalise_channels"]
    mean: Annotated[tuple[float, ...], Field(min_length=1)]
    deviation: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _pairs(self) -> NormaliseChannels:
        if len(self.mean) != len(self.deviation):
            raise ValueError(f"mean has {len(self.mean)} numbers, deviation {len(self.deviation)}")
        return self

    def apply(self, image: Image) -> Image:
        """Subtract and divide. Raises ConfigurationError (``channel-missing``) for another number of channels."""
        if image.values.shape[0] != len(self.mean):
            raise ConfigurationError(
                f"normalise_channels is for {len(self.mean)} channels, but the image has {image.values.shape[0]}.",
                next_step="Correct the preprocessing chain of the manifest.",
                code="channel-missing",
            )
        mean, deviation = (
            np.asarray(numbers, dtype=np.float32)[:, None, None, None] for numbers in (self.mean, self.deviation)
        )
        return image.with_values((image.values - mean) / deviation)
