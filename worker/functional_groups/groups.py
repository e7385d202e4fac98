"""The one way to a functional group of a frame: its own, else the shared (PS3.3 C.7.6.16)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag

from worker.functional_groups.elements import elements_of
from worker.functional_groups.macros import MACROS, PLANE

_PER_FRAME = "PerFrameFunctionalGroupsSequence"
_SHARED = "SharedFunctionalGroupsSequence"
_MACRO = {int(Tag(keyword)): keyword for keyword in MACROS}
_ASKED = {keyword: frozenset(int(Tag(name)) for name in MACROS[keyword]) for keyword in PLANE}

Unparsed = tuple[str, str | None, bytes]
"""Keyword of a macro, its value representation (None: implicit), and its bytes."""

_tag = lru_cache(maxsize=1024)(Tag)


def items_of(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Items of a sequence; empty when it is absent, or is no sequence."""
    return list(_sequence(dataset, keyword))


def _sequence(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    tag: BaseTag = _tag(keyword)
    value = dataset[tag].value if tag in dataset else None
    return value if isinstance(value, DicomSequence) else ()


class FunctionalGroups:
    """Functional groups of one object.

    The standard wants each macro either per frame or shared. Where it is in both, the frame's own holds; an own one
    without any value is as if it were absent.

    What was read is kept: one of these serves all frames of an object.

    Parameters
    ----------
    dataset:
        The object; one without functional groups is fine. Nothing is read before it is asked for.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._known: dict[Unparsed, list[Dataset]] = {}
        self._spoken: dict[str, bool] = {}

    @cached_property
    def _per_frame(self) -> Sequence[Dataset]:
        return _sequence(self.dataset, _PER_FRAME)  # not copied: there may be thousands

    @cached_property
    def _shared(self) -> Dataset | None:
        return next(iter(_sequence(self.dataset, _SHARED)), None)

    def __bool__(self) -> bool:
        """Whether the object has functional groups at all."""
        return bool(self._per_frame) or self._shared is not None

    @property
    def described(self) -> int:
        """Number of frames that have groups of their own."""
        return len(self._per_frame)

    @property
    def shared(self) -> Dataset | None:
        """Groups that hold for all frames."""
        return self._shared

    def own(self, frame: int) -> Dataset | None:
        """Groups of one frame (from 0) alone."""
        return self._per_frame[frame] if frame < len(self._per_frame) else None

    def macro(self, keyword: str, frame: int) -> list[Dataset]:
        """Items of a macro for one frame (from 0): its own, else the shared; empty when neither says anything."""
        return self._said(self.own(frame), keyword) or self._said(self._shared, keyword)

    def _said(self, group: Dataset | None, keyword: str) -> list[Dataset]:
        unparsed = as_it_stands(group, keyword)
        if unparsed is None:
            return said(group, keyword)
        if unparsed not in self._known:
            self._known[unparsed] = said(group, keyword)
        return self._known[unparsed]

    def speaker(self, keyword: str, frame: int) -> Dataset:
        """The data set that says of a frame (from 0) what belongs to a macro.

        The first item of the macro. Of an object in which no frame has the macro, it is the object itself, as of a
        single-frame image; an empty one when only this frame lacks it.
        """
        found = self.macro(keyword, frame)
        if found:
            return found[0]
        if keyword not in self._spoken:
            self._spoken[keyword] = any(said(group, keyword) for group in self._per_frame)
        return Dataset() if self._spoken[keyword] else self.dataset


def said(group: Dataset | None, keyword: str) -> list[Dataset]:
    """Items of a macro that say something: of the plane, one of its attributes; else any public one with a value."""
    if group is None or _tag(keyword) not in group:
        return []
    return [item for item in _items(group, keyword) if _speaks(item, _ASKED.get(keyword))]


def _items(group: Dataset, keyword: str) -> Sequence[Dataset]:
    """Items of a macro, which the group does not keep.

    What is read of thousands of frames would be some hundred thousand objects, in which Python looks for garbage again
    and again while more of them are made.
    """
    element: RawDataElement | DataElement = group.get_item(_tag(keyword))
    if isinstance(element, RawDataElement):
        value = convert_raw_data_element(element, encoding=group.original_character_set or None, ds=group).value
        if isinstance(value, DicomSequence):
            return value
    return _sequence(group, keyword)


def as_it_stands(group: Dataset | None, keyword: str) -> Unparsed | None:
    """A macro as it is in the file; None when it is absent, or was parsed already.

    Within one object the same bytes say the same: of thousands of frames most macros need to be parsed once.
    """
    element: RawDataElement | DataElement | None = group.get_item(_tag(keyword)) if group is not None else None
    if isinstance(element, RawDataElement) and element.VR in ("SQ", None) and element.value is not None:
        return keyword, element.VR, element.value
    return None


def macros_in(group: Dataset | None) -> tuple[str, ...]:
    """Macros that stand in a group, in the order of ``MACROS``."""
    return _macros_among(tuple(map(int, group.keys()))) if group is not None else ()


@lru_cache(maxsize=256)
def _macros_among(tags: tuple[int, ...]) -> tuple[str, ...]:
    """The same few answers for all the frames of an object."""
    return tuple(keyword for tag, keyword in _MACRO.items() if tag in tags)


def _speaks(item: Dataset, asked: frozenset[int] | None) -> bool:
    return any(
        _has_value(element.value)
        for tag, element in elements_of(item)
        if (not tag >> 16 & 1 if asked is None else tag in asked)  # the groups of vendors are odd (PS3.5 7.8)
    )


def _has_value(value: object) -> bool:
    if isinstance(value, bytes):
        return bool(value.strip(b" "))  # NUL bytes are a number
    if isinstance(value, str):
        return bool(value.strip(" \0"))
    if isinstance(value, (list, DicomSequence, MultiValue)):
        return len(value) > 0
    return value is not None
