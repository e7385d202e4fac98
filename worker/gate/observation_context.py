"""Gate checks of what all documents say of themselves: language, the device that observes, the procedure (TID 1001)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydicom.dataset import Dataset

from worker.gate.reading import code_of, content_items, only_child

OBSERVER = Counter(("121049", "121005", "121012", "121013", "121014", "121015", "121016"))
"""Concept names of language and observer, each once."""

PROCEDURE = "121058"

_X_RAY = ("43468-8", "LN")
_PROCEDURES = {
    "CT": ("25045-6", "LN"), "MR": ("25056-3", "LN"), "PT": ("44136-0", "LN"), "NM": ("49118-3", "LN"),
    "XA": ("77343006", "SCT"), "CR": _X_RAY, "DX": _X_RAY, "IO": _X_RAY, "MG": _X_RAY, "PX": _X_RAY, "RF": _X_RAY,
    "RG": _X_RAY,
}  # fmt: skip
_RELATIONSHIPS = frozenset(
    {"CONTAINS", "HAS OBS CONTEXT", "HAS ACQ CONTEXT", "HAS CONCEPT MOD", "INFERRED FROM", "SELECTED FROM"}
)
_OF_CONTEXT = {"121049": "HAS CONCEPT MOD", PROCEDURE: "HAS CONCEPT MOD"}
"""How language and procedure belong to a document; the observer is context."""


def observer_problems(ds: Dataset) -> Iterator[str]:
    """A device observes, which is the equipment of the header; the text is English."""
    if code_of(only_child(ds, "121005"), "ConceptCodeSequence") != ("121007", "DCM"):
        yield "the observer is not a device"
    if str(only_child(ds, "121012").UID) != str(ds.DeviceUID):
        yield "the device observer UID is not the equipment's"
    for code, keyword, what in (
        ("121013", "StationName", "name"),
        ("121014", "Manufacturer", "manufacturer"),
        ("121015", "ManufacturerModelName", "model"),
        ("121016", "DeviceSerialNumber", "serial number"),
    ):
        said = str(only_child(ds, code).TextValue).strip()
        if not said:
            yield f"no device observer {what}"
        elif said != str(ds[keyword].value).strip():
            yield f"the device observer {what} is not the equipment's"
    if code_of(only_child(ds, "121049"), "ConceptCodeSequence") != ("en-US", "RFC5646"):
        yield "the language is not English"
    yield from _form_of_items(ds)


def procedure_problems(ds: Dataset, modality: str) -> Iterator[str]:
    """The procedure reported is that of the modality (CID 100)."""
    procedure = code_of(only_child(ds, PROCEDURE), "ConceptCodeSequence")
    if procedure != _PROCEDURES.get(modality, ("363679005", "SCT")):
        yield f"procedure reported is {procedure}, not that of the modality"


def _form_of_items(ds: Dataset) -> Iterator[str]:
    """PS3.3 C.17.3: relationships that exist, and containers whose content stands apart."""
    if (ds.ValueType, ds.ContinuityOfContent) != ("CONTAINER", "SEPARATE"):
        yield "the root is no container with separate content"
    for item in ds.ContentSequence:
        code = code_of(item)[0]
        if code in OBSERVER or code == PROCEDURE:
            value_type = {"121012": "UIDREF", "121005": "CODE", "121049": "CODE", PROCEDURE: "CODE"}.get(code, "TEXT")
            if (item.ValueType, item.RelationshipType) != (value_type, _OF_CONTEXT.get(code, "HAS OBS CONTEXT")):
                yield f"{code} is no {value_type} of the document's context"
        elif item.RelationshipType != "CONTAINS":
            yield f"{code or item.ValueType} is not CONTAINED in the document"
    for item in content_items(ds):
        if item.RelationshipType not in _RELATIONSHIPS:
            yield f"a relationship {item.RelationshipType}, which does not exist"
        if item.ValueType == "CONTAINER" and item.ContinuityOfContent != "SEPARATE":
            yield "a container whose content is not separate"
