"""What the pages of statements must say: every line stated once more, taken out of what is written, and nothing left.

Lines are broken between words to fit a page, so the pages are one text here. The longest line is taken out first:
what a longer one holds is then not there for a shorter one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

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
from worker.results.gate_key_slices import largest_slice

_DRAFT = "AI DRAFT - not verified by a physician"
_CAUTION = "Not found by the algorithm does not mean that nothing is there."
_NEXT_PAGE = re.escape(_DRAFT) + r" - page (\d+) of \d+"
_TAKEN = " \0 "


def page_problems(pages: Sequence[str], conclusion: Conclusion) -> Iterator[str]:
    """Compare the texts of all pages with what was concluded; only of what the font of pictures can write."""
    lines = list(_lines(conclusion))
    said = _plain(" ".join(pages))
    if not all(line.isascii() and _plain(line).isprintable() for line, _ in lines) or re.search(
        r"and \d+ more lines, which are not shown", said
    ):
        return
    rest = f" {re.sub(_NEXT_PAGE, _TAKEN, said)} "
    missing = 0
    for line, behind in sorted(lines, key=lambda one: len(one[0]), reverse=True):
        found = re.search(rf"(?<= ){re.escape(_plain(line))}{behind}(?= )", rest)
        missing += found is None
        if found is not None:
            rest = f"{rest[: found.start()]}{_TAKEN}{rest[found.end() :]}"
    numbers = [int(number) for number in re.findall(_NEXT_PAGE, said)]
    if numbers != list(range(2, 2 + len(numbers))):
        yield f"the pages are numbered {numbers}"
    if missing:
        yield f"{missing} of {len(lines)} lines are not written on the pages as they were concluded"
    if rest.replace("\0", "").strip():
        yield "something on the pages was not concluded, or is written twice"


def _plain(text: str) -> str:
    return " ".join(text.split())


def _lines(conclusion: Conclusion) -> Iterator[tuple[str, str]]:
    """Each line, and a pattern of what may stand behind it."""
    algorithm, volume = conclusion.algorithm, conclusion.volume
    count = volume.geometry.shape[0]
    yield _DRAFT, ""
    dated = r"(?:, images of \d{4}-\d\d-\d\d \d\d:\d\d)?"
    yield f"{algorithm.title}, version {algorithm.model.version}", dated
    yield f"{volume.modality}, {count} image{'' if count == 1 else 's'} analysed", ""
    yield _CAUTION, ""
    found = [*_found(conclusion), *_answers(conclusion)]
    absent = [f"{label}: not found" for label in conclusion.absent]
    absent += [_classified(one) for one in conclusion.classifications if one.presence is Presence.ABSENT]
    drafts = [f"{one.section.meaning}: {one.text}" for one in conclusion.narratives]
    limits = [*(one.text for one in conclusion.quality), *volume.notes, *conclusion.notes]
    plain = (("NOT FOUND", absent), ("DRAFT OF THE REPORT", drafts), ("LIMITS", limits))
    for heading, lines in (("FOUND", found), *((name, [(one, "") for one in part]) for name, part in plain)):
        if lines:
            yield heading, ""
            yield from lines


def _found(conclusion: Conclusion) -> Iterator[tuple[str, str]]:
    middle = conclusion.volume.geometry.shape[0] // 2
    for finding in conclusion.findings:
        match finding:
            case Segmentation():
                for segment in finding.segments:
                    said = _told(segment.label, _values(segment.measurements))
                    yield _on(said, largest_slice(finding, segment))
            case Classification():
                if finding.presence is not Presence.ABSENT:
                    for index in finding.key_slices or (middle,):
                        yield _on(_classified(finding), index)
            case Quantification():
                for index in finding.key_slices or (middle,):
                    yield _on(_told(finding.label, _values(finding.measurements)), index)
            case HeatMap():
                highest = [float(plane.max()) for plane in finding.values]
                value = f"highest {max(highest):.4g}{_unit(finding.unit)}"
                yield _on(_told(finding.label, value), int(np.argmax(highest)))
            case Narrative() | QualityStatement():
                pass
            case _:
                yield from (_region(region) for region in finding.regions)


def _region(region: Region) -> tuple[str, str]:
    sure = [] if region.probability is None else [f"probability {region.probability:.2f}"]
    values = [_values(region.measurements)] if region.measurements else []
    return _on(_told(region.label, ", ".join((*sure, *values))), region.slice_index)


def _on(line: str, index: int) -> tuple[str, str]:
    return f"{line} (slice {index + 1}", r"(?:, no key image)?\)"


def _answers(conclusion: Conclusion) -> Iterator[tuple[str, str]]:
    for one in conclusion.classifications:
        for answer in one.evaluations:
            yield f"{one.label}: {answer.name.meaning}: {answer.value.meaning}", ""


def _classified(one: Classification) -> str:
    sure = "" if one.probability is None else f", probability {one.probability:.2f}"
    point = "" if one.operating_point is None else f" (threshold {one.operating_point.threshold:.2f})"
    return f"{one.label}: {one.presence.value}{sure}{point}{' - URGENT' if one.urgent else ''}"


def _told(label: str, said: str) -> str:
    return f"{label}: {said}" if said else label


def _values(measurements: Sequence[Measurement]) -> str:
    return ", ".join(
        f"{one.name.meaning}{'' if one.derivation is None else f' ({one.derivation.meaning})'} "
        f"{one.value:.4g}{_unit(one.unit)}"
        for one in measurements
    )


def _unit(unit: Unit) -> str:
    name = unit.ucum.replace("{", "").replace("}", "")
    return "" if name in {"", "1"} else f" {name}"
