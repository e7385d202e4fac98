"""Gate checks of what results copy from the images: the same bytes or surely the same text, and nothing lost unsaid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from pydicom import config
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.valuerep import validate_value

from worker.domain.character_sets import UTF_8, UndecodableTextError
from worker.domain.profile import Profile
from worker.domain.result import Check, EncodedObject, ResultContext
from worker.gate.stored_text import (
    CONTRIBUTIONS,
    EQUIPMENT,
    IDENTITY,
    OF_SOME_IMAGE,
    REFERENCED_REQUESTS,
    REQUESTS,
    SEQUENCES,
    STUDY_AND_PATIENT,
    Leaf,
    StoredText,
    stored_text_of,
)


def identity_problems(item: EncodedObject, images: Mapping[str, StoredText]) -> Iterator[str]:
    """Who the patient is, compared with every image."""
    found = stored_text_of(item)
    for keyword in IDENTITY:
        if not all(_is_same(keyword, found, image) for image in images.values()):
            yield f"{keyword} differs from the evidence"
    if not found.values["PatientID"]:
        yield "PatientID is empty"


def copy_problems(item: EncodedObject, images: Mapping[str, StoredText]) -> Iterator[str]:
    """Each attribute is that of an image; it may be empty only where an image has no valid value."""
    found = stored_text_of(item)
    for keyword in STUDY_AND_PATIENT:
        if any(_is_same(keyword, found, image) for image in images.values()):
            continue
        if found.values[keyword]:
            yield f"{keyword} is that of no image"
        elif all(_is_fit(keyword, image) for image in images.values()):
            yield f"{keyword} is left out"
    for keyword in OF_SOME_IMAGE:
        if found.values[keyword] and not any(_is_same(keyword, found, image) for image in images.values()):
            yield f"{keyword} is that of no image"
    for keyword in SEQUENCES:
        theirs = [leaves for image in images.values() for leaves in image.leaves(keyword)]
        if not all(any(own <= one for one in theirs) for own in found.leaves(keyword)):
            yield f"an item of {keyword} is that of no image"
    yield from _request_problems(found, images)
    yield from _acquisition_problems(found, images)


def _request_problems(found: StoredText, images: Mapping[str, StoredText]) -> Iterator[str]:
    """What a document says of the order that it answers (PS3.3 C.17.2.1)."""
    theirs = [leaves for image in images.values() for leaves in image.leaves(REQUESTS)]
    for own in found.leaves(REFERENCED_REQUESTS):
        own -= {(keyword, found.text(keyword)) for keyword in ("StudyInstanceUID", "AccessionNumber")}
        if not any(own <= one for one in theirs):
            yield f"an item of {REFERENCED_REQUESTS} is that of no image"


def _acquisition_problems(found: StoredText, images: Mapping[str, StoredText]) -> Iterator[str]:
    """What is said of the device that made the images (109101, DCM)."""
    for own in found.leaves(CONTRIBUTIONS):
        if ("PurposeOfReferenceCodeSequence/CodeValue", "109101") not in own:
            continue
        said = {(path, text) for path, text in own if path in EQUIPMENT}
        rest = {(path, text) for path, text in own if path not in EQUIPMENT and "/" not in path}
        if not any(said <= _equipment(image) for image in images.values()):
            yield "the acquisition equipment is that of no image"
        if rest != {("ContributionDescription", "Acquisition of the analysed images")}:
            yield "more or less is said of the acquisition equipment than what it is"


def _equipment(image: StoredText) -> set[Leaf]:
    found = set()
    for keyword in EQUIPMENT:
        with suppress(UndecodableTextError):
            found.add((keyword, image.text(keyword)))
    return found


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
        for keyword in IDENTITY
        if found.values[keyword] and not all(image.is_certain(keyword) for image in images.values())
    ]
    doubtful += [
        keyword
        for keyword in STUDY_AND_PATIENT
        if found.values[keyword] and not any(image.is_certain(keyword) for image in images.values())
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
