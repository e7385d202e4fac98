"""What a text report must say: every sentence stated once more, from the conclusion, with nothing of the encoder.

A sentence is right when its words are these and its numbers are those concluded, rounded to six significant digits:
nothing is searched for in it, so nothing can be hidden in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.domain.codes import Code
from worker.domain.findings import (
    Classification,
    Conclusion,
    Evaluation,
    Measurement,
    OperatingPoint,
    Presence,
    Quantification,
    Region,
    Segment,
)
from worker.domain.model import Algorithm
from worker.domain.profile import Profile

DRAFT = "AI DRAFT, not verified by a physician."

_NUMBER = r"(-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)"
_WORD = {Presence.PRESENT: "PRESENT", Presence.ABSENT: "absent", Presence.INDETERMINATE: "indeterminate"}

Part = str | float


@dataclass(frozen=True, slots=True)
class Stated:
    """A sentence in parts, words and numbers, with the slices that it is shown on; ``what`` names it in problems."""

    what: str
    parts: tuple[Part, ...]
    key_slices: tuple[int, ...] = ()

    def is_said_by(self, words: str) -> bool:
        """Tell whether ``words`` are this sentence and nothing more."""
        pattern = "".join(re.escape(part) if isinstance(part, str) else _NUMBER for part in self.parts)
        match = re.fullmatch(pattern.rstrip(), words.rstrip())
        numbers = [part for part in self.parts if not isinstance(part, str)]
        return match is not None and all(
            float(found) == rounded(wanted) for found, wanted in zip(match.groups(), numbers, strict=True)
        )


def rounded(value: float) -> float:
    """A number as results write it: with six significant digits."""
    return float(f"{value:.6g}")


def stated(conclusion: Conclusion, profile: Profile) -> Iterator[Stated]:
    """Every sentence that a profile's text report has to have, as often as it has to be there."""
    images = len(conclusion.volume.slices)
    yield from (_classification(one) for one in conclusion.classifications)
    yield from (_quantification(one) for one in conclusion.quantifications)
    for label in conclusion.absent:
        plural = "" if images == 1 else "s"
        looked = f"Not found: {label}. It was looked for in {images} image{plural}."
        yield Stated(f"the absence of {label}", (looked,))
    yield from _located(conclusion, profile, images)
    for heat_map in conclusion.heat_maps:
        sent = "is in the same study" if profile.heat_maps else "was made and is not sent to this destination"
        yield Stated(heat_map.label, (f"Heat map: {heat_map.label} {sent}.",))
    for quality in conclusion.quality:
        yield Stated(quality.code, (f"Limited quality: {quality.text}",))
    for note in (*conclusion.volume.notes, *conclusion.notes):
        yield Stated("a note", (f"Note: {note}",))


def parameters_of(algorithm: Algorithm) -> list[str]:
    """What every result says of the run beside the model's name and version, in its order."""
    provider = [f"provider={algorithm.provider}"] if algorithm.provider else []
    model = algorithm.model
    return [f"model={model.name}", f"digest=sha256:{model.digest}", *provider, *algorithm.parameters]


def concluding(algorithm: Algorithm, remark: str) -> list[str]:
    """The texts of the section Conclusions: who says it, and that nobody has checked it."""
    made_by = f"{DRAFT} Made by {algorithm.title}, version {algorithm.model.version}."
    return [f"{made_by} {remark}".rstrip(), f"Algorithm: {'; '.join(parameters_of(algorithm))}"]


def _located(conclusion: Conclusion, profile: Profile, images: int) -> Iterator[Stated]:
    segments, regions = conclusion.segments, conclusion.regions
    if not profile.report:
        yield from (_segment(one) for one in segments)
        yield from (_region(one, images) for one in regions)
        return
    names = list(dict.fromkeys([*(one.label for one in segments), *(one.label for one in regions)]))
    if names:
        elsewhere = "Found and reported in the measurement report of the same study: "
        yield Stated("what was found and is reported elsewhere", (f"{elsewhere}{', '.join(names)}.",))


def _classification(one: Classification) -> Stated:
    parts: list[Part] = [f"{'URGENT. ' if one.urgent else ''}{one.label}: {_WORD[one.presence]}"]
    if one.probability is not None:
        parts += [", probability ", 100 * one.probability, " %"]
    if one.operating_point is not None:
        parts += _operating_point(one.operating_point)
    return Stated(one.label, (*parts, ".", *_answers(one.evaluations)), one.key_slices)


def _operating_point(point: OperatingPoint) -> list[Part]:
    parts: list[Part] = [", threshold ", 100 * point.threshold, " %"]
    measured = [
        (name, share)
        for name, share in (("sensitivity", point.sensitivity), ("specificity", point.specificity))
        if share is not None
    ]
    for number, (name, share) in enumerate(measured):
        parts += [f"{', ' if number else ' (there '}{name} ", 100 * share, " %"]
    return [*parts, ")"] if measured else parts


def _quantification(one: Quantification) -> Stated:
    where = _where(one.site, one.laterality)
    return Stated(one.label, (f"{one.label}{where}: ", *_numbers(one.measurements), "."), one.key_slices)


def _segment(one: Segment) -> Stated:
    numbers = _numbers(one.measurements)
    named = f"Found: {one.label}{_where(one.site, one.laterality)}{': ' if numbers else ''}"
    return Stated(one.label, (named, *numbers, ".", *_answers(one.evaluations)))


def _region(one: Region, images: int) -> Stated:
    numbers = _numbers(one.measurements)
    if one.probability is not None:
        numbers = ["probability ", 100 * one.probability, f" %{', ' if numbers else ''}", *numbers]
    tracked = "" if one.label == one.tracking_identifier else f" ({one.tracking_identifier})"
    place = f"{_where(one.site, one.laterality)} in image {one.slice_index + 1} of {images}"
    named = f"Found: {one.label}{tracked}{place}{': ' if numbers else ''}"
    return Stated(one.label, (named, *numbers, ".", *_answers(one.evaluations)), (one.slice_index,))


def _where(site: Code | None, laterality: Code | None) -> str:
    named = " ".join(code.meaning.lower() for code in (laterality, site) if code is not None)
    return f" ({named})" if named else ""


def _numbers(measurements: Sequence[Measurement]) -> list[Part]:
    parts: list[Part] = []
    for one in measurements:
        unit = one.unit.meaning if one.unit.ucum.startswith("{") else one.unit.ucum
        how = ", ".join(code.meaning for code in (one.derivation, one.method) if code is not None)
        behind = f"{'' if unit == '1' else f' {unit}'}{f' ({how})' if how else ''}"
        parts += [f"{', ' if parts else ''}{one.name.meaning} ", one.value, behind]
    return parts


def _answers(evaluations: Sequence[Evaluation]) -> list[Part]:
    return [f" {one.name.meaning}: {one.value.meaning}." for one in evaluations]
