"""What a header says of an instance and of each of its frames: the one reading, for rules and for volumes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from worker.decode.attributes import Attributes, coded_attributes, encodings_of, plain_attributes
from worker.functional_groups.groups import FunctionalGroups, items_of, macros_in, said
from worker.functional_groups.macros import MACROS, OWNERS, PLANE, PLANE_ATTRIBUTES, UNASSIGNED

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
        found = _overlaid(found, together, spoken=together.macros)
    if "ImageType" not in found and "FrameType" in found:
        found["ImageType"] = found["FrameType"]
    return found


def attributes_of_frames(dataset: Dataset, frames: int) -> list[Attributes]:
    """Attributes of each frame: those of the object, overlaid by its functional groups (PS3.3 C.7.6.16).

    An attribute counts only in a macro of the standard that it belongs to: the frame's own, else the shared. What
    stands at the top level about position, orientation, spacing or rescale holds only where no frame has the macro.
    """
    top = _top(dataset)
    groups = FunctionalGroups(dataset)
    if not groups:
        return [top] * frames
    found = _macros_of_frames(dataset, groups, frames)
    spoken = set().union(*(one.macros for one in found))
    return [_overlaid(top, one, spoken=spoken) for one in found]


def _top(dataset: Dataset) -> Attributes:
    return {**coded_attributes(dataset), **plain_attributes(dataset)}


def _macros_of_frames(dataset: Dataset, groups: FunctionalGroups, frames: int) -> list[_Said]:
    encodings = encodings_of(dataset)
    shared = _said_in(groups.shared, encodings)
    found: list[_Said] = []
    for frame in range(frames):
        one = _Said()
        said_here = {**shared, **_said_in(groups.own(frame), encodings)}
        for macro in sorted(said_here, key=_ORDER.__getitem__):
            _add(one, macro, said_here[macro])
        found.append(one)
    return found


def _said_in(group: Dataset | None, encodings: list[str]) -> dict[str, Attributes]:
    """Attributes by macro, of the macros that say something."""
    found = {macro: _values(said(group, macro), macro, encodings) for macro in macros_in(group)}
    return {macro: values for macro, values in found.items() if values}


def _values(items: Sequence[Dataset], macro: str, encodings: list[str]) -> Attributes:
    """What the items of a macro say together: two positions of one frame are six numbers, and so none."""
    together: dict[str, tuple[str, ...]] = {}
    for item in items:
        nested = items_of(item, _NESTED[macro]) if macro in _NESTED and _NESTED[macro] in item else []
        values = {**coded_attributes(item), **plain_attributes(item, encodings)}
        for one in nested[:1]:
            values.update(plain_attributes(one, encodings))
        for name, value in values.items():
            together[name] = together.get(name, ()) + value
    return together


def _add(one: _Said, macro: str, values: Attributes) -> None:
    """Sort what a macro says; macros that come first in ``MACROS`` go before others."""
    one.macros.add(macro)
    for name, value in values.items():
        owners = OWNERS.get(name, frozenset())
        if macro in owners or (macro in UNASSIGNED and owners and name not in PLANE_ATTRIBUTES):
            one.own.setdefault(name, value)
        elif not owners:
            one.beside.setdefault(name, value)


def _overlaid(top: Attributes, said_: _Said, *, spoken: set[str]) -> Attributes:
    silenced = {name for macro in PLANE & spoken for name in MACROS[macro]}
    kept = {name: values for name, values in top.items() if name not in silenced}
    return {**said_.beside, **kept, **said_.own}


def _distinct(frames: Iterable[Attributes]) -> Attributes:
    """Distinct values in the order of the frames; a vector is distinct as a whole, so that lengths stay multiples."""
    collected: dict[str, list[str]] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for frame in frames:
        for name, values in frame.items():
            if name in _EVERY_FRAME or (name, values) not in seen:
                seen.add((name, values))
                collected.setdefault(name, []).extend(values)
    return {name: tuple(values) for name, values in collected.items()}
