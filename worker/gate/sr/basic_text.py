"""Gate checks of a text report: every statement is there with its values, and nothing that was not concluded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from worker.domain.profile import Statements
from worker.domain.result import Check
from worker.gate.content_tree import meaning_problems, nameless_or_empty, reference_check
from worker.gate.observation_context import OBSERVER, PROCEDURE, observer_problems, procedure_problems
from worker.gate.reading import Inspection, checked, code_of, content_items
from worker.gate.sentences import DRAFT, Stated, concluding, stated
from worker.gate.sr.groups import slice_of

FINDINGS, CONCLUSIONS = ("121070", "DCM"), ("121076", "DCM")
"""Sections that are not a narrative's own."""

_FINDING, _CONCLUSION, _ILLUSTRATION = ("121071", "DCM"), ("121077", "DCM"), ("121080", "DCM")
_IMPRESSION, _RECOMMENDATION = "121073", "121075"
_ELEMENTS = {
    ("19005-8", "LN"): _IMPRESSION, ("121072", "DCM"): _IMPRESSION, ("55110-1", "LN"): "121077",
    ("121076", "DCM"): "121077", ("18783-1", "LN"): _RECOMMENDATION, ("121074", "DCM"): _RECOMMENDATION,
}  # fmt: skip
"""What the text of a section is called (CID 7002); of any other it is a finding."""

_CAUTION = "Not found by the algorithm does not mean that nothing is there."
_CONTEXT = OBSERVER + Counter((PROCEDURE,))
"""Language, observer and procedure: what a document has beside its sections, each once."""


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
    yield checked("text-form", "TID 2000, 18748-4", lambda: form_problems(ds, given.conclusion.volume.modality))
    yield checked("text-content", "every content item has its name and value", lambda: nameless_or_empty(ds))
    yield checked("text-meanings", "codes mean what they say", lambda: meaning_problems(ds, given.conclusion))
    yield reference_check("text", ds, [], given)
    yield checked("text-statements", "every statement and every absence, and no other", lambda: _statements(ds, given))
    yield checked("text-narratives", "sections as drafted, marked as a draft", lambda: _narratives(ds, given))
    yield checked("text-images", "the images that show it best", lambda: _images(ds, given))


def form_problems(ds: Dataset, modality: str) -> Iterator[str]:
    """Title, template, language and observer; that it says what it is."""
    if code_of(ds) != ("18748-4", "LN"):
        yield f"title {code_of(ds)}, expected (18748-4, LN)"
    template = ds.ContentTemplateSequence[0]
    if (template.MappingResource, template.TemplateIdentifier) != ("DCMR", "2000"):
        yield "the root does not name template DCMR 2000"
    yield from observer_problems(ds)
    yield from procedure_problems(ds, modality)
    if Counter(code_of(item)[0] for item in ds.ContentSequence if item.ValueType != "CONTAINER") != _CONTEXT:
        yield "beside its sections there is more or less than language, observer and procedure"
    if any(item.ValueType not in {"TEXT", "CODE", "UIDREF", "IMAGE", "CONTAINER"} for item in content_items(ds)):
        yield "a value type that a Basic Text SR must not have"


def sections_of(ds: Dataset) -> list[Dataset]:
    """The sections, in their order."""
    return [item for item in ds.ContentSequence if item.ValueType == "CONTAINER"]


def finding_items(ds: Dataset) -> list[Dataset]:
    """The statements, which are all that the first section holds; [] where that is another one."""
    first = sections_of(ds)[:1]
    return list(first[0].ContentSequence) if first and code_of(first[0]) == FINDINGS else []


def concluding_problems(ds: Dataset, expected: Sequence[str]) -> Iterator[str]:
    """The last section says who says it, that it is a draft, and nothing more."""
    last = sections_of(ds)[-1:]
    items = [item for section in last if code_of(section) == CONCLUSIONS for item in section.ContentSequence]
    if [(item.ValueType, code_of(item), str(item.get("TextValue"))) for item in items] != [
        ("TEXT", _CONCLUSION, words) for words in expected
    ]:
        yield "the conclusions do not say that it is an AI draft, of which model, and nothing more"


def _statements(ds: Dataset, given: Inspection) -> Iterator[str]:
    items = finding_items(ds) if next(stated(given.conclusion, given.profile), None) else []
    pairs, left_over = _paired(items, given)
    yield from (f"{one.what} is not stated as it was concluded" for one, item in pairs if item is None)
    if left_over:
        yield f"{len(left_over)} statements that were not concluded, or are said twice"
    if any(item.ValueType != "TEXT" or code_of(item) != _FINDING for item in items):
        yield "a statement that is not called a finding"
    urgent = [str(item.get("TextValue")).startswith("URGENT. ") for item in items]
    if urgent != sorted(urgent, reverse=True):
        yield "the urgent does not come first"
    yield from concluding_problems(
        ds, concluding(given.conclusion.algorithm, _CAUTION if given.conclusion.absent else "")
    )


def _paired(items: Sequence[Dataset], given: Inspection) -> tuple[list[tuple[Stated, Dataset | None]], list[Dataset]]:
    """Each expected statement with the item that says it, each item used once; and the items that are nobody's."""
    left = list(items)
    pairs: list[tuple[Stated, Dataset | None]] = []
    for one in stated(given.conclusion, given.profile):
        saying = [item for item in left if one.is_said_by(str(item.get("TextValue") or ""))]
        # Of look-alikes, the one that is shown on the images of this statement.
        saying.sort(key=lambda item, one=one: _shown_by(item, given) != list(one.key_slices))  # type: ignore[misc]
        if saying:
            left = [item for item in left if item is not saying[0]]
        pairs.append((one, saying[0] if saying else None))
    return pairs, left


def _narratives(ds: Dataset, given: Inspection) -> Iterator[str]:
    wanted = given.conclusion.narratives
    codes = [(one.section.value, one.section.scheme) for one in wanted]
    standing = [FINDINGS] if next(stated(given.conclusion, given.profile), None) else []
    sections = sections_of(ds)
    if [code_of(section) for section in sections] != [*standing, *codes, CONCLUSIONS]:
        yield "there are other sections than were concluded, or in another order"
    for section, one in zip(sections[len(standing) :], wanted, strict=False):
        said = [
            (item.ValueType, code_of(item)[0], str(item.get("TextValue") or "").rstrip())
            for item in section.ContentSequence
        ]
        element = _ELEMENTS.get((one.section.value, one.section.scheme), _FINDING[0])
        if said != [("TEXT", element, f"{DRAFT} {one.text}".rstrip())]:
            yield f"section {code_of(section)[0]} does not hold its text alone, marked as a draft"


def _shown_by(item: Dataset, given: Inspection) -> list[int | None]:
    return [slice_of(child, given) for child in item.get("ContentSequence") or [] if child.ValueType == "IMAGE"]


def _images(ds: Dataset, given: Inspection) -> Iterator[str]:
    pairs, _ = _paired(finding_items(ds), given)
    for one, item in pairs:
        below = [] if item is None else item.get("ContentSequence") or []
        if item is not None and _shown_by(item, given) != list(one.key_slices):
            yield f"{one.what} is shown on other images than concluded"
        if any((child.ValueType, child.RelationshipType) != ("IMAGE", "INFERRED FROM") for child in below):
            yield f"below {one.what} is something else than the images that it was inferred from"
    holders = {id(child) for _, item in pairs if item is not None for child in item.get("ContentSequence") or []}
    for item in content_items(ds):
        if item.ValueType != "IMAGE":
            continue
        if code_of(item) != _ILLUSTRATION:
            yield "an image without the name that viewers need"
        if slice_of(item, given) is None:
            yield "an image that was not analysed"
        if id(item) not in holders:
            yield "an image that belongs to no statement"
