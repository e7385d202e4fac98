"""Steps that change values and leave the grid alone: limits, mean and deviation, windows as channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import numpy as np
import scipy
from pydantic import Field, model_validator

from worker.domain.errors import ConfigurationError, NotApplicableError
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Image, Mask

Over = Literal["all", "nonzero"]
Inside = Literal["all", "nonzero", "nonzero_alone", "foreground"]
"""Over what mean and deviation are taken. "nonzero_alone" (MONAI): what is not 0, and only that is changed;
"foreground" (nnU-Net): what is not 0 in some channel, and the holes in it; only that is changed."""
Channel = Annotated[int, Field(ge=0)] | None
"""The one channel that a step works on; None means all together."""
Percent = Annotated[float, Field(ge=0, le=100)]


def clip(values: Float, *, lower: float, upper: float) -> Float:
    """Limit to lower ... upper (in CT: HU)."""
    return np.clip(values, np.float32(lower), np.float32(upper))


def percentiles(values: Float, *, lower: float, upper: float, over: Over = "all") -> tuple[float, float]:
    """The values at two percentiles (0 to 100, linear between ranks) over all or over the nonzero voxels."""
    chosen = values[values != 0] if over == "nonzero" else values
    if chosen.size == 0:
        raise NotApplicableError("All voxels are zero: there is no intensity to normalise.", code="input-constant")
    low, high = np.percentile(chosen, [lower, upper])
    return float(low), float(high)


def z_score(values: Float, *, over: Over = "all") -> Float:
    """Subtract the mean and divide by the standard deviation of all or of the nonzero voxels.

    Raises NotApplicableError (``input-constant``) when there is no deviation to divide by.
    """
    chosen = values[values != 0] if over == "nonzero" else values
    mean = float(chosen.mean(dtype=np.float64)) if chosen.size else 0.0
    deviation = float(chosen.std(dtype=np.float64)) if chosen.size else 0.0
    if deviation <= 1e-6 * max(1.0, abs(mean)):
        raise NotApplicableError(
            f"The image is constant (standard deviation {deviation:g}): there is nothing to see.",
            code="input-constant",
        )
    return scale_shift(values, scale=1.0 / deviation, shift=-mean / deviation)


def foreground(values: Float) -> Mask:
    """What is not 0 in some channel of (channel, a, b, c), and the holes in it (nnU-Net's ``create_nonzero_mask``)."""
    found: Mask = scipy.ndimage.binary_fill_holes((values != 0).any(axis=0))
    return found


def z_score_inside(values: Float, mask: Mask) -> Float:
    """As ``z_score``, over a mask (a, b, c) alone; outside of it nothing changes."""
    result = values.copy()
    inside = values[:, mask]
    result[:, mask] = z_score(inside[:, :, None, None])[:, :, 0, 0]
    return result


def z_score_nonzero(values: Float) -> Float:
    """As ``z_score``, over the values that are not 0 alone; what is 0 stays 0 (``NormalizeIntensity`` of MONAI)."""
    result, inside = values.copy(), values != 0
    result[inside] = z_score(values[inside][None, :, None, None])[0, :, 0, 0]
    return result


def on_channel(image: Image, channel: int | None, function: Callable[[Float], Float]) -> Image:
    """Apply a function (channel, a, b, c) -> the same shape to all channels together, or to one alone.

    Raises ConfigurationError (``channel-missing``) when the image has no such channel.
    """
    if channel is None:
        return image.with_values(function(image.values))
    if channel >= image.values.shape[0]:
        raise ConfigurationError(
            f"A step works on channel {channel}, but the image has {image.values.shape[0]} (from 0).",
            next_step="Correct the channel in the preprocessing chain of the manifest.",
            code="channel-missing",
        )
    values = image.values.copy()
    values[channel : channel + 1] = function(image.values[channel : channel + 1])
    return image.with_values(values)


def scale_shift(values: Float, *, scale: float, shift: float) -> Float:
    """``values * scale + shift``."""
    result: Float = values * np.float32(scale)
    result += np.float32(shift)
    return result


def windows(values: Float, *, bounds: tuple[tuple[float, float], ...]) -> Float:
    """Stack one channel per window, each clipped to (lower, upper) and scaled to 0 ... 1.

    (1, a, b, c) in, (number of windows, a, b, c) out.
    """
    channels = [(np.clip(values[0], low, high) - low) / (high - low) for low, high in bounds]
    return np.stack(channels).astype(np.float32)


class Clip(Strict):
    """Limit to lower ... upper."""

    step: Literal["clip"]
    lower: float
    upper: float
    channel: Channel = None

    @model_validator(mode="after")
    def _ordered(self) -> Clip:
        if self.lower >= self.upper:
            raise ValueError(f"lower {self.lower:g} must be below upper {self.upper:g}")
        return self

    def apply(self, image: Image) -> Image:
        """The image after this step; see ``clip``."""
        return on_channel(image, self.channel, partial(clip, lower=self.lower, upper=self.upper))


class ClipPercentiles(Strict):
    """Limit to the values at two percentiles; ``keep_as`` names the pair for a ``clip_kept`` further on."""

    step: Literal["clip_percentiles"]
    lower: Percent
    upper: Percent
    over: Over = "all"
    keep_as: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> ClipPercentiles:
        if self.lower >= self.upper:
            raise ValueError(f"lower {self.lower:g} must be below upper {self.upper:g}")
        return self

    def apply(self, image: Image) -> Image:
        """Cut the values at two of their percentiles, and keep these if a later step asks for them."""
        low, high = percentiles(image.values, lower=self.lower, upper=self.upper, over=self.over)
        kept = image.kept if self.keep_as is None else {**image.kept, self.keep_as: (low, high)}
        return replace(image, values=clip(image.values, lower=low, upper=high), kept=kept)


class ClipKept(Strict):
    """Limit to a pair of values that an earlier chain kept."""

    step: Literal["clip_kept"]
    kept: Annotated[str, Field(min_length=1)]

    def apply(self, image: Image) -> Image:
        """Run ``clip`` with the kept values."""
        low, high = image.kept[self.kept]
        return image.with_values(clip(image.values, lower=low, upper=high))


class ZScore(Strict):
    """Zero mean, unit deviation: of all channels together, of each by itself, or of one alone."""

    step: Literal["z_score"]
    over: Inside = "all"
    each_channel: bool = False
    channel: Channel = None

    def apply(self, image: Image) -> Image:
        """Run ``z_score``, or ``z_score_inside`` on the foreground."""
        inside = foreground(image.values) if self.over == "foreground" else None
        over: Over = "nonzero" if self.over == "nonzero" else "all"

        def normalised(values: Float) -> Float:
            if self.over == "nonzero_alone":
                return z_score_nonzero(values)
            return z_score(values, over=over) if inside is None else z_score_inside(values, inside)

        if self.each_channel:
            return image.with_values(np.concatenate([normalised(one[None]) for one in image.values]))
        return on_channel(image, self.channel, normalised)


class ScaleShift(Strict):
    """Multiply, then add."""

    step: Literal["scale_shift"]
    scale: float
    shift: float
    channel: Channel = None

    def apply(self, image: Image) -> Image:
        """The image after this step; see ``scale_shift``."""
        return on_channel(image, self.channel, partial(scale_shift, scale=self.scale, shift=self.shift))


class Window(Strict):
    """Lower and upper value of a display window."""

    lower: float
    upper: float

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.lower >= self.upper:
            raise ValueError(f"lower {self.lower:g} must be below upper {self.upper:g}")
        return self


class Channels(Strict):
    """One channel per window, each scaled to 0 ... 1."""

    step: Literal["channels"]
    windows: Annotated[tuple[Window, ...], Field(min_length=1, max_length=16)]

    def apply(self, image: Image) -> Image:
        """The image after this step; see ``windows``."""
        return image.with_values(windows(image.values, bounds=tuple((w.lower, w.upper) for w in self.windows)))
