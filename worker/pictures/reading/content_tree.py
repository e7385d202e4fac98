"""Content items of a report (PS3.3 C.17.3), read for as much as they say: what is absent is empty, and no error.

A report with one broken item is read all the same; highdicom refuses it whole (docs/decisions/0013).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from worker.functional_groups.groups import items_of
from worker.pictures.reading.part10 import first_item

CHILDREN: Final = "ContentSequence"
NAME: Final = "ConceptNameCodeSequence"


def descendants(item: Dataset) -> Iterator[Dataset]:
    """Every item below one, in the order of the document."""
    for child in items_of(item, CHILDREN):
        yield child
        yield from descendants(child)


def name_of(item: Dataset) -> Code:
    """The concept name of a content item, as value and scheme; empty where it has none."""
    return code_in(item, NAME)


def code_in(item: Dataset, keyword: str) -> Code:
    """The first code of a sequence of codes; empty texts for what is absent."""
    code = first_item(item, keyword)
    value = code.get("CodeValue") or code.get("LongCodeValue") or ""
    return Code(str(value), str(code.get("CodingSchemeDesignator") or ""), str(code.get("CodeMeaning") or ""))


def text_of(item: Dataset) -> str:
    """What an item says in words: TEXT, UIDREF, and the meaning of a CODE. Person names are never read."""
    match item.get("ValueType"):
        case "TEXT":
            return str(item.get("TextValue") or "")
        case "UIDREF":
            return str(item.get("UID") or "")
        case "CODE":
            return code_in(item, "ConceptCodeSequence").meaning
        case _:
            return ""


def instances_in(item: Dataset) -> Iterator[tuple[str, int | None]]:
    """SOP Instance UIDs that an IMAGE or COMPOSITE item refers to, each with its frames (from 1; None: all of it)."""
    for reference in items_of(item, "ReferencedSOPSequence"):
        frames = reference.get("ReferencedFrameNumber") or 0
        for frame in frames if isinstance(frames, Iterable) else (frames,):
            yield str(reference.get("ReferencedSOPInstanceUID") or ""), int(frame) or None
