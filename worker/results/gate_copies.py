"""Gate checks of what results copy from the images: the same bytes or surely the same text, and nothing lost unsaid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO

from pydicom import config
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.tag import Tag
from pydicom.valuerep import validate_value

from worker.domain.character_sets import UTF_8, Reading, StatedSet, UndecodableTextError
from worker.domain.profile import Profile
from worker.domain.result import Check, EncodedObject, ResultContext

IDENTITY = (
    "PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber",
)  # fmt: skip
"""The same in every instance of the evidence and in every result."""

STUDY_AND_PATIENT = (
    "OtherPatientIDs", "PatientSex", "PatientAge", "StudyDate", "StudyTime", "StudyID", "StudyDescription",
    "ReferringPhysicianName", "TimezoneOffsetFromUTC",
)  # fmt: skip
"""Copied from the images to every result; scanners may vary them from image to image."""

_CHARACTER_SET = "SpecificCharacterSet"
_WITH_CHARACTER_SET = frozenset({"LO", "PN", "SH"})


@dataclass(frozen=True, slots=True)
class StoredText:
    """The copied attributes of one data set as bytes, without padding, and how they are to be read."""

    values: Mapping[str, bytes] = field(repr=False)
    reading: Reading

    def text(self, keyword: str) -> str:
        """The value as text, of names without padding and empty trailing components. Raises UndecodableTextError."""
        value = self.values.get(keyword, b"").strip(b" \0")
        if dictionary_VR(keyword) not in _WITH_CHARACTER_SET:
            return value.decode("latin-1")
        found = self.reading.decode(value).text
        if keyword.endswith("Name"):
            return _name(found)
        return found

    def is_certain(self, keyword: str) -> bool:
        """True for text that may be written in another character set: its bytes leave no doubt of it."""
        try:
            return self.reading.decode(self.values.get(keyword, b"").strip(b" \0")).certain
        except UndecodableTextError:
            return False


def stored_text(ds: Dataset, stated: StatedSet | None = None) -> StoredText:
    """Keep the bytes of a data set that was read and not yet converted."""
    values = {keyword: _bytes(ds, keyword) for keyword in (*IDENTITY, *STUDY_AND_PATIENT)}
    declared = ds.get(_CHARACTER_SET) or ""
    terms = [declared] if isinstance(declared, str) else [str(term or "") for term in declared]
    return StoredText(values, Reading.of("\\".join(terms).encode("latin-1", "replace"), stated))


def stored_text_of(item: EncodedObject) -> StoredText:
    """The same of an encoded object."""
    tags = [Tag(keyword) for keyword in (_CHARACTER_SET, *IDENTITY, *STUDY_AND_PATIENT)]
    return stored_text(dcmread(BytesIO(item.content), stop_before_pixels=True, specific_tags=list(tags)))


def identity_problems(item: EncodedObject, images: Mapping[str, StoredText]) -> Iterator[str]:
    """Who the patient is, compared with every image."""
    found = stored_text_of(item)
    for keyword in IDENTITY:
        if not all(_is_same(keyword, found, image) for image in images.values()):
            yield f"{keyword} differs from the evidence"
    if not found.values["PatientID"]:
        yield "PatientID is empty"


def copy_problems(item: EncodedObject, images: Mapping[str, StoredText]) -> Iterator[str]:
    """Each attribute is that of an image; it may be empty only where no image has a valid value."""
    found = stored_text_of(item)
    for keyword in STUDY_AND_PATIENT:
        if any(_is_same(keyword, found, image) for image in images.values()):
            continue
        if found.values[keyword]:
            yield f"{keyword} is that of no image"
        elif any(_is_fit(keyword, image) for image in images.values()):
            yield f"{keyword} is left out"


def character_set_problems(item: EncodedObject, profile: Profile, images: Mapping[str, StoredText]) -> Iterator[str]:
    """The set is the destination's, or UTF-8, or what the images declare; text in doubt stays in its own."""
    found = stored_text_of(item)
    terms = found.reading.terms
    wanted = profile.character_set
    if wanted is not None and terms != (wanted,):
        yield f"SpecificCharacterSet is {terms}, the profile wants {wanted}"
    if terms in {image.reading.terms for image in images.values() if not image.reading.stated}:
        return
    if wanted is None and terms != (UTF_8,):
        yield f"SpecificCharacterSet is {terms}, which no image declares"
    doubtful = [
        keyword
        for keyword in (*IDENTITY, *STUDY_AND_PATIENT)
        if found.values[keyword] and not all(image.is_certain(keyword) for image in images.values())
    ]
    if doubtful:
        yield f"{', '.join(doubtful)} in another character set than the images have, though their text is in doubt"


def series_number_check(objects: Sequence[Dataset], context: ResultContext) -> Check:
    """No series of results has the number of a series of the study, for which a viewer might take it."""
    numbers = [int(ds.SeriesNumber) for ds in objects if ds.get("SeriesNumber") is not None]
    twice = sorted(set(numbers) & context.series_numbers)
    detail = f"{twice[0]} is that of a series of the study" if twice else "no series of the study has them"
    return Check(name="series-numbers", passed=not twice, detail=detail)


def is_valid(keyword: str, values: Sequence[str]) -> bool:
    """Tell whether values fit the representation of their attribute (PS3.5 6.2)."""
    for value in values:
        try:
            validate_value(dictionary_VR(keyword), value.strip(" "), config.RAISE)
        except ValueError:
            return False
    return True


def _bytes(ds: Dataset, keyword: str) -> bytes:
    element: object = ds.get_item(Tag(keyword)) if keyword in ds else None
    value = element.value if isinstance(element, RawDataElement) else None
    return value.rstrip(b" \0") if isinstance(value, bytes) else b""


def _is_same(keyword: str, one: StoredText, other: StoredText) -> bool:
    if one.reading == other.reading and one.values[keyword] == other.values[keyword]:
        return True
    try:
        return one.text(keyword) == other.text(keyword)
    except UndecodableTextError:
        return False


def _is_fit(keyword: str, image: StoredText) -> bool:
    """Tell whether an image has a valid value (PS3.5 6.2)."""
    try:
        text = image.text(keyword)
    except UndecodableTextError:
        return False
    values = text.split("\\")
    if not text or (dictionary_VM(keyword) == "1" and len(values) > 1):
        return False
    return is_valid(keyword, values) and not (
        dictionary_VR(keyword) in {"DA", "TM"} and any("-" in value for value in values)
    )


def _name(text: str) -> str:
    """A name without padding of its components and without empty ones at the end (PS3.5 6.2.1)."""
    groups = [[part.strip(" ") for part in group.split("^")] for group in text.split("=")]
    return "=".join("^".join(group).rstrip("^") for group in groups).rstrip("=")
