"""What results copy from the images: read from the stored bytes, and left out where it is no valid value.

A value that we only hand on must never cost a result, whatever a device wrote there, and must never come out as
another one. So every value is looked at as bytes before anybody converts it. Who the patient is (``IDENTITY``) is
copied as it stands, or nothing is made at all.

Text comes in two forms. ``Copies.text`` is what it says. ``Copies.kept`` has the very bytes of the images, each byte
outside of ASCII as a lone surrogate (PEP 383), for results that keep the character set of the images.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pydicom import config
from pydicom.datadict import dictionary_description, dictionary_has_tag, dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import validate_value

from worker.domain.character_sets import UTF_8, Reading, StatedSet, UndecodableTextError, is_plain

IDENTITY: Final = (
    "PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber",
)  # fmt: skip
"""What all evidence must agree on; else there is no result (never on the wrong patient)."""

TEXT_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""What Specific Character Set applies to (PS3.5 6.1.2.3)."""

_STRING_VRS: Final = TEXT_VRS | frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
_ONE_VALUE: Final = frozenset({"LT", "ST", "UT", "UR"})
_RANGES: Final = frozenset({"DA", "DT", "TM"})
"""A hyphen makes them a range, which only a query may have (PS3.4 C.2.2.2.5)."""
_ENUMERATED: Final = {Tag("LossyImageCompression"): frozenset({"", "00", "01"})}
"""Where a result draws a conclusion of its own from the value (PS3.3 C.7.6.1.1.5)."""
_CHARACTER_SET: Final = Tag("SpecificCharacterSet")
_AS_IT_STANDS: Final = frozenset(
    Tag(keyword) for keyword in (*IDENTITY, "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID", "FrameOfReferenceUID")
)
_MEANING: Final = frozenset(
    Tag(keyword)
    for keyword in (
        "CodeValue", "LongCodeValue", "URNCodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning",
        "PatientID",
    )
)  # fmt: skip
"""What an item of a sequence is about: without one of these, or with another UID, it would be another one."""
_UNREADABLE: Final = "cannot be read in the character set of the images"
_DEEPEST: Final = 8


class _InvalidError(ValueError):
    """A value that is left out; its text says why, without the value."""


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """The copied attributes of one data set, in both forms.

    ``terms`` is the Specific Character Set of results that keep the bytes: UTF-8 when every text among the copies is
    beyond doubt, for then it is written anew, else that of the images. ``notes`` name what was left out, and identity
    that is copied although it is no valid value; no value stands in them.
    """

    text: Dataset
    kept: Dataset
    terms: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_certain(self) -> bool:
        """True when every text is beyond doubt."""
        return self.terms == (UTF_8,)


@dataclass(slots=True)
class _Copier:
    """Copies into ``text`` and ``kept``, which have the same elements."""

    reading: Reading
    text: Dataset = field(default_factory=Dataset)
    kept: Dataset = field(default_factory=Dataset)
    certain: bool = True
    notes: list[str] = field(default_factory=list)

    def copy(self, ds: Dataset, tag: BaseTag, *, depth: int = 0) -> None:
        """Copy one element, or raise UndecodableTextError or _InvalidError."""
        vr = dictionary_VR(tag)
        if vr == "SQ":
            self._copy_items(ds, tag, depth)
        elif vr in _STRING_VRS:
            self._copy_string(ds, tag, vr, as_it_stands=depth == 0 and tag in _AS_IT_STANDS)
        else:
            element = _converted(ds, tag)
            if vr != element.VR or (dictionary_VM(tag) == "1" and element.VM > 1):
                raise _InvalidError(f"is no valid {vr}")
            self.text.add(element)
            self.kept.add(element)

    def _copy_string(self, ds: Dataset, tag: BaseTag, vr: str, *, as_it_stands: bool) -> None:
        element = _raw(ds, tag)
        if element is None or element.VR not in _STRING_VRS | {None, "UN"}:
            if as_it_stands:
                raise UndecodableTextError("of a value representation that is no text")
            raise _InvalidError("is of another value representation")
        raw = raw_value(ds, tag)
        certain = True
        if vr in TEXT_VRS:
            found = self.reading.decode(raw)
            said, certain = found.text, found.certain
        elif raw.isascii():
            said = raw.decode("ascii")
        elif as_it_stands:
            raise UndecodableTextError("no ASCII where nothing else may stand")
        else:
            raise _InvalidError(f"is no valid {vr}")
        problem = problem_of(tag, said)
        if problem and not as_it_stands:
            raise _InvalidError(problem)
        if problem:
            self.notes.append(f"{dictionary_description(tag)} is copied as it stands: in the images it {problem}.")
        self.certain = self.certain and certain
        with config.disable_value_validation():
            self.text.add(DataElement(tag, vr, said or None))
            self.kept.add(DataElement(tag, vr, raw.decode("ascii", "surrogateescape") or None))

    def _copy_items(self, ds: Dataset, tag: BaseTag, depth: int) -> None:
        """Copy a sequence, without the items that would mean something else: half a code is another code."""
        items = _converted(ds, tag).value
        if not isinstance(items, DicomSequence) or depth == _DEEPEST:
            raise _InvalidError("is no sequence that can be copied")
        texts, bare, problem = [], [], ""
        for item in items:
            inner = _Copier(self.reading)
            try:
                inner.copy_item(item, depth=depth + 1)
            except _InvalidError as error:
                problem = str(error)
            else:
                self.notes += inner.notes
                self.certain = self.certain and inner.certain
                texts.append(inner.text)
                bare.append(inner.kept)
        if problem and not texts:
            raise _InvalidError(problem)
        if problem:
            self.notes.append(_left_out(tag, problem, what="An item of "))
        self.text.add(DataElement(tag, "SQ", DicomSequence(texts)))
        self.kept.add(DataElement(tag, "SQ", DicomSequence(bare)))

    def copy_item(self, item: Dataset, *, depth: int) -> None:
        """Copy everything in an item that the standard knows; raises for what makes the item mean something."""
        own = _declared(item) if _CHARACTER_SET in item else None
        another = own is not None and self.reading.within(own) != self.reading
        for tag in sorted(item.keys()):
            if tag == _CHARACTER_SET or not _is_known(tag):
                continue
            if another and not is_plain(raw_value(item, tag)):
                raise _InvalidError("is in another character set than the rest")
            try:
                self.copy(item, tag, depth=depth)
            except UndecodableTextError:
                self._miss(tag, _UNREADABLE)
            except _InvalidError as error:
                self._miss(tag, str(error))

    def _miss(self, tag: BaseTag, why: str) -> None:
        if tag in _MEANING or dictionary_VR(tag) == "UI":
            raise _InvalidError(f"holds a value that {why}")
        self.notes.append(_left_out(tag, why))


def copies_of(ds: Dataset, keywords: Iterable[str], *, stated: StatedSet | None = None) -> Copies:
    """Copy attributes of a data set that was read and not yet converted (``dcmread``, elements still raw).

    Raises UndecodableTextError when who the patient is cannot be read in the character set.
    """
    copier = _Copier(reading_of(ds, stated))
    for keyword in keywords:
        tag = Tag(keyword)
        if tag not in ds:
            continue
        try:
            copier.copy(ds, tag)
        except UndecodableTextError:
            if tag in _AS_IT_STANDS:
                raise
            copier.notes.append(_left_out(tag, _UNREADABLE))
        except _InvalidError as error:
            copier.notes.append(_left_out(tag, str(error)))
    terms = (UTF_8,) if copier.certain else copier.reading.terms
    return Copies(copier.text, copier.kept, terms, tuple(dict.fromkeys(copier.notes)))


def reading_of(ds: Dataset, stated: StatedSet | None = None) -> Reading:
    """How the text of a data set is to be read."""
    return Reading.of(_declared(ds), stated)


def raw_value(ds: Dataset, tag: BaseTag | str) -> bytes:
    """The bytes of a string as they are stored, without padding; empty for what is absent or no string."""
    element = _raw(ds, tag)
    return (element.value or b"").rstrip(b" \0") if element is not None else b""


def text_value(ds: Dataset, keyword: str, reading: Reading) -> str:
    """A string as text, without padding. Raises UndecodableTextError."""
    value = raw_value(ds, keyword).strip(b" \0")
    return reading.decode(value).text if dictionary_VR(keyword) in TEXT_VRS else value.decode("latin-1")


def problem_of(tag: BaseTag | str, value: str) -> str:
    """Why a text is no value of an attribute (PS3.5 6.2), in words that do not repeat it; empty when it is one."""
    vr = dictionary_VR(tag)
    values = [value] if vr in _ONE_VALUE else value.split("\\")
    if dictionary_VM(tag) == "1" and len(values) > 1:
        return "has several values, where one is allowed"
    allowed = _ENUMERATED.get(Tag(tag))
    if allowed is not None and value.strip(" ") not in allowed:
        return f"is none of {', '.join(sorted(allowed - {''}))}"
    for one in values:
        bare = one.strip(" ")
        try:
            validate_value(vr, bare, config.RAISE)
        except ValueError:
            return f"is no valid {vr}"
        if vr in _RANGES and "-" in (bare[:-5] if vr == "DT" else bare):
            return f"is no valid {vr}"
    return ""


def _left_out(tag: BaseTag, why: str, *, what: str = "") -> str:
    return f"{what}{dictionary_description(tag)} is left out of the results: in the images it {why}."


def _is_known(tag: BaseTag) -> bool:
    """False for private elements, and for what has no one value representation."""
    return not tag.is_private and dictionary_has_tag(tag) and " or " not in dictionary_VR(tag)


def _declared(ds: Dataset) -> bytes:
    """Specific Character Set, which pydicom converts as soon as it has read it."""
    if _CHARACTER_SET not in ds:
        return b""
    value = ds[_CHARACTER_SET].value
    values = [value] if value is None or isinstance(value, str) else value
    return "\\".join(str(one or "") for one in values).encode("latin-1", "replace")


def _raw(ds: Dataset, tag: BaseTag | str) -> RawDataElement | None:
    """An element as it was read; None for what is absent, or a sequence of undefined length.

    Of an empty value in Implicit VR pydicom believes that it was put off, and would convert it.
    """
    element: object = ds.get_item(tag, keep_deferred=True) if tag in ds else None
    return element if isinstance(element, RawDataElement) else None


def _converted(ds: Dataset, tag: BaseTag) -> DataElement:
    try:
        with config.disable_value_validation():
            return ds[tag]
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, EOFError, OSError):
        raise _InvalidError("cannot be read") from None
