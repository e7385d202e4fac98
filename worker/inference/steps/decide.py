"""From scores on the net's grid to a label map on the source's grid, in tiles that bound the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from worker.domain.volume import Geometry
from worker.inference.steps.image import Float, Mask, Scores, index_map
from worker.inference.steps.sampling import Interpolation, sample
from worker.inference.strict import Strict

Labels = NDArray[np.uint8] | NDArray[np.uint16]
Numbers = Mapping[int, int]
"""Channel of the net's output to segment number."""

TILE_BYTES = 64 << 20


def argmax(tile: Float, *, numbers: Numbers) -> NDArray[np.int64]:
    """The segment number of the highest channel at each voxel; channels without a segment mean background.

    (channel, a, b, c) in, (a, b, c) out.
    """
    lookup = np.zeros(tile.shape[0], dtype=np.int64)
    for channel, number in numbers.items():
        lookup[channel] = number
    found: NDArray[np.int64] = lookup[np.argmax(tile, axis=0)]
    return found


def above(tile: Float, *, numbers: Numbers, value: float) -> NDArray[np.int64]:
    """The segment number of the highest channel among those above ``value``; 0 where none is.

    Only channels with a segment take part. (channel, a, b, c) in, (a, b, c) out.
    """
    channels = sorted(numbers)
    chosen = tile[channels]
    lookup = np.array([numbers[channel] for channel in channels], dtype=np.int64)
    found: NDArray[np.int64] = np.where(chosen.max(axis=0) > value, lookup[np.argmax(chosen, axis=0)], 0)
    return found


def restore(
    scores: Scores,
    source: Geometry,
    decision: Callable[[Float], NDArray[np.int64]],
    *,
    interpolation: Interpolation,
    highest: int,
    tile_bytes: int = TILE_BYTES,
) -> Labels:
    """Bring scores back onto the source grid and decide there, some slices at a time.

    The way back is the inverse of the whole chain at once: the source's index goes to the patient by the source's
    affine and to the scores by the inverse of theirs. Outside the scores' field of view there is background.

    Parameters
    ----------
    scores:
        (channel, a, b, c) on any grid.
    source:
        The grid of the series.
    decision:
        From (channel, slices, rows, columns) to segment numbers (slices, rows, columns).
    interpolation:
        Of the scores, at the source's voxel centres.
    highest:
        The highest segment number; above 255 the labels are uint16.
    tile_bytes:
        Scores of one tile on the source grid take about this much.
    """
    labels: Labels
    labels = np.zeros(source.shape, np.uint8) if highest <= 255 else np.zeros(source.shape, np.uint16)
    matrix = index_map(of=source, into=scores.geometry)
    for first, count in _slabs(source.shape, channels=scores.values.shape[0], tile_bytes=tile_bytes):
        slab = matrix.copy()
        slab[:3, 3] += matrix[:3, 0] * first
        shape = (count, source.shape[1], source.shape[2])
        tile, inside = sample(scores.values, slab, shape, interpolation=interpolation)
        labels[first : first + count] = _kept(decision(tile), inside)
    return labels


def _kept(found: NDArray[np.int64], inside: Mask | None) -> NDArray[np.int64]:
    return found if inside is None else np.where(inside, found, 0)


def _slabs(shape: tuple[int, int, int], *, channels: int, tile_bytes: int) -> Iterator[tuple[int, int]]:
    depth = max(1, tile_bytes // (4 * channels * shape[1] * shape[2]))
    for first in range(0, shape[0], depth):
        yield first, min(depth, shape[0] - first)


class Argmax(Strict):
    """The channel with the highest score wins."""

    step: Literal["argmax"]
    interpolation: Interpolation = "linear"

    def labels(self, scores: Scores, source: Geometry, *, numbers: Numbers, thresholds: Mapping[str, float]) -> Labels:
        """Run ``restore`` with ``argmax``."""
        del thresholds  # nothing to compare with
        return restore(
            scores,
            source,
            lambda tile: argmax(tile, numbers=numbers),
            interpolation=self.interpolation,
            highest=max(numbers.values()),
        )


class AboveThreshold(Strict):
    """The channel with the highest score wins where it is above the threshold.

    Either a fixed ``value`` or the name of a ``threshold`` of the manifest, which a site may move.
    """

    step: Literal["threshold"]
    value: float | None = None
    threshold: Annotated[str, Field(min_length=1)] | None = None
    interpolation: Interpolation = "linear"

    @model_validator(mode="after")
    def _one(self) -> AboveThreshold:
        if (self.value is None) == (self.threshold is None):
            raise ValueError("expected either value or threshold")
        return self

    def labels(self, scores: Scores, source: Geometry, *, numbers: Numbers, thresholds: Mapping[str, float]) -> Labels:
        """Run ``restore`` with ``above``."""
        value = self.value if self.threshold is None else thresholds[self.threshold]
        if value is None:
            raise ValueError("a threshold step without value and name cannot have been parsed")
        return restore(
            scores,
            source,
            lambda tile: above(tile, numbers=numbers, value=value),
            interpolation=self.interpolation,
            highest=max(numbers.values()),
        )
