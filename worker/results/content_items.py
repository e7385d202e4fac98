"""Content items of structured reports (PS3.3 C.17.3), and the context that all documents share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.domain.codes import Code, Unit
from worker.results import coding
from worker.results.coding import code_item
from worker.results.header import reference
from worker.results.identity import Equipment

CONTAINS = "CONTAINS"
CONTEXT = "HAS OBS CONTEXT"
MODIFIER = "HAS CONCEPT MOD"
INFERRED = "INFERRED FROM"
SELECTED = "SELECTED FROM"
ACQUISITION = "HAS ACQ CONTEXT"


def language() -> Dataset:
    """TID 1204: what the document is written in."""
    return code(MODIFIER, coding.LANGUAGE, coding.ENGLISH)


def device_observer(equipment: Equipment) -> list[Dataset]:
    """TID 1002 and 1004: the device only; no person stands behind a draft."""
    return [
        code(CONTEXT, coding.OBSERVER_TYPE, coding.DEVICE),
        uid(CONTEXT, coding.DEVICE_OBSERVER_UID, equipment.observer_uid),
        text(CONTEXT, coding.DEVICE_OBSERVER_NAME, equipment.ae_title),
        text(CONTEXT, coding.DEVICE_OBSERVER_MANUFACTURER, equipment.manufacturer),
        text(CONTEXT, coding.DEVICE_OBSERVER_MODEL_NAME, equipment.model_name),
        text(CONTEXT, coding.DEVICE_OBSERVER_SERIAL_NUMBER, equipment.device_serial_number),
    ]


def section(name: Code, items: Sequence[Dataset]) -> Dataset:
    """A container with its content."""
    return item(CONTAINS, "CONTAINER", name, ContinuityOfContent="SEPARATE", ContentSequence=list(items))


def code(relationship: str, name: Code, value: Code, children: Sequence[Dataset] = ()) -> Dataset:
    """A CODE content item (PS3.3 C.17.3): concept name and coded value."""
    return with_children(item(relationship, "CODE", name, ConceptCodeSequence=[coded(value)]), children)


def text(relationship: str, name: Code, words: str, children: Sequence[Dataset] = ()) -> Dataset:
    """A TEXT content item (PS3.3 C.17.3)."""
    return with_children(item(relationship, "TEXT", name, TextValue=words), children)


def uid(relationship: str, name: Code, value: str) -> Dataset:
    """A UIDREF content item (PS3.3 C.17.3)."""
    return item(relationship, "UIDREF", name, UID=value)


def number(
    name: Code, value: float, unit: Unit, children: Sequence[Dataset] = (), *, relationship: str = CONTAINS
) -> Dataset:
    """A number with its unit (TID 300); it is written with six significant digits, which DS can always hold."""
    measured = Dataset()
    measured.NumericValue = f"{value:.6g}"
    measured.MeasurementUnitsCodeSequence = [code_item(unit.ucum, "UCUM", unit.meaning)]
    return with_children(item(relationship, "NUM", name, MeasuredValueSequence=[measured]), children)


def image(
    relationship: str,
    name: Code | None,
    instance: tuple[str, str],
    *,
    frame_number: int | None = None,
    segment_number: int | None = None,
) -> Dataset:
    """A reference to an image by its (class, instance) UIDs. Viewers need the name in a text report."""
    referred = reference(*instance)
    if frame_number is not None:
        referred.ReferencedFrameNumber = frame_number
    if segment_number is not None:
        referred.ReferencedSegmentNumber = segment_number
    return item(relationship, "IMAGE", name, ReferencedSOPSequence=[referred])


def place(relationship: str, name: Code, graphic_type: str, points: NDArray[np.float64], on: Dataset) -> Dataset:
    """SCOORD: ``points`` (n, 2) of (column, row) from the outer corner, on an image that it is SELECTED FROM."""
    made = item(relationship, "SCOORD", name, GraphicType=graphic_type, GraphicData=points.ravel().tolist())
    made.ContentSequence = [on]
    return made


def place_in_patient(
    relationship: str, name: Code, points_lps_mm: NDArray[np.float64], *, frame_of_reference_uid: str
) -> Dataset:
    """SCOORD3D POINT: ``points_lps_mm`` (1, 3)."""
    return item(
        relationship, "SCOORD3D", name,
        GraphicType="POINT", GraphicData=points_lps_mm.ravel().tolist(),
        ReferencedFrameOfReferenceUID=frame_of_reference_uid,
    )  # fmt: skip


def item(relationship: str, value_type: str, name: Code | None, **elements: Any) -> Dataset:
    """Any item; ``elements`` are those of its value, by keyword."""
    made = Dataset()
    made.RelationshipType = relationship
    made.ValueType = value_type
    if name is not None:
        made.ConceptNameCodeSequence = [coded(name)]
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def with_children(parent: Dataset, children: Sequence[Dataset]) -> Dataset:
    """The item itself, with content below it where there is any."""
    if children:
        parent.ContentSequence = list(children)
    return parent


def coded(concept: Code) -> Dataset:
    """An item of a code sequence."""
    return code_item(concept.value, concept.scheme, concept.meaning)


def template(identifier: str) -> Dataset:
    """An item of Content Template Sequence (PS3.3 C.18.8.1.2)."""
    made = Dataset()
    made.MappingResource, made.TemplateIdentifier = "DCMR", identifier
    return made
