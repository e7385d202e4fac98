"""Steps on what a net says, still on the net's grid: from logits to probabilities."""

from __future__ import annotations

from typing import Literal

import numpy as np

from worker.inference.steps.image import Float, Scores
from worker.inference.strict import Strict

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


class Softmax(Strict):
    """Probabilities over the channels."""

    step: Literal["softmax"]

    def apply(self, scores: Scores) -> Scores:
        """Run ``softmax``."""
        return Scores(softmax(scores.values), scores.geometry)


class Sigmoid(Strict):
    """Probability of each channel by itself."""

    step: Literal["sigmoid"]

    def apply(self, scores: Scores) -> Scores:
        """Run ``sigmoid``."""
        return Scores(sigmoid(scores.values), scores.geometry)
