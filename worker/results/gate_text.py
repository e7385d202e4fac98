"""Gate checks of a text report: every statement is there with its values, and nothing that was not concluded."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence

from pydicom.dataset import Dataset

from worker.domain.codes import Code
from worker.domain.findings import Classification, Measurement, Presence, Quantification, Region, Segment
from worker.domain.profile import Statements
from worker.domain.result import Check
from worker.results.gate_content import nameless_or_empty, reference_check
from worker.results.gate_reading import Inspection, checked, children, code_of, content_items, only_child
from worker.results.gate_sr_groups import slice_of

_FINDING = "121071"
_WORD = {Presence.PRESENT: "PRESENT", Presence.ABSENT: "absent", Presence.INDETERMINATE: "indeterminate"}
_DRAFT = "AI DRAFT, not verified"


def text_expected(given: Inspection) -> bool:
    """Tell whether the profile gets a text report: there is what no other of its objects says."""
    conclusion, profile = given.conclusion, given.profile
    if conclusion.narratives or conclusion.quality or (conclusion.heat_maps and not profile.heat_maps):
        return True
    if not profile.report and (conclusion.segments or conclusion.regions):
        return True
    placeless = conclusion.absent or conclusion.classifications or conclusion.quantifications
    return bool(placeless) and not (profile.report and profile.statements is Statements.TEMPLATE)


def text_checks(ds: Dataset, given: Inspection) -> Iterator[Check]:
    """Yield the checks of a text report."""
    yield checked("text-form", "TID 2000, 18748-4", lambda: form_problems(ds))
    yield checked("text-content", "every content item has its name and value", lambda: nameless_or_empty(ds))
    yield reference_check("text", ds, [], given)
    yield checked("text-statements", "every statement and every absence, and no other", lambda: _statements(ds, given))
    yield checked("text-narratives", "sections as drafted, marked as a draft", lambda: _narratives(ds, given))
    yield checked("text-images", "the images that show it best", lambda: _images(ds, given))


def form_problems(ds: Dataset) -> Iterator[str]:
    """Title, template, language and observer; that it says what it is."""
    if code_of(ds) != ("18748-4", "LN"):
        yield f"title {code_of(ds)}, expected (18748-4, LN)"
    template = ds.ContentTemplateSequence[0]
    if (template.MappingResource, template.TemplateIdentifier) != ("DCMR", "2000"):
        yield "the root does not name template DCMR 2000"
    if str(only_child(ds, "121012").UID) != str(ds.DeviceUID):
        yield "the device observer UID is not the equipment's"
    if code_of(only_child(ds, "121049"), "ConceptCodeSequence") != ("en-US", "RFC5646"):
        yield "the language is not English"
    if not code_of(only_child(ds, "121058"), "ConceptCodeSequence")[0]:
        yield "no procedure reported"
    if any(item.ValueType not in {"TEXT", "CODE", "UIDREF", "IMAGE", "CONTAINER"} for item in content_items(ds)):
        yield "a value type that a Basic Text SR must not have"


def finding_items(ds: Dataset) -> list[Dataset]:
    """The statements, which are the texts of the section Findings (121070) that no narrative drafts."""
    return [
        item
        for section in children(ds, "121070")
        for item in children(section, _FINDING)
        if not str(item.TextValue).startswith(_DRAFT)
    ]


def _statements(ds: Dataset, given: Inspection) -> Iterator[str]:
    said = [str(item.TextValue) for item in finding_items(ds)]
    conclusion = given.conclusion
    expected = 0
    for one in conclusion.classifications:
        expected += 1
        yield from _one(one.label, [words for words in said if _classified(words, one)])
    for quantity in conclusion.quantifications:
        expected += 1
        yield from _one(quantity.label, [words for words in said if _quantified(words, quantity)])
    for label in conclusion.absent:
        expected += 1
        yield from _one(f"the absence of {label}", [w for w in said if w.startswith(f"Not found: {label}. ")])
    expected += yield from _located(said, given)
    for heat_map in conclusion.heat_maps:
        expected += 1
        yield from _one(heat_map.label, [w for w in said if w.startswith(f"Heat map: {heat_map.label} ")])
    for quality in conclusion.quality:
        expected += 1
        yield from _one(quality.code, [w for w in said if w == f"Limited quality: {quality.text}"])
    for note in (*conclusion.volume.notes, *conclusion.notes):
        expected += 1
        yield from _one("a note", [w for w in said if w == f"Note: {note}"])
    if len(said) != expected:
        yield f"{len(said)} statements, {expected} were concluded"
    if not any(_DRAFT in str(item.get("TextValue") or "") for item in content_items(ds)):
        yield "the text does not say that it is an AI draft"


def _located(said: Sequence[str], given: Inspection) -> Generator[str, None, int]:
    """Yield problems; return how many statements are about what has a place."""
    conclusion = given.conclusion
    if given.profile.report:
        found = [*(one.label for one in conclusion.segments), *(one.label for one in conclusion.regions)]
        lines = [words for words in said if words.startswith("Found and reported ")]
        if len(lines) != bool(found) or not all(label in "".join(lines) for label in found):
            yield "what was found and reported elsewhere is not named"
        return len(lines)
    located: list[Segment | Region] = [*conclusion.segments, *conclusion.regions]
    for one in located:
        yield from _one(one.label, [words for words in said if _found(words, one, given)])
    return len(conclusion.segments) + len(conclusion.regions)


def _one(what: str, lines: Sequence[str]) -> Iterator[str]:
    if not lines:
        yield f"{what} is not stated as it was concluded"


def _share(words: str, name: str) -> float | None:
    match = re.search(rf"\b{name} ([0-9.e+-]+) %", words)
    return None if match is None else float(match.group(1)) / 100


def _equal(found: float | None, wanted: float | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return abs(found - wanted) <= 1e-5


def _classified(words: str, one: Classification) -> bool:
    start = f"{'URGENT. ' if one.urgent else ''}{one.label}: {_WORD[one.presence]}"
    if not words.startswith(start) or words[len(start) : len(start) + 1] not in {",", "."}:
        return False
    rest, point = words[len(start) :], one.operating_point
    return (
        _equal(_share(rest, "probability"), one.probability)
        and _equal(_share(rest, "threshold"), point.threshold if point else None)
        and _equal(_share(rest, "sensitivity"), point.sensitivity if point else None)
        and _equal(_share(rest, "specificity"), point.specificity if point else None)
        and all(f"{e.name.meaning}: {e.value.meaning}." in rest for e in one.evaluations)
    )


def _quantified(words: str, one: Quantification) -> bool:
    return words.startswith(f"{one.label}{_place(one.site, one.laterality)}: ") and _says(words, one.measurements)


def _found(words: str, one: Segment | Region, given: Inspection) -> bool:
    if not words.startswith(f"Found: {one.label}") or _place(one.site, one.laterality) not in words:
        return False
    if isinstance(one, Region):
        where = f"in image {one.slice_index + 1} of {len(given.conclusion.volume.slices)}"
        named = one.label == one.tracking_identifier or f"({one.tracking_identifier})" in words
        if not named or where not in words or not _equal(_share(words, "probability"), one.probability):
            return False
    answered = all(f"{e.name.meaning}: {e.value.meaning}." in words for e in one.evaluations)
    return answered and _says(words, one.measurements)


def _place(site: Code | None, laterality: Code | None) -> str:
    named = " ".join(code.meaning.lower() for code in (laterality, site) if code is not None)
    return f" ({named})" if named else ""


def _says(words: str, measurements: Sequence[Measurement]) -> bool:
    """Tell whether all values are said, with their units, and no more of them."""
    for one in measurements:
        match = re.search(
            rf"(?<!\w){re.escape(one.name.meaning)} (-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)([^,(]*)", words
        )
        if match is None or abs(float(match.group(1)) - one.value) > 1e-5 * abs(one.value):
            return False
        unit = one.unit.meaning if one.unit.ucum.startswith("{") else one.unit.ucum
        if unit != "1" and not match.group(2).startswith(f" {unit}"):
            return False
        if one.derivation is not None and f"({one.derivation.meaning}" not in words:
            return False
    return True


def _narratives(ds: Dataset, given: Inspection) -> Iterator[str]:
    standing = {("121070", "DCM"), ("121076", "DCM")}
    sections = [item for item in ds.ContentSequence if item.ValueType == "CONTAINER"]
    drafted = [
        (code_of(section), str(item.TextValue))
        for section in sections
        for item in section.ContentSequence
        if item.ValueType == "TEXT" and (code_of(section) not in standing or str(item.TextValue).startswith(_DRAFT))
    ]
    wanted = [((one.section.value, one.section.scheme), one.text) for one in given.conclusion.narratives]
    for section, text in wanted:
        if not any(where == section and words.startswith(_DRAFT) and words.endswith(text) for where, words in drafted):
            yield f"section {section[0]} does not hold its text, marked as a draft"
    extra = [where for where, _ in drafted if where not in standing and where not in [w for w, _ in wanted]]
    if extra:
        yield "a section that was not concluded"


def _images(ds: Dataset, given: Inspection) -> Iterator[str]:
    conclusion = given.conclusion
    expected = [index for one in conclusion.classifications for index in one.key_slices]
    expected += [index for quantity in conclusion.quantifications for index in quantity.key_slices]
    if not given.profile.report:
        expected += [region.slice_index for region in conclusion.regions]
    found = []
    for item in content_items(ds):
        if item.ValueType == "IMAGE":
            if code_of(item) != ("121080", "DCM"):
                yield "an image without the name that viewers need"
            index = slice_of(item, given)
            if index is None:
                yield "an image that was not analysed"
            else:
                found.append(index)
    if sorted(found) != sorted(expected):
        yield "other images than concluded"
