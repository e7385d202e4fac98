"""Steps on what a net says, still on the net's grid: from logits to probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from worker.inference.answers import Answer, Candidates, Ratings
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Scores

_CHUNK = 1 << 20
"""Positions worked on at a time, so that the temporaries stay small beside the scores."""


def softmax(logits: Float) -> Float:
    """Probabilities over the channels of (channel, a, b, c); each voxel sums to 1."""
    result: Float = np.empty(logits.shape, dtype=np.float32)
    flat, out = logits.reshape(logits.shape[0], -1), result.reshape(logits.shape[0], -1)
    for start in range(0, flat.shape[1], _CHUNK):
        part = flat[:, start : start + _CHUNK]
        exponents = np.exp(part - part.max(axis=0))
        out[:, start : start + _CHUNK] = exponents / exponents.sum(axis=0)
    return result


def sigmoid(logits: Float) -> Float:
    """Probability of each channel by itself, (channel, a, b, c)."""
    # exp never overflows on the negative side; the positive side is its mirror image.
    small: Float = np.exp(-np.abs(logits))
    result: Float = np.where(logits >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)
    return result


def on_channels(answer: Answer, function: Callable[[Float], Float]) -> Answer:
    """An answer with ``function`` (channel, a, b, c) -> (channel, a, b, c) applied to what the net says of channels.

    Of boxes the score is the one channel.
    """
    match answer:
        case Scores(values=values, geometry=geometry):
            return Scores(function(values), geometry)
        case Ratings(values=values, positions=positions, geometry=geometry, whole=whole):
            shaped = np.ascontiguousarray(values.T)[:, :, None, None]
            return Ratings(np.ascontiguousarray(function(shaped)[:, :, 0, 0].T), positions, geometry, whole)
        case Candidates(boxes=boxes, scores=scores, classes=classes, geometry=geometry):
            return Candidates(boxes, function(scores[None, :, None, None])[0, :, 0, 0], classes, geometry)


class Softmax(Strict):
    """Probabilities over the channels."""

    step: Literal["softmax"]

    def apply(self, answer: Answer) -> Answer:
        """The scores after this step; see ``softmax``."""
        return on_channels(answer, softmax)


class Sigmoid(Strict):
    """Probability of each channel by itself."""

    step: Literal["sigmoid"]

    def apply(self, answer: Answer) -> Answer:
        """The scores after this step; see ``sigmoid``."""
        return on_channels(answer, sigmoid)
