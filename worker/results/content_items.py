"""Content items of documents that are put together by hand (PS3.3 C.17.3), and the device observer that all share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset

from worker.domain.codes import Code
from worker.results.coding import DEVICE, ENGLISH, code_item
from worker.results.identity import Equipment


def language() -> Dataset:
    """TID 1204: what the document is written in."""
    return code("HAS CONCEPT MOD", Code("121049", "DCM", "Language of Content Item and Descendants"), ENGLISH)


def device_observer(equipment: Equipment) -> list[Dataset]:
    """TID 1002 and 1004: the device only; no person stands behind a draft."""
    relationship = "HAS OBS CONTEXT"
    return [
        code(relationship, Code("121005", "DCM", "Observer Type"), DEVICE),
        item(relationship, "UIDREF", Code("121012", "DCM", "Device Observer UID"), UID=equipment.observer_uid),
        text(relationship, Code("121013", "DCM", "Device Observer Name"), equipment.ae_title),
        text(relationship, Code("121014", "DCM", "Device Observer Manufacturer"), equipment.manufacturer),
        text(relationship, Code("121015", "DCM", "Device Observer Model Name"), equipment.model_name),
        text(relationship, Code("121016", "DCM", "Device Observer Serial Number"), equipment.device_serial_number),
    ]


def section(name: Code, items: Sequence[Dataset]) -> Dataset:
    """A container with its content."""
    return item("CONTAINS", "CONTAINER", name, ContinuityOfContent="SEPARATE", ContentSequence=list(items))


def code(relationship: str, name: Code, value: Code) -> Dataset:
    """A coded item."""
    return item(relationship, "CODE", name, ConceptCodeSequence=[coded(value)])


def text(relationship: str, name: Code, words: str) -> Dataset:
    """A text item."""
    return item(relationship, "TEXT", name, TextValue=words)


def item(relationship: str, value_type: str, name: Code, **elements: Any) -> Dataset:
    """Any item; ``elements`` are those of its value, by keyword."""
    made = Dataset()
    made.RelationshipType = relationship
    made.ValueType = value_type
    made.ConceptNameCodeSequence = [coded(name)]
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def coded(concept: Code) -> Dataset:
    """An item of a code sequence."""
    return code_item(concept.value, concept.scheme, concept.meaning)


def template(identifier: str) -> Dataset:
    """An item of Content Template Sequence (PS3.3 C.18.8.1.2)."""
    made = Dataset()
    made.MappingResource, made.TemplateIdentifier = "DCMR", identifier
    return made
