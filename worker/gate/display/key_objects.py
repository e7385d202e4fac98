"""Gate checks of the Key Object Selection that leads to images: it rejects nothing, and every key slice is in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from worker.domain.result import Check
from worker.gate.display.key_slices import key_of, slices_by_key, unshown
from worker.gate.display.slice_text import Words, joined, lines_of, made_by
from worker.gate.key_object_selection import DESCRIPTION, context_problems, form_problems
from worker.gate.reading import Inspection, checked, children

_TITLE = ("113000", "DCM")
_OTHERWISE = "others may reject what they name"
_REFERRING = frozenset({"IMAGE", "COMPOSITE", "WAVEFORM"})


def key_checks(ds: Dataset, captures: Sequence[Dataset], given: Inspection) -> Iterator[Check]:
    """Yield the checks of a selection; ``captures`` are the key images that are sent along with it."""
    yield checked(
        "key-form",
        "TID 2010, 113000: of interest",
        lambda: form_problems(ds, _TITLE, otherwise=_OTHERWISE),
    )
    yield checked("key-context", "a device selects, and says why", lambda: _context(ds, given))
    yield checked("key-evidence", "what is selected, and nothing else", lambda: _evidence(ds, captures, given))
    yield checked("key-objects", "every key slice and key image", lambda: _objects(ds, captures, given))


def _context(ds: Dataset, given: Inspection) -> Iterator[str]:
    yield from context_problems(ds, _REFERRING)
    (description,) = children(ds, DESCRIPTION)
    if description.ValueType != "TEXT" or not _reasons(ds, given).are(str(description.TextValue)):
        yield "the description does not say why each slice is selected, that it is an AI draft, and nothing more"


def _reasons(ds: Dataset, given: Inspection) -> Words:
    """Who selected, why each slice, and what was found on others."""
    slices = slices_by_key(given.conclusion)
    named = {key_of(item.ReferencedSOPSequence[0]) for item in ds.ContentSequence if _is_object(item)}
    shown = sorted(slices[key] for key in named & slices.keys())
    found = list(lines_of(given.conclusion))
    said: list[Words | str] = [f"AI DRAFT, not verified by a physician. Made by {made_by(given.conclusion.algorithm)}."]
    said += [
        joined([one.words for one in found if one.index == index], "; ", before=f"Slice {index + 1}: ")
        for index in shown
    ]
    left_over = [one.words for one in found if one.index not in shown]
    if left_over:
        said.append(joined(left_over, "; ", before="Not selected, for lack of room: "))
    return joined(said, "\r\n")


def _named(ds: Dataset) -> Iterator[tuple[str, str, str]]:
    """(series, class, instance) of everything in the evidence."""
    for study in ds.CurrentRequestedProcedureEvidenceSequence:
        for series in study.ReferencedSeriesSequence:
            for item in series.ReferencedSOPSequence:
                yield (
                    str(series.SeriesInstanceUID),
                    str(item.ReferencedSOPClassUID),
                    str(item.ReferencedSOPInstanceUID),
                )


def _known(captures: Sequence[Dataset], given: Inspection) -> set[tuple[str, str, str]]:
    analysed = {uid for uid, _ in slices_by_key(given.conclusion)}
    known = {
        (str(header.SeriesInstanceUID), str(header.SOPClassUID), uid)
        for uid, header in given.evidence.by_instance.items()
        if uid in analysed
    }
    return known | {(str(one.SeriesInstanceUID), str(one.SOPClassUID), str(one.SOPInstanceUID)) for one in captures}


def _evidence(ds: Dataset, captures: Sequence[Dataset], given: Inspection) -> Iterator[str]:
    if any(str(study.StudyInstanceUID) != str(ds.StudyInstanceUID) for study in _studies(ds)):
        yield "evidence of another study"
    named = list(_named(ds))
    for one in sorted(set(named) - _known(captures, given)):
        yield f"{one[2]} does not exist with this class in this series"
    if len(set(named)) != len(named):
        yield "an instance is named twice"
    selected = {str(i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for i in ds.ContentSequence if _is_object(i)}
    if {uid for _, _, uid in named} != selected:
        yield "the evidence is not what is selected"


def _studies(ds: Dataset) -> Sequence[Dataset]:
    studies: Sequence[Dataset] = ds.CurrentRequestedProcedureEvidenceSequence
    return studies


def _is_object(item: Dataset) -> bool:
    return item.ValueType in _REFERRING


def _objects(ds: Dataset, captures: Sequence[Dataset], given: Inspection) -> Iterator[str]:
    slices = slices_by_key(given.conclusion)
    pictures = {str(one.SOPInstanceUID): str(one.SOPClassUID) for one in captures}
    shown: list[int] = []
    for item in ds.ContentSequence:
        if not _is_object(item):
            continue
        reference = item.ReferencedSOPSequence[0]
        uid, sop_class = str(reference.ReferencedSOPInstanceUID), str(reference.ReferencedSOPClassUID)
        if (item.ValueType, item.RelationshipType) != ("IMAGE", "CONTAINS"):
            yield f"{uid} is no CONTAINED IMAGE"
        if uid in pictures:
            if pictures.pop(uid) != sop_class:
                yield f"wrong SOP class for {uid}"
        elif key_of(reference) in slices:
            shown.append(slices[key_of(reference)])
            if sop_class != str(given.evidence.by_instance[uid].SOPClassUID):
                yield f"wrong SOP class for {uid}"
        else:
            yield f"{uid} is neither an analysed slice nor a key image, or is selected twice"
    if pictures:
        yield f"{len(pictures)} key images are not selected"
    if len(set(shown)) != len(shown):
        yield "a slice is selected twice"
    yield from unshown(set(shown), given.conclusion)
