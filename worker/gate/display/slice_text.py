"""What key images, key objects and presentation states must say of a slice: every line stated once more, by the gate.

Pictures name a finding by its coded meaning where their font lacks letters of its label: then the meaning has to be
there, and of the label everything that is ASCII.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worker.domain.codes import Unit
from worker.domain.findings import (
    Classification,
    Conclusion,
    HeatMap,
    Measurement,
    Narrative,
    Presence,
    QualityStatement,
    Quantification,
    Region,
    Segmentation,
)
from worker.domain.model import Algorithm
from worker.gate.display.key_slices import largest_slice

DRAFT = "AI DRAFT - not verified by a physician"


@dataclass(frozen=True, slots=True)
class Words:
    """A text that is expected: as it stands, or in the other form of a label; ``other`` is a regular expression."""

    plain: str
    other: str = ""

    @property
    def pattern(self) -> str:
        """A regular expression for either form."""
        return f"(?:{re.escape(self.plain)}|{self.other})" if self.other else re.escape(self.plain)

    def are(self, found: str, limit: int | None = None) -> bool:
        """Tell whether ``found`` is this text and nothing more; ``limit`` is where a longer one was cut off."""
        found = found.rstrip()
        # A text loses the spaces at its end; a label may have some.
        if found == self.plain[:limit].rstrip() or any(re.fullmatch(self.pattern, found + " " * n) for n in range(3)):
            return True
        return bool(self.other) and limit is not None and len(found) >= limit - 1


@dataclass(frozen=True, slots=True)
class Line:
    """What is said of a finding, with the slice that shows it best."""

    index: int
    words: Words
    name: Words


def joined(parts: Sequence[Words | str], between: str, *, before: str = "") -> Words:
    """Texts joined by ``between``; where one of them has another wording, so has the whole."""
    words = [part if isinstance(part, Words) else Words(part) for part in parts]
    other = re.escape(before) + re.escape(between).join(one.pattern for one in words)
    return Words(before + between.join(one.plain for one in words), other if any(one.other for one in words) else "")


def named(label: str, meaning: str) -> Words:
    """A label, or its coded meaning with what a font can write of the label."""
    if label.isascii():
        return Words(label)
    # A letter that is not ASCII may be spelled in two, left out, or stand as another one.
    drawn = "".join(re.escape(c) if c.isascii() else ".{0,2}" for c in unicodedata.normalize("NFC", label))
    return Words(label, rf"{re.escape(meaning)} \({drawn}\)")


def made_by(algorithm: Algorithm) -> str:
    """Which model a picture is by."""
    return f"{algorithm.title}, version {algorithm.model.version}"


def unit_of(unit: Unit) -> str:
    """A unit behind a number, as pictures write it."""
    name = unit.ucum.replace("{", "").replace("}", "")
    return "" if name in {"", "1"} else f" {name}"


def lines_of(conclusion: Conclusion) -> Iterator[Line]:
    """What is said of every finding that a slice can show, in the order of the findings."""
    middle = conclusion.volume.geometry.shape[0] // 2
    for finding in conclusion.findings:
        match finding:
            case Segmentation():
                for segment in finding.segments:
                    yield _line(
                        largest_slice(finding, segment),
                        named(segment.label, segment.type.meaning),
                        _values(segment.measurements),
                    )
            case Classification():
                if finding.presence is not Presence.ABSENT:
                    name = named(finding.label, finding.finding.meaning)
                    for index in finding.key_slices or (middle,):
                        yield _line(index, name, classified(finding))
            case Quantification():
                for index in finding.key_slices or (middle,):
                    yield _line(index, Words(finding.label), _values(finding.measurements))
            case HeatMap():
                highest = [float(plane.max()) for plane in finding.values]
                said = f"highest {max(highest):.4g}{unit_of(finding.unit)}"
                yield _line(int(np.argmax(highest)), named(finding.label, finding.quantity.meaning), said)
            case Narrative() | QualityStatement():
                pass
            case _:
                for region in finding.regions:
                    yield _line(region.slice_index, named(region.label, region.type.meaning), _region(region))


def _line(index: int, name: Words, said: str) -> Line:
    return Line(index, joined([name, said], ": ") if said else name, name)


def _region(region: Region) -> str:
    sure = [] if region.probability is None else [f"probability {region.probability:.2f}"]
    values = [_values(region.measurements)] if region.measurements else []
    return ", ".join((*sure, *values))


def classified(one: Classification) -> str:
    """What a classification comes to, as pictures write it."""
    sure = "" if one.probability is None else f", probability {one.probability:.2f}"
    point = "" if one.operating_point is None else f" (threshold {one.operating_point.threshold:.2f})"
    return f"{one.presence.value}{sure}{point}{' - URGENT' if one.urgent else ''}"


def _values(measurements: Sequence[Measurement]) -> str:
    return ", ".join(
        f"{one.name.meaning}{'' if one.derivation is None else f' ({one.derivation.meaning})'} "
        f"{one.value:.4g}{unit_of(one.unit)}"
        for one in measurements
    )
