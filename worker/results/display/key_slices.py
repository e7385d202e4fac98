"""What to look at: for every finding the slice that shows it best, and what is said of it there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worker.domain.codes import Unit
from worker.domain.findings import (
    Classification,
    Conclusion,
    Detection,
    HeatMap,
    Measurement,
    Narrative,
    Presence,
    QualityStatement,
    Quantification,
    Region,
    Segmentation,
)
from worker.domain.profile import Profile
from worker.drawing import lettering
from worker.results.coding import is_anatomical
from worker.results.segment_masks import Structure

Colour = tuple[int, int, int]

NEUTRAL: Colour = (235, 235, 235)
"""Of what has no colour of its own."""

MOST_SLICES = 16
"""More key images than that nobody looks at; the rest is listed in words."""

_SERIOUS, _ORDINARY, _WHOLE, _ANATOMY = range(4)


@dataclass(frozen=True, slots=True)
class KeyFinding:
    """A finding, the slice ``index`` that shows it best, and in ``said`` its values as text.

    ``label`` is what the model calls it. ``rank`` orders what comes first when there is not room for everything.
    """

    index: int
    label: str
    said: str
    colour_rgb: Colour
    rank: int

    @property
    def line(self) -> str:
        """What a legend says of it."""
        return f"{self.label}: {self.said}" if self.said else self.label


@dataclass(frozen=True, slots=True)
class KeySlice:
    """A slice with all that it shows best."""

    index: int
    key_findings: tuple[KeyFinding, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The slices that are shown, in their order, and the findings that none of them was chosen for."""

    slices: tuple[KeySlice, ...]
    left_over: tuple[KeyFinding, ...]


def highlights_of(
    conclusion: Conclusion, structures: dict[int, tuple[Structure, ...]], profile: Profile
) -> tuple[KeyFinding, ...]:
    """One for every finding that a slice can show; ``structures`` are the segments by the number of their finding."""
    colours = dict(profile.colours)
    middle = conclusion.volume.geometry.shape[0] // 2
    found: list[KeyFinding] = []
    for part, finding in enumerate(conclusion.findings):
        match finding:
            case Segmentation():
                found += [_of_structure(one, colours) for one in structures.get(part, ())]
            case Detection():
                found += [_of_region(region, colours) for region in finding.regions]
            case Classification():
                found += _of_classification(finding, middle)
            case Quantification():
                slices = finding.key_slices or (middle,)
                said = values_text(finding.measurements)
                found += [KeyFinding(index, finding.label, said, NEUTRAL, _WHOLE) for index in slices]
            case HeatMap():
                found.append(_of_heat_map(finding))
            case Narrative() | QualityStatement():
                pass
    return tuple(found)


def choose(key_findings: Sequence[KeyFinding], most: int = MOST_SLICES) -> Choice:
    """Choose at most ``most`` slices, by rank and then by order; the slices come in the order of the series."""
    chosen: dict[int, None] = {}
    for key_finding in sorted(key_findings, key=lambda one: one.rank):
        if len(chosen) < most:
            chosen.setdefault(key_finding.index)
    slices = tuple(
        KeySlice(index, tuple(one for one in key_findings if one.index == index)) for index in sorted(chosen)
    )
    return Choice(slices, tuple(one for one in key_findings if one.index not in chosen))


def hottest(heat_map: HeatMap) -> tuple[int, int, int]:
    """Where a heat map is highest: (slice, row, column), the first of equals."""
    index = np.unravel_index(int(np.argmax(heat_map.values)), heat_map.values.shape)
    return int(index[0]), int(index[1]), int(index[2])


def values_text(measurements: Sequence[Measurement]) -> str:
    """Values with their units, as a reader wants them."""
    return ", ".join(_value(one) for one in measurements)


def unit_text(unit: Unit) -> str:
    """A unit as it follows a number: nothing where there is none, annotations of UCUM without their braces."""
    name = unit.ucum.replace("{", "").replace("}", "")
    return "" if name in {"", "1"} else f" {name}"


def legible(label: str, meaning: str) -> str:
    """A label as a picture can show it: its coded meaning (English) where the font lacks its letters."""
    drawn = lettering.writable(label)
    lost = drawn.count(lettering.REPLACEMENT) - label.count(lettering.REPLACEMENT)
    return label if lost <= 0 else f"{meaning} ({drawn})"


def _of_structure(structure: Structure, colours: dict[str, Colour]) -> KeyFinding:
    segment = structure.segment
    return KeyFinding(
        index=structure.outline.index,
        label=legible(segment.label, segment.type.meaning),
        said=values_text(segment.measurements),
        colour_rgb=colours.get(segment.label, segment.colour_rgb),
        rank=_ANATOMY if is_anatomical(segment.category) else _SERIOUS,
    )


def _of_region(region: Region, colours: dict[str, Colour]) -> KeyFinding:
    sure = () if region.probability is None else (f"probability {region.probability:.2f}",)
    values = () if not region.measurements else (values_text(region.measurements),)
    return KeyFinding(
        index=region.slice_index,
        label=legible(region.label, region.type.meaning),
        said=", ".join((*sure, *values)),
        colour_rgb=colours.get(region.label, region.colour_rgb),
        rank=_SERIOUS,
    )


def _of_classification(finding: Classification, middle: int) -> Iterator[KeyFinding]:
    # What is absent is said on the statement page; a slice would show nothing.
    if finding.presence is Presence.ABSENT:
        return
    label = legible(finding.label, finding.finding.meaning)
    for index in finding.key_slices or (middle,):
        yield KeyFinding(index, label, classification_text(finding), NEUTRAL, _SERIOUS if finding.urgent else _ORDINARY)


def classification_text(finding: Classification) -> str:
    """What a classification comes to, with its probability and threshold."""
    sure = "" if finding.probability is None else f", probability {finding.probability:.2f}"
    point = finding.operating_point
    threshold = "" if point is None else f" (threshold {point.threshold:.2f})"
    urgent = " - URGENT" if finding.urgent else ""
    return f"{finding.presence.value}{sure}{threshold}{urgent}"


def _of_heat_map(finding: HeatMap) -> KeyFinding:
    index, row, column = hottest(finding)
    said = f"highest {float(finding.values[index, row, column]):.4g}{unit_text(finding.unit)}"
    return KeyFinding(index, legible(finding.label, finding.quantity.meaning), said, NEUTRAL, _ORDINARY)


def _value(measurement: Measurement) -> str:
    how = "" if measurement.derivation is None else f" ({measurement.derivation.meaning})"
    return f"{measurement.name.meaning}{how} {measurement.value:.4g}{unit_text(measurement.unit)}"
