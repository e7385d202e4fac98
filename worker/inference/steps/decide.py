"""From scores on the net's grid to a label map on the source's grid, in tiles that bound the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Literal

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import Field, model_validator

from worker.domain.volume import Geometry
from worker.inference.entries.strict import Strict
from worker.inference.image import Float, Mask, Scores, index_map
from worker.inference.steps.nnunet import Keep, Spacing, low_resolution_axis
from worker.inference.steps.sampling import Interpolation, sample

Labels = NDArray[np.uint8] | NDArray[np.uint16]
WishedSpacing = tuple[Spacing | Keep, Spacing | Keep, Spacing | Keep]
NearestAxis = Annotated[int, Field(ge=0, le=2)] | Literal["auto"] | WishedSpacing | None
"""Axis of the net's grid along which scores are not interpolated; "auto": where slices are far apart (nnU-Net), and
three numbers: the same, told by the spacing in mm that the net's grid was to have."""
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


def last_above(tile: Float, *, numbers: Numbers, value: float) -> NDArray[np.int64]:
    """The segment number of the last channel that is above ``value``; 0 where none is (nnU-Net's regions).

    (channel, a, b, c) in, (a, b, c) out.
    """
    found = np.zeros(tile.shape[1:], dtype=np.int64)
    for channel in sorted(numbers):
        found[tile[channel] > value] = numbers[channel]
    return found


def restore(
    scores: Scores,
    source: Geometry,
    decision: Callable[[Float], NDArray[np.int64]],
    *,
    interpolation: Interpolation,
    highest: int,
    nearest_axis: NearestAxis = None,
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
    nearest_axis:
        Axis of the scores' grid along which they are not interpolated; "auto": where slices are far apart; three
        numbers: the same, by this spacing instead of that of the scores' grid, which rounding has moved.
    tile_bytes:
        Scores of one tile on the source grid take about this much.
    """
    labels: Labels
    labels = np.zeros(source.shape, np.uint8) if highest <= 255 else np.zeros(source.shape, np.uint16)
    matrix = index_map(of=source, into=scores.geometry)
    axis = nearest_axis if isinstance(nearest_axis, int | None) else far_apart(scores.geometry, source, nearest_axis)
    for first, count in _slabs(source.shape, channels=scores.values.shape[0], tile_bytes=tile_bytes):
        slab = matrix.copy()
        slab[:3, 3] += matrix[:3, 0] * first
        shape = (count, source.shape[1], source.shape[2])
        tile, inside = sample(scores.values, slab, shape, interpolation=interpolation, nearest_axis=axis)
        labels[first : first + count] = _kept(decision(tile), inside)
    return labels


def far_apart(scores: Geometry, source: Geometry, stated: Literal["auto"] | WishedSpacing = "auto") -> int | None:
    """The axis of the scores' grid along which its slices, or else those of the source, are far apart (nnU-Net).

    ``stated`` is the spacing in mm that the scores' grid was to have ("keep": that of the source).
    """
    steps = [grid.affine_lps[:3, :3] / np.asarray(grid.spacing_mm) for grid in (scores, source)]
    along = np.argmax(np.abs(steps[0].T @ steps[1]), axis=1)
    there = tuple(source.spacing_mm[axis] for axis in along)
    if stated == "auto":
        return low_resolution_axis(scores.spacing_mm, there, separate="auto")
    wished = tuple(has if one == "keep" else one for has, one in zip(there, stated, strict=True))
    return low_resolution_axis(wished, there, separate="auto")


def _kept(found: NDArray[np.int64], inside: Mask | None) -> NDArray[np.int64]:
    return found if inside is None else np.where(inside, found, 0)


def _slabs(shape: tuple[int, int, int], *, channels: int, tile_bytes: int) -> Iterator[tuple[int, int]]:
    depth = max(1, tile_bytes // (4 * channels * shape[1] * shape[2]))
    for first in range(0, shape[0], depth):
        yield first, min(depth, shape[0] - first)


def strong_parts(weak: Labels, strong: Labels, *, connectivity: int) -> Labels:
    """Of each structure of ``weak`` the connected parts that hold a voxel of the same structure of ``strong``."""
    structure = scipy.ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
    result = weak.copy()
    for index, box in enumerate(scipy.ndimage.find_objects(weak)):
        if box is None:
            continue
        mask = weak[box] == index + 1
        parts, count = scipy.ndimage.label(mask, structure=structure)
        kept = np.zeros(count + 1, np.bool_)
        kept[np.unique(parts[strong[box] == index + 1])] = True
        kept[0] = False
        result[box][mask & ~kept[parts]] = 0
    return result


class Argmax(Strict):
    """The channel with the highest score wins."""

    step: Literal["argmax"]
    interpolation: Interpolation = "linear"
    nearest_axis: NearestAxis = None

    def thresholds(self) -> tuple[str, ...]:
        """Names of the thresholds that it uses: none."""
        return ()

    def labels(self, scores: Scores, source: Geometry, *, numbers: Numbers, thresholds: Mapping[str, float]) -> Labels:
        """Labels on the source grid: the structure with the highest score (``argmax``)."""
        del thresholds  # nothing to compare with
        return restore(
            scores,
            source,
            lambda tile: argmax(tile, numbers=numbers),
            interpolation=self.interpolation,
            highest=max(numbers.values()),
            nearest_axis=self.nearest_axis,
        )


class AboveThreshold(Strict):
    """The channel with the highest score wins where it is above the threshold.

    Either a fixed ``value`` or the name of a ``threshold`` of the manifest, which a site may move.
    """

    step: Literal["threshold"]
    value: float | None = None
    threshold: Annotated[str, Field(min_length=1)] | None = None
    interpolation: Interpolation = "linear"
    nearest_axis: NearestAxis = None

    @model_validator(mode="after")
    def _one(self) -> AboveThreshold:
        if (self.value is None) == (self.threshold is None):
            raise ValueError("expected either value or threshold")
        return self

    def thresholds(self) -> tuple[str, ...]:
        """Names of the thresholds that it uses."""
        return () if self.threshold is None else (self.threshold,)

    def labels(self, scores: Scores, source: Geometry, *, numbers: Numbers, thresholds: Mapping[str, float]) -> Labels:
        """Labels on the source grid: where a score exceeds the value, or the site's threshold (``above``)."""
        value = self.value if self.threshold is None else thresholds[self.threshold]
        if value is None:
            raise ValueError("a threshold step without value and name cannot have been parsed")
        return restore(
            scores,
            source,
            lambda tile: above(tile, numbers=numbers, value=value),
            interpolation=self.interpolation,
            highest=max(numbers.values()),
            nearest_axis=self.nearest_axis,
        )


class LastAbove(Strict):
    """The last channel above ``value`` wins: structures inside structures, the outermost first (nnU-Net's regions)."""

    step: Literal["last_above"]
    value: float
    interpolation: Interpolation = "linear"
    nearest_axis: NearestAxis = None

    def thresholds(self) -> tuple[str, ...]:
        """Names of the thresholds that it uses: none."""
        return ()

    def labels(self, scores: Scores, source: Geometry, *, numbers: Numbers, thresholds: Mapping[str, float]) -> Labels:
        """Labels on the source grid: of the structures above the value the last in order (``last_above``)."""
        del thresholds  # the value is fixed
        return restore(
            scores,
            source,
            partial(last_above, numbers=numbers, value=self.value),
            interpolation=self.interpolation,
            highest=max(numbers.values()),
            nearest_axis=self.nearest_axis,
        )


class Hysteresis(Strict):
    """As ``threshold`` with ``low``, but only the connected parts that are somewhere above ``high``.

    Each is a number, or the name of a threshold of the manifest, which a site may move.
    """

    step: Literal["hysteresis"]
    low: float | Annotated[str, Field(min_length=1)]
    high: float | Annotated[str, Field(min_length=1)]
    connectivity: Literal[6, 18, 26] = 26
    interpolation: Interpolation = "linear"

    @model_validator(mode="after")
    def _ordered(self) -> Hysteresis:
        if isinstance(self.low, float) and isinstance(self.high, float) and self.low > self.high:
            raise ValueError(f"low {self.low:g} must not be above high {self.high:g}")
        return self

    def thresholds(self) -> tuple[str, ...]:
        """Names of the thresholds that it uses."""
        return tuple(one for one in (self.low, self.high) if isinstance(one, str))

    def labels(self, scores: Scores, source: Geometry, *, numbers: Numbers, thresholds: Mapping[str, float]) -> Labels:
        """Run ``restore`` twice, then ``strong_parts``."""
        weak, strong = (
            restore(
                scores,
                source,
                partial(above, numbers=numbers, value=thresholds[bound] if isinstance(bound, str) else bound),
                interpolation=self.interpolation,
                highest=max(numbers.values()),
            )
            for bound in (self.low, self.high)
        )
        return strong_parts(weak, strong, connectivity=self.connectivity)
