"""Gate checks of the objects that show rather than tell: heat maps, key images, key objects, presentation states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from worker.domain.result import Check, ResultKind
from worker.gate.display.key_objects import key_checks
from worker.gate.display.key_slices import best_slices
from worker.gate.display.parametric_map import expected_maps, map_checks
from worker.gate.display.presentation_state import is_grey, presentation_checks
from worker.gate.display.secondary_capture import capture_checks, wants_key_images
from worker.gate.header import CAPTURE_CLASS, FRAMES_CLASS, MAP_CLASS, PRESENTATION_CLASS
from worker.gate.reading import Inspection, Parsed, checked

_ORDER = (
    ResultKind.SEG,
    ResultKind.PM,
    ResultKind.SR,
    ResultKind.SC,
    ResultKind.KEY,
    ResultKind.PR,
)
"""What is referred to goes before what refers to it."""

_CLASSES = {
    ResultKind.PM: frozenset({MAP_CLASS}),
    ResultKind.SC: frozenset({CAPTURE_CLASS, FRAMES_CLASS}),
    ResultKind.PR: frozenset({PRESENTATION_CLASS}),
}


def is_picture(one: Parsed) -> bool:
    """Tell whether an object is one of those that are checked here."""
    return one.item.kind in {*_CLASSES, ResultKind.KEY}


def picture_checks(objects: Sequence[Parsed], given: Inspection) -> Iterator[Check]:
    """Yield the checks of all such objects of one profile's set; ``objects`` are the whole set, in its order."""
    of_kind = {
        kind: [one.dataset for one in objects if one.item.kind is kind]
        for kind in (ResultKind.PM, ResultKind.SC, ResultKind.KEY, ResultKind.PR)
    }
    maps, captures = of_kind[ResultKind.PM], of_kind[ResultKind.SC]
    yield checked("pictures", "as many and in the order as the profile wants", lambda: _composition(objects, given))
    for ds, heat_map in zip(maps, expected_maps(given), strict=False):
        yield from map_checks(ds, heat_map, given)
    if captures:
        yield from capture_checks(captures, given)
    for ds in of_kind[ResultKind.KEY]:
        yield from key_checks(ds, captures, given)
    if of_kind[ResultKind.PR]:
        yield from presentation_checks(of_kind[ResultKind.PR], given)


def _composition(objects: Sequence[Parsed], given: Inspection) -> Iterator[str]:
    kinds = [one.item.kind for one in objects]
    places = [_ORDER.index(kind) if kind in _ORDER else len(_ORDER) for kind in kinds]
    if places != sorted(places):
        yield f"the order is {', '.join(kinds)}"
    for one in objects:
        if one.item.kind in _CLASSES and one.sop_class not in _CLASSES[one.item.kind]:
            yield f"an object called {one.item.kind} is of class {one.sop_class}"
    maps, profile = len(expected_maps(given)), given.profile
    shown = bool(best_slices(given.conclusion))
    if kinds.count(ResultKind.PM) != maps:
        yield f"{kinds.count(ResultKind.PM)} parametric maps, expected {maps}"
    for kind, wanted in (
        (ResultKind.SC, wants_key_images(given)),
        (ResultKind.KEY, profile.key_object_selection and shown),
        (ResultKind.PR, profile.presentation_state and shown and is_grey(given)),
    ):
        if (kind in kinds) != wanted:
            yield f"{kind} is {'missing' if wanted else 'sent, and the profile does not want it'}"
    if kinds.count(ResultKind.KEY) > 1:
        yield "more than one key object selection"
