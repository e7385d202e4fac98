"""Gate checks of what key images say in words: the pages of statements, and the legend of every slice.

The comments of a key image repeat what is written on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from worker.domain.findings import Conclusion, HeatMap
from worker.gate.copied_attributes import is_valid
from worker.gate.display.key_slices import edges_on
from worker.gate.display.slice_text import DRAFT, Words, joined, lines_of, made_by, named, unit_of
from worker.gate.display.statement_pages import page_problems
from worker.gate.header_text import text_of
from worker.gate.reading import Inspection

_FULL = 10_240
"""Characters of Image Comments (LT), behind which nothing more is written."""

_UNKNOWN = "19000101"


@dataclass(frozen=True, slots=True)
class Shown:
    """A key image that shows slices, one in each frame; none of a page of statements."""

    dataset: Dataset
    slices: tuple[int, ...]


def word_problems(captures: Sequence[Shown], given: Inspection) -> Iterator[str]:
    """Compare all that is written with what was concluded, and each key image with what it shows."""
    pages = [one.dataset for one in captures if not one.slices]
    if all(len(text_of(ds, "ImageComments")) < _FULL - 1 for ds in pages):
        dated = _dated(pages[0]) if pages else ""
        yield from page_problems([text_of(ds, "ImageComments") for ds in pages], given.conclusion, dated)
    title = given.conclusion.algorithm.title
    seen: dict[int, int] = {}
    for number, one in enumerate(captures):
        what = "drawn into an image" if one.slices else "a page of text"
        derivation = f"AI DRAFT, not verified: {what}, conclusions of {title}"
        if text_of(one.dataset, "DerivationDescription") != derivation[:1024].rstrip():
            yield f"key image {number + 1}: DerivationDescription does not say what it is"
        if one.slices and not _legends(one, seen, given).are(text_of(one.dataset, "ImageComments"), _FULL):
            yield f"key image {number + 1}: its legend does not say what was found there, or more"


def _legends(one: Shown, seen: dict[int, int], given: Inspection) -> Words:
    """What is written below the frames of a key image; ``seen`` counts the pictures that a slice has had."""
    legends = []
    for index in one.slices:
        hot = _hot(index, given.conclusion)
        nth = seen.get(index, 0)
        seen[index] = nth + 1
        if hot and nth >= len(hot):
            raise ValueError(f"slice {index + 1} is shown too often")
        legends.append(_legend(one.dataset, index, hot[nth] if hot else None, given))
    return joined(legends, "\r\n")


def _legend(ds: Dataset, index: int, heat_map: HeatMap | None, given: Inspection) -> Words:
    conclusion = given.conclusion
    found = [one for one in lines_of(conclusion) if one.index == index]
    lines: list[Words | str] = [DRAFT, f"{made_by(conclusion.algorithm)}{_dated(ds)}"]
    lines.append(f"Slice {index + 1} of {conclusion.volume.geometry.shape[0]}{_numbered(index, given)}")
    lines += [one.words for one in found]
    if heat_map is not None:
        low, high = heat_map.value_range
        what = f", {heat_map.quantity.meaning}, {low:.4g} to {high:.4g}{unit_of(heat_map.unit)}"
        name = named(heat_map.label, heat_map.quantity.meaning)
        lines.append(joined([joined([name], "", before="Coloured: "), what], ""))
    words, names, before = joined(lines, "\r\n"), _names_on(index, given), "\r\nAlso on this image: "
    if len({name.plain for name in names}) < len(names):
        # A label that the font may lack letters of names things of several meanings: which ones, only the font knows.
        any_of = "|".join(joined([name], "", before=before).pattern for name in names)
        return Words(words.plain, f"{words.pattern}(?:{any_of})*")
    told = {one.name.plain for one in found}
    return joined([words, *(joined([one], "", before=before) for one in names if one.plain not in told)], "")


def _names_on(index: int, given: Inspection) -> list[Words]:
    """The names of what can be seen on a slice, each once, in the order in which it is drawn."""
    conclusion = given.conclusion
    meanings: dict[str, dict[str, None]] = {}
    for label, kind in (
        *((one.label, one.type) for one in conclusion.segments),
        *((one.label, one.type) for one in conclusion.regions),
        *((one.label, one.finding) for one in conclusion.classifications),
        *((one.label, one.quantity) for one in conclusion.heat_maps),
    ):
        meanings.setdefault(label, {})[kind.meaning] = None
    labels = [edge.label for edge in edges_on(index, conclusion, given.profile)]
    labels += [one.label for one in _hot(index, conclusion)]
    return list(dict.fromkeys(named(label, meaning) for label in labels for meaning in meanings[label]))


def _hot(index: int, conclusion: Conclusion) -> list[HeatMap]:
    """The heat maps that are highest on a slice: it is drawn once for each."""
    return [
        one for one in conclusion.heat_maps if int(np.argmax([float(plane.max()) for plane in one.values])) == index
    ]


def _dated(ds: Dataset) -> str:
    """The date of the images, as the object has it."""
    date, time = text_of(ds, "ContentDate"), text_of(ds, "ContentTime")
    if date == _UNKNOWN:
        return ""
    return f", images of {date[:4]}-{date[4:6]}-{date[6:]} {time[:2]}:{time[2:4]}"


def _numbered(index: int, given: Inspection) -> str:
    """By which number a viewer calls the image of a slice."""
    ref = given.conclusion.volume.slices[index]
    number = given.evidence.texts[ref.sop_instance_uid].plain("InstanceNumber")
    names = [f"instance number {number}"] if number and is_valid("InstanceNumber", [number]) else []
    names += [] if ref.frame_number is None else [f"frame {ref.frame_number}"]
    return "".join(f", {name}" for name in names)
