"""From an answer to one number per channel, and the slices that speak for it most."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from worker.domain.errors import PermanentError
from worker.domain.volume import Geometry
from worker.inference.answers import Answer, Candidates, Ratings
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Scores, index_map
from worker.inference.steps.scores import sigmoid, softmax

How = Literal["mean", "max", "top_mean"]
Activation = Literal["none", "sigmoid", "softmax"]


class Pool(Strict):
    """How the numbers of several planes, or the voxels of a score map, become one number of each channel.

    ``top_mean`` is the mean of the ``top`` highest.
    """

    how: How
    top: Annotated[int, Field(ge=1)] = 3


LARGEST = Pool(how="max")


def pool(values: Float, *, how: How, top: int = 3) -> Float:
    """One number per channel: (channel, n) in, (channel,) out."""
    if how == "mean":
        mean: Float = values.mean(axis=1, dtype=np.float64).astype(np.float32)
        return mean
    if how == "max":
        highest: Float = values.max(axis=1)
        return highest
    count = min(top, values.shape[1])
    best = np.partition(values, values.shape[1] - count, axis=1)[:, values.shape[1] - count :]
    mean_of_best: Float = best.mean(axis=1, dtype=np.float64).astype(np.float32)
    return mean_of_best


def activate(vector: Float, activation: Activation) -> Float:
    """Logits of (channel,) as probabilities: of each channel by itself (sigmoid), or among them (softmax)."""
    shaped = vector.reshape(-1, 1, 1, 1)
    if activation == "sigmoid":
        return sigmoid(shaped).reshape(-1)
    if activation == "softmax":
        return softmax(shaped).reshape(-1)
    return vector


def rated(answer: Answer, rule: Pool, activation: Activation) -> Float:
    """The number of each channel (channel,) for the whole image."""
    match answer:
        case Ratings(values=values, whole=whole):
            flat = values.T
            vector = flat[:, 0] if whole else pool(flat, how=rule.how, top=rule.top)
        case Scores(values=values):
            vector = pool(values.reshape(values.shape[0], -1), how=rule.how, top=rule.top)
        case Candidates():
            raise ValueError("boxes are not rated: the manifest does not allow it")
    return activate(vector, activation)


def probability(value: float, *, label: str) -> float:
    """The number as it is; raises PermanentError (``probability-out-of-range``) when it is no probability."""
    if not -1e-4 <= value <= 1 + 1e-4:
        raise PermanentError(
            f'The probability of "{label}" would be {value:g}.',
            next_step='No result is made. State the activation of this output ("sigmoid", "softmax") in the manifest.',
            code="probability-out-of-range",
        )
    return min(max(value, 0.0), 1.0)


def key_slices(answer: Answer, source: Geometry, *, channel: int, count: int) -> tuple[int, ...]:
    """The ``count`` slices of the source whose planes have the highest number in ``channel``, the highest first.

    A plane is shown by the source's slice that is nearest to its middle. Empty when the answer is about the whole.
    """
    if count == 0:
        return ()
    match answer:
        case Ratings(whole=True) | Candidates():
            return ()
        case Ratings(values=values, positions=positions, geometry=geometry):
            of_plane = values[:, channel]
        case Scores(values=values, geometry=geometry):
            of_plane = values[channel].max(axis=(1, 2))
            positions = np.arange(len(of_plane), dtype=np.float64)
    nearest = source_slices(positions, geometry, source)
    ranked = nearest[np.argsort(-of_plane, kind="stable")]
    return tuple(dict.fromkeys(int(k) for k in ranked))[:count]


def source_slices(positions: NDArray[np.float64], geometry: Geometry, source: Geometry) -> NDArray[np.intp]:
    """The source's slices nearest to the middles of planes at ``positions`` along axis 0 of another grid."""
    middle = [(size - 1) / 2 for size in geometry.shape[1:]]
    points = np.array([[position, *middle, 1.0] for position in positions])
    mapped = points @ index_map(of=geometry, into=source).T
    found: NDArray[np.intp] = np.clip(np.rint(mapped[:, 0]), 0, source.shape[0] - 1).astype(np.intp)
    return found
