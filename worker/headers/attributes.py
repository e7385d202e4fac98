"""From a pydicom data set to plain text attributes, without pydicom's conversion of values.

Only the defined terms of PS3.3 C.12.1.1.2 are taken as character sets: pydicom would use any codec of Python that a
sender names. A value that does not decode keeps its readable part; a number whose length is wrong is left out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from math import isfinite

from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.datadict import dictionary_keyword, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import Tag

from worker.domain.character_sets import StatedSet
from worker.functional_groups.elements import elements_of
from worker.functional_groups.groups import items_of

Attributes = dict[str, tuple[str, ...]]

MAXIMUM_VALUE_BYTES = 65_536
"""Longer values (embedded documents in UT, histograms) are no use to a rule and are left out."""

CODED = {
    "AnatomicRegionSequence": "AnatomicRegion",
    "ProcedureCodeSequence": "ProcedureCode",
    "RequestedProcedureCodeSequence": "RequestedProcedureCode",
    "PerformedProtocolCodeSequence": "PerformedProtocolCode",
    "ContrastBolusAgentSequence": "ContrastBolusAgent",
    "ViewCodeSequence": "ViewCode",
    "MeasurementUnitsCodeSequence": "MeasurementUnits",
}
"""Code sequences that rules can ask about, by the attribute name that they get. The attribute holds the code meanings,
and the name with ``Value`` behind it the code values (``AnatomicRegion`` = Chest, ``AnatomicRegionValue`` = 51185008).
"""

_WITHIN = {"ViewCodeSequence": ("ViewModifierCodeSequence", "ViewModifier")}
"""Code sequences in the items of others: magnification, spot compression, implant displaced (PS3.3 C.8.11.7)."""

_CHARSET_TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_PLAIN_TEXT = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
_ONE_VALUE = frozenset({"LT", "ST", "UT", "UR"})
_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_SIZES = {letter: struct.calcsize(f"<{letter}") for letter in _NUMBERS.values()}
_DELIMITERS = {0x0A, 0x0C, 0x0D, 0x5C, 0x5E, 0x3D}
_CODED_TAGS = frozenset(map(int, map(Tag, CODED)))
_SPECIFIC_CHARACTER_SET = Tag(0x00080005)
_PIXEL_REPRESENTATION = Tag(0x00280103)


def plain_attributes(dataset: Dataset, inherited: list[str] | None = None) -> Attributes:
    """Only the attributes of this level, nothing promoted. ``inherited`` are the encodings of the level above."""
    return dict(_plain(dataset, inherited))


def text_of(dataset: Dataset, keyword_tag: int) -> str:
    """One attribute as it stands, trimmed of padding; several values stay joined by a backslash."""
    if keyword_tag not in dataset:
        return ""
    element = dataset.get_item(keyword_tag)
    return "\\".join(values_of(element, encodings=encodings_of(dataset), signed=False))


def encodings_of(dataset: Dataset, inherited: list[str] | None = None) -> list[str]:
    """Python encodings for the Specific Character Set (0008,0005); Latin-1 where it is not one of the standard."""
    if _SPECIFIC_CHARACTER_SET not in dataset:
        return inherited or ["iso8859"]
    element = dataset.get_item(_SPECIFIC_CHARACTER_SET)
    terms = [_defined_term(term) for term in values_of(element, encodings=["iso8859"], signed=False)]
    if not terms or any(term not in python_encoding for term in terms):
        return ["iso8859"]
    return convert_encodings(terms)


def declare(dataset: Dataset, stated: StatedSet | None) -> None:
    """Put what the site states of a sender in the place of Specific Character Set, for rules on text."""
    if stated is None or stated.term not in python_encoding:
        return
    if stated.always or not text_of(dataset, _SPECIFIC_CHARACTER_SET):
        dataset.add(DataElement(_SPECIFIC_CHARACTER_SET, "CS", stated.term))


def values_of(element: RawDataElement | DataElement, *, encodings: list[str], signed: bool) -> tuple[str, ...]:
    """Values of an element as text; empty for binary data and sequences. ``signed`` decides between US and SS."""
    vr = _vr(element, signed=signed)
    raw = element.value
    if isinstance(element, DataElement):  # pydicom converts undefined lengths and what code has set
        if raw is None or isinstance(raw, (bytes, DicomSequence)):
            return ()
        values: Iterable[object] = raw if isinstance(raw, (list, tuple)) else (raw,)
        return _cleaned(str(value) for value in values)
    if not isinstance(raw, bytes) or not 0 < len(raw) <= MAXIMUM_VALUE_BYTES:
        return ()
    if vr in _NUMBERS:
        return _numbers(raw, _NUMBERS[vr], little_endian=element.is_little_endian)
    if vr not in _CHARSET_TEXT and vr not in _PLAIN_TEXT:
        return ()
    text = _decoded(raw, encodings if vr in _CHARSET_TEXT else ["iso8859"])
    return _cleaned([text] if vr in _ONE_VALUE else text.split("\\"))


def _plain(dataset: Dataset, inherited: list[str] | None = None) -> Iterator[tuple[str, tuple[str, ...]]]:
    encodings = encodings_of(dataset, inherited)
    signed = _is_signed(dataset)
    for tag, element in elements_of(dataset):
        keyword = _keyword(tag)
        if not keyword:
            continue
        values = values_of(element, encodings=encodings, signed=signed)
        if values:
            yield keyword, values


def coded_attributes(dataset: Dataset) -> Attributes:
    """Code meanings and code values of the sequences of ``CODED`` at this level, under their names."""
    found: Attributes = {}
    if dataset.keys().isdisjoint(_CODED_TAGS):
        return found
    for sequence, name in CODED.items():
        items = items_of(dataset, sequence) if sequence in dataset else []
        found.update(_codes(items, name))
        if sequence in _WITHIN:
            inner, inner_name = _WITHIN[sequence]
            found.update(_codes([code for item in items for code in items_of(item, inner)], inner_name))
    return found


def _codes(items: list[Dataset], name: str) -> Attributes:
    found: Attributes = {}
    said = [plain_attributes(item) for item in items]
    for suffix, keyword in (("", "CodeMeaning"), ("Value", "CodeValue")):
        values = tuple(value for one in said for value in one.get(keyword, ()))
        if values:
            found[name + suffix] = values
    return found


def _numbers(raw: bytes, letter: str, *, little_endian: bool) -> tuple[str, ...]:
    count, rest = divmod(len(raw), _SIZES[letter])
    if rest or not count:
        return ()
    numbers = struct.unpack(f"{'<' if little_endian else '>'}{count}{letter}", raw)
    return tuple([f"{number:.7g}" for number in numbers] if letter == "f" else map(str, numbers))


def _decoded(raw: bytes, encodings: list[str]) -> str:
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    return decode_bytes(raw, encodings, _DELIMITERS)


def _cleaned(values: Iterable[str]) -> tuple[str, ...]:
    cleaned = [value.strip(" \0\r\n\t") for value in values]
    return tuple(cleaned) if any(cleaned) else ()


def _vr(element: RawDataElement | DataElement, *, signed: bool) -> str:
    vr = element.VR
    if vr is None or vr == "UN":
        try:
            vr = dictionary_VR(element.tag)
        except KeyError:
            return "UN"
    if vr == "US or SS":
        return "SS" if signed else "US"
    return str(vr)


@lru_cache(maxsize=8192)
def _keyword(tag: int) -> str:
    try:
        return dictionary_keyword(tag)
    except KeyError:
        return ""


def _is_signed(dataset: Dataset) -> bool:
    if _PIXEL_REPRESENTATION not in dataset:
        return False
    element = dataset.get_item(_PIXEL_REPRESENTATION)
    return values_of(element, encodings=["iso8859"], signed=False) == ("1",)


def _defined_term(term: str) -> str:
    """Common misspellings of defined terms (``ISO IR 100``, ``ISO-IR 100``)."""
    spelled = term.replace("ISO IR ", "ISO_IR ").replace("ISO-IR ", "ISO_IR ").replace("ISO_IR_", "ISO_IR ")
    return spelled.replace("ISO-2022-", "ISO 2022 ").replace("ISO_2022_", "ISO 2022 ")


def floats(attributes: Mapping[str, tuple[str, ...]], keyword: str) -> tuple[float, ...] | None:
    """All values of an attribute as finite numbers; None when it is absent or one of them is none."""
    try:
        numbers = tuple(map(float, attributes[keyword]))
    except (KeyError, ValueError):
        return None
    return numbers if all(map(isfinite, numbers)) else None


def vector(attributes: Mapping[str, tuple[str, ...]], keyword: str, size: int) -> tuple[float, ...] | None:
    """The values of an attribute as numbers, if they are ``size`` finite ones; else None."""
    values = floats(attributes, keyword)
    return values if values is not None and len(values) == size else None


def integer(attributes: Mapping[str, tuple[str, ...]], keyword: str) -> int | None:
    """First value of an attribute as a whole number; None when there is none."""
    numbers = floats({keyword: attributes[keyword][:1]}, keyword) if attributes.get(keyword) else None
    return int(numbers[0]) if numbers and numbers[0] == int(numbers[0]) else None
