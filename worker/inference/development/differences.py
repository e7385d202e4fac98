"""How far two runs of one model on one image are apart: of another precision, or on another provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.findings import Classification, Conclusion, Detection, Quantification, Segmentation, is_any
from worker.inference.answers import Answer, Candidates, Ratings


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What a run said, apart from the image.

    ``answer`` is float32 (channel, ...), what the inference mode answered before the postprocessing; None for boxes,
    of which two runs may propose different numbers. ``labels`` is (slice, row, column), ``numbers`` says which of its
    values are part of each structure. ``values`` are probabilities, measurements and counts by what they are of.
    """

    answer: NDArray[np.float32] | None
    labels: NDArray[Any] | None
    numbers: Mapping[str, tuple[int, ...]]
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ChannelDifference:
    """The largest difference of any value of one channel, and the largest value of the reference beside it."""

    channel: int
    largest_difference: float
    largest_value: float


@dataclass(frozen=True, slots=True)
class SegmentDifference:
    """One structure: voxels of the reference, voxels that differ, and Dice (1 when both say nothing)."""

    label: str
    voxels: int
    voxels_different: int
    dice: float


@dataclass(frozen=True, slots=True)
class ValueDifference:
    """One number of the result."""

    what: str
    reference: float | None
    value: float | None


@dataclass(frozen=True, slots=True)
class Differences:
    """Of everything that both runs say."""

    channels: tuple[ChannelDifference, ...]
    segments: tuple[SegmentDifference, ...]
    values: tuple[ValueDifference, ...]

    @property
    def lowest_dice(self) -> float | None:
        """Of all structures; None for a model without any."""
        return min((one.dice for one in self.segments), default=None)

    @property
    def largest_difference(self) -> float | None:
        """Of all channels; None for a model that answers boxes."""
        return max((one.largest_difference for one in self.channels), default=None)


def said_of(conclusion: Conclusion, answer: Answer) -> Said:
    """What is compared of a run."""
    labels: NDArray[Any] | None = None
    numbers: dict[str, tuple[int, ...]] = {}
    values: dict[str, float] = {}
    for finding in conclusion.findings:
        match finding:
            case Segmentation():
                labels = finding.labels
                numbers = {segment.label: segment.numbers for segment in finding.segments}
                for segment in finding.segments:
                    values |= {f"{segment.label}, {one.name.meaning}": one.value for one in segment.measurements}
            case Classification():
                if finding.probability is not None:
                    values[f"{finding.label}, probability"] = finding.probability
            case Quantification():
                values |= {f"{finding.label}, {one.name.meaning}": one.value for one in finding.measurements}
            case Detection():
                for region in finding.regions:
                    key = f"{region.label}, count"
                    values[key] = values.get(key, 0) + 1
            case _:
                pass  # heat maps are the answer itself, words are made of what is compared
    return Said(_channels_first(answer), labels, numbers, values)


def _channels_first(answer: Answer) -> NDArray[np.float32] | None:
    match answer:
        case Candidates():
            return None
        case Ratings(values=values):
            return np.ascontiguousarray(values.T)
        case _:
            return answer.values


def differences(reference: Said, other: Said) -> Differences:
    """Compare two runs on the same image."""
    return Differences(_of_answers(reference, other), _of_labels(reference, other), _of_values(reference, other))


def _of_answers(reference: Said, other: Said) -> tuple[ChannelDifference, ...]:
    if reference.answer is None or other.answer is None or reference.answer.shape != other.answer.shape:
        return ()
    return tuple(
        ChannelDifference(channel, float(np.abs(theirs - ours).max()), float(np.abs(theirs).max()))
        for channel, (theirs, ours) in enumerate(zip(reference.answer, other.answer, strict=True))
    )


def _of_labels(reference: Said, other: Said) -> tuple[SegmentDifference, ...]:
    # By name: a structure that one run does not find moves the numbers of those behind it.
    found = []
    for name in dict.fromkeys((*reference.numbers, *other.numbers)):
        theirs, ours = _mask(reference, name), _mask(other, name)
        both = int(np.count_nonzero(theirs & ours)) if theirs is not None and ours is not None else 0
        count = 0 if theirs is None else int(np.count_nonzero(theirs))
        total = count + (0 if ours is None else int(np.count_nonzero(ours)))
        found.append(SegmentDifference(name, count, total - 2 * both, 2 * both / total if total else 1.0))
    return tuple(found)


def _mask(said: Said, name: str) -> NDArray[np.bool_] | None:
    return None if said.labels is None or name not in said.numbers else is_any(said.labels, said.numbers[name])


def _of_values(reference: Said, other: Said) -> tuple[ValueDifference, ...]:
    return tuple(
        ValueDifference(what, reference.values.get(what), other.values.get(what))
        for what in dict.fromkeys((*reference.values, *other.values))
    )
