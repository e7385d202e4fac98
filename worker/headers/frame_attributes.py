"""What a header says of an instance and of each of its frames: the one reading, for rules and for volumes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from worker.functional_groups.groups import FunctionalGroups, Unparsed, as_it_stands, items_of, macros_in, said
from worker.functional_groups.macros import MACROS, OWNERS, PLANE, PLANE_ATTRIBUTES, UNASSIGNED
from worker.headers.attributes import Attributes, coded_attributes, encodings_of, plain_attributes

_EVERY_FRAME = frozenset({"ImagePositionPatient"})
_NESTED = {"MRDiffusionSequence": "DiffusionGradientDirectionSequence"}
"""A sequence in a macro whose attributes count as the macro's own (PS3.3 C.8.13.5.9)."""

_ORDER = {macro: number for number, macro in enumerate(MACROS)}


@dataclass(slots=True)
class _Said:
    """What macros say: of attributes that are theirs, and beside them."""

    macros: set[str] = field(default_factory=set)
    own: Attributes = field(default_factory=dict)
    beside: Attributes = field(default_factory=dict)


def attributes_of(dataset: Dataset) -> Attributes:
    """All top-level attributes with a keyword that are text or numbers, and those promoted from sequences.

    Promoted are the code sequences of ``attributes.CODED``, and what the functional groups of a multi-frame object say
    of its frames (``attributes_of_frames``): the distinct values in frame order, and for Image Position (Patient)
    those of every frame. FrameType also becomes ImageType where that is missing.
    """
    groups = FunctionalGroups(dataset)
    found = _top(dataset)
    if groups:
        frames = _macros_of_frames(dataset, groups, max(groups.described, 1))
        together = _Said(
            macros=set().union(*(one.macros for one in frames)),
            own=_distinct(one.own for one in frames),
            beside=_distinct(one.beside for one in frames),
        )
        found = {**together.beside, **_not_silenced(found, together.macros), **together.own}
    if "ImageType" not in found and "FrameType" in found:
        found["ImageType"] = found["FrameType"]
    return found


def attributes_of_frames(dataset: Dataset, frames: int) -> Iterator[Attributes]:
    """Attributes of each frame in turn: those of the object, overlaid by its functional groups (PS3.3 C.7.6.16).

    An attribute counts only in a macro of the standard that it belongs to: the frame's own, else the shared. What
    stands at the top level about position, orientation, spacing or rescale holds only where no frame has the macro.
    """
    top = _top(dataset)
    groups = FunctionalGroups(dataset)
    if not groups:
        yield from [top] * frames
        return
    found = _macros_of_frames(dataset, groups, frames)
    kept = _not_silenced(top, set().union(*(one.macros for one in found)))
    for one in found:
        yield {**one.beside, **kept, **one.own}


def _top(dataset: Dataset) -> Attributes:
    return {**coded_attributes(dataset), **plain_attributes(dataset)}


def _macros_of_frames(dataset: Dataset, groups: FunctionalGroups, frames: int) -> list[_Said]:
    encodings = encodings_of(dataset)
    known: dict[Unparsed, _Said] = {}
    shared = _said_in(groups.shared, encodings, known)
    return [_together({**shared, **_said_in(groups.own(frame), encodings, known)}) for frame in range(frames)]


def _said_in(group: Dataset | None, encodings: list[str], known: dict[Unparsed, _Said]) -> dict[str, _Said]:
    """What each macro says, of the macros that say something. ``known`` are those that were read before."""
    found: dict[str, _Said] = {}
    for macro in macros_in(group):
        unparsed = as_it_stands(group, macro)
        one = known.get(unparsed) if unparsed is not None else None
        if one is None:
            one = _sorted(macro, _values(said(group, macro), macro, encodings))
            if unparsed is not None:
                known[unparsed] = one
        if one.macros:
            found[macro] = one
    return found


def _values(items: Sequence[Dataset], macro: str, encodings: list[str]) -> Attributes:
    """What the items of a macro say together: two positions of one frame are six numbers, and so none."""
    together: Attributes = {}
    for item in items:
        values = {**coded_attributes(item), **plain_attributes(item, encodings)}
        nested = items_of(item, _NESTED[macro]) if macro in _NESTED else []
        for one in nested[:1]:
            values.update(plain_attributes(one, encodings))
        if not together:
            together = values
            continue
        for name, value in values.items():
            together[name] = together.get(name, ()) + value
    return together


def _sorted(macro: str, values: Attributes) -> _Said:
    one = _Said({macro} if values else set())
    for name, value in values.items():
        owners = OWNERS.get(name)
        if not owners:
            one.beside[name] = value
        elif macro in owners or (macro in UNASSIGNED and name not in PLANE_ATTRIBUTES):
            one.own[name] = value
    return one


def _together(macros: dict[str, _Said]) -> _Said:
    """What macros say of one frame; those that come first in ``MACROS`` go before others."""
    together = _Said(set(macros))
    for macro in sorted(macros, key=_ORDER.__getitem__, reverse=True):
        together.own.update(macros[macro].own)
        together.beside.update(macros[macro].beside)
    return together


def _not_silenced(top: Attributes, spoken: set[str]) -> Attributes:
    """What the object says, without what only the macros that were found may say."""
    silenced = {name for macro in PLANE & spoken for name in MACROS[macro]}
    return {name: values for name, values in top.items() if name not in silenced}


def _distinct(frames: Iterable[Attributes]) -> Attributes:
    """Distinct values in the order of the frames; a vector is distinct as a whole, so that lengths stay multiples."""
    collected: dict[str, list[str]] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    last: Attributes = {}
    for frame in frames:
        for name, values in frame.items():
            if name in _EVERY_FRAME or (last.get(name) is not values and (name, values) not in seen):
                seen.add((name, values))
                collected.setdefault(name, []).extend(values)
        last = frame
    return {name: tuple(values) for name, values in collected.items()}
