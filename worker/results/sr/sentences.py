"""A conclusion in words: whole sentences in English, one for each statement."""

from __future__ import annotations

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
from worker.domain.profile import Profile, Statements


@dataclass(frozen=True, slots=True)
class Sentence:
    """A statement with the slices that show it best."""

    words: str
    key_slices: tuple[int, ...] = ()


def has_words(conclusion: Conclusion, profile: Profile) -> bool:
    """Tell whether a text report is due: there is something that no other object of the profile says."""
    placeless = bool(conclusion.absent or conclusion.classifications or conclusion.quantifications)
    located = bool(conclusion.segments or conclusion.regions)
    return (
        bool(conclusion.narratives or conclusion.quality)
        or (placeless and (profile.statements is not Statements.TEMPLATE or not profile.report))
        or (located and not profile.report)
        or (bool(conclusion.heat_maps) and not profile.heat_maps)
    )


def sentences(conclusion: Conclusion, profile: Profile) -> Iterator[Sentence]:
    """Everything that is stated, the urgent first."""
    ordered = sorted(conclusion.classifications, key=lambda one: not one.urgent)
    yield from (_classification(one) for one in ordered)
    yield from (_quantification(one) for one in conclusion.quantifications)
    images = len(conclusion.volume.slices)
    for label in conclusion.absent:
        yield Sentence(f"Not found: {label}. It was looked for in {images} image{'s' if images > 1 else ''}.")
    segments, regions = conclusion.segments, conclusion.regions
    found = list(dict.fromkeys([*(one.label for one in segments), *(one.label for one in regions)]))
    if found and profile.report:
        yield Sentence(f"Found and reported in the measurement report of the same study: {', '.join(found)}.")
    else:
        yield from (_segment(one) for one in segments)
        yield from (_region(one, images) for one in regions)
    for heat_map in conclusion.heat_maps:
        where = "is in the same study" if profile.heat_maps else "was made and is not sent to this destination"
        yield Sentence(f"Heat map: {heat_map.label} {where}.")
    yield from (Sentence(f"Limited quality: {one.text}") for one in conclusion.quality)
    yield from (Sentence(f"Note: {note}") for note in (*conclusion.volume.notes, *conclusion.notes))


def percent(share: float) -> str:
    """A share of one in percent, with up to six significant digits."""
    return f"{100 * share:.6g} %"


def _classification(one: Classification) -> Sentence:
    decision = {
        Presence.PRESENT: "PRESENT",
        Presence.ABSENT: "absent",
        Presence.INDETERMINATE: "indeterminate",
    }[one.presence]
    parts = [f"{one.label}: {decision}"]
    if one.probability is not None:
        parts.append(f"probability {percent(one.probability)}")
    if one.operating_point is not None:
        parts.append(_operating_point(one.operating_point))
    words = f"{'URGENT. ' if one.urgent else ''}{', '.join(parts)}."
    return Sentence(words + _evaluations(one.evaluations), one.key_slices)


def _operating_point(point: OperatingPoint) -> str:
    words = f"threshold {percent(point.threshold)}"
    measured = [
        f"{name} {percent(value)}"
        for name, value in (("sensitivity", point.sensitivity), ("specificity", point.specificity))
        if value is not None
    ]
    return f"{words} (there {', '.join(measured)})" if measured else words


def _quantification(one: Quantification) -> Sentence:
    where = _where(one.site, one.laterality)
    return Sentence(f"{one.label}{where}: {_numbers(one.measurements)}.", one.key_slices)


def _segment(one: Segment) -> Sentence:
    numbers = _numbers(one.measurements)
    where = _where(one.site, one.laterality)
    return Sentence(f"Found: {one.label}{where}{': ' if numbers else ''}{numbers}." + _evaluations(one.evaluations))


def _region(one: Region, images: int) -> Sentence:
    chance = "" if one.probability is None else f"probability {percent(one.probability)}"
    numbers = ", ".join(part for part in (chance, _numbers(one.measurements)) if part)
    where = f"{_where(one.site, one.laterality)} in image {one.slice_index + 1} of {images}"
    name = one.label if one.label == one.tracking_identifier else f"{one.label} ({one.tracking_identifier})"
    words = f"Found: {name}{where}{': ' if numbers else ''}{numbers}."
    return Sentence(words + _evaluations(one.evaluations), (one.slice_index,))


def _where(site: Code | None, laterality: Code | None) -> str:
    words = " ".join(code.meaning.lower() for code in (laterality, site) if code is not None)
    return f" ({words})" if words else ""


def _numbers(measurements: Sequence[Measurement]) -> str:
    return ", ".join(_number(one) for one in measurements)


def _number(one: Measurement) -> str:
    unit = one.unit.meaning if one.unit.ucum.startswith("{") else one.unit.ucum
    words = f"{one.name.meaning} {one.value:.6g}{'' if unit == '1' else f' {unit}'}"
    how = ", ".join(code.meaning for code in (one.derivation, one.method) if code is not None)
    return f"{words} ({how})" if how else words


def _evaluations(evaluations: Sequence[Evaluation]) -> str:
    return "".join(f" {one.name.meaning}: {one.value.meaning}." for one in evaluations)
