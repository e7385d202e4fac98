"""The one way to a functional group of a frame: its own, else the shared (PS3.3 C.7.6.16)."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag

from worker.functional_groups.macros import MACROS, PLANE

_PER_FRAME = "PerFrameFunctionalGroupsSequence"
_SHARED = "SharedFunctionalGroupsSequence"
_TAGS = {keyword: Tag(keyword) for keyword in MACROS}
_ASKED = {keyword: frozenset(Tag(name) for name in MACROS[keyword]) for keyword in PLANE}


def items_of(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Items of a sequence; empty when it is absent, or is no sequence."""
    return list(_sequence(dataset, keyword))


def _sequence(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    value = dataset.get(keyword)
    return value if isinstance(value, DicomSequence) else ()


class FunctionalGroups:
    """Functional groups of one object.

    The standard wants each macro either per frame or shared. Where it is in both, the frame's own holds; an own one
    without any value is as if it were absent.

    Parameters
    ----------
    dataset:
        The object; one without functional groups is fine.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._per_frame: Sequence[Dataset] = _sequence(dataset, _PER_FRAME)  # not copied: there may be thousands
        self._shared = next(iter(_sequence(dataset, _SHARED)), None)

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
        return said(self.own(frame), keyword) or said(self._shared, keyword)

    def speaker(self, keyword: str, frame: int) -> Dataset:
        """The data set that says of a frame (from 0) what belongs to a macro.

        The first item of the macro. Of an object in which no frame has the macro, it is the object itself, as of a
        single-frame image; an empty one when only this frame lacks it.
        """
        found = self.macro(keyword, frame)
        if found:
            return found[0]
        if any(said(group, keyword) for group in self._per_frame):
            return Dataset()
        return self._dataset


def said(group: Dataset | None, keyword: str) -> list[Dataset]:
    """Items of a macro that say something: of the plane, one of its attributes; else any public one with a value."""
    if group is None or _TAGS[keyword] not in group:
        return []
    return [item for item in items_of(group, keyword) if _speaks(item, _ASKED.get(keyword))]


def macros_in(group: Dataset | None) -> list[str]:
    """Macros that stand in a group, in the order of ``MACROS``."""
    present = group.keys() if group is not None else ()
    return [keyword for keyword, tag in _TAGS.items() if tag in present]


def _speaks(item: Dataset, asked: frozenset[int] | None) -> bool:
    return any(
        _has_value(element.value)
        for element in item.elements()
        if (not element.tag.is_private if asked is None else element.tag in asked)
    )


def _has_value(value: object) -> bool:
    if isinstance(value, bytes):
        return bool(value.strip(b" "))  # NUL bytes are a number
    if isinstance(value, str):
        return bool(value.strip(" \0"))
    if isinstance(value, (list, DicomSequence, MultiValue)):
        return len(value) > 0
    return value is not None
