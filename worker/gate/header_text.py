"""Gate checks of what headers say in words: series, equipment, the model and its evidence, coding schemes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset

from worker import __version__
from worker.domain.implementation import MANUFACTURER, MODEL_NAME
from worker.domain.model import Algorithm
from worker.domain.profile import Profile
from worker.domain.result import Check
from worker.gate.codes import Known
from worker.gate.reading import EvidenceHeaders, checked, code_of
from worker.gate.stored_text import READ, SEQUENCES, StoredText

_SERIES = {
    "seg": "segmentation", "sr": "measurements", "text": "text report", "kos": "replaced results", "pm": "heat maps",
    "sc": "key images", "key": "key objects", "pr": "presentation state",
}  # fmt: skip
_ALIKE = (
    "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "DeviceUID", "StationName",
    "InstitutionalDepartmentName", "ContentDate", "ContentTime",
)  # fmt: skip
"""The same in all objects of a job: they are from one installation, and of one moment."""

_FULL = 1024
"""Characters of Contribution Description (ST), behind which notes are cut off."""

_ALSO_COPIED = (
    "LossyImageCompression", "LossyImageCompressionRatio", "PregnancyStatus", "SOPClassUID", "SOPInstanceUID",
    "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
)  # fmt: skip
_REASON = (
    r"(?:has several values, where one is allowed|is no valid [A-Z]{2}|is none of 00, 01|"
    r"is of another value representation|"
    r"cannot be read(?: in the character set of the images)?|is no sequence that can be copied|"
    r"is in another character set than the rest|holds a value that .+?)"
)
_NOTE = re.compile(
    r" (?:(?:An item of )?(?P<left>[^.]+?) is left out of the results|(?P<kept>[^.]+?) is copied as it stands): "
    rf"in the images it {_REASON}\.(?= |\Z)"
)


@dataclass(frozen=True, slots=True)
class Said:
    """What the headers of a set have to say: of which model, and of what; ``series`` replaces the usual words.

    ``known`` are the codes that may stand in the objects.
    """

    algorithm: Algorithm
    known: Known
    series: str = ""


def word_problems(ds: Dataset, name: str, said: Said, profile: Profile) -> Iterator[str]:
    """What an object says of its series, its content and the device that made it; ``name`` is its kind."""
    title = said.algorithm.title
    pairs = [
        ("SeriesDescription", f"{profile.series_prefix} {said.series or _SERIES[name]}: {title}".strip()[:64]),
        ("Manufacturer", MANUFACTURER),
        ("ManufacturerModelName", MODEL_NAME),
        ("SoftwareVersions", __version__),
    ]
    if name in {"seg", "pr"}:
        pairs.append(("ContentDescription", f"AI DRAFT, not verified: {title}"[:64]))
    if name in {"seg", "pr", "pm"}:
        pairs += [("ContentLabel", "AI_DRAFT"), ("ContentCreatorName", MODEL_NAME)]
    for keyword, expected in pairs:
        if text_of(ds, keyword) != expected.rstrip():
            yield f"{keyword} does not say what it has to"
    for part in ("Date", "Time"):
        if len({text_of(ds, f"{prefix}{part}") for prefix in ("InstanceCreation", "Series", "Content")}) > 1:
            yield f"there is more than one {part}"
    for item in ds.get("CodingSchemeIdentificationSequence") or []:
        yield from _scheme_problems(item)


def provenance_problems(ds: Dataset, said: Said, evidence: EvidenceHeaders) -> Iterator[str]:
    """The model with its version and digest, and the evidence; beside them only the device that made the images."""
    purposes = [code_of(item, "PurposeOfReferenceCodeSequence") for item in ds.ContributingEquipmentSequence]
    if purposes[-1:] != [("109102", "DCM")] or purposes[:-1] not in ([], [("109101", "DCM")]):
        yield "ContributingEquipmentSequence does not name the model (109102, DCM), and nothing but the images' device"
        return
    item, algorithm = ds.ContributingEquipmentSequence[-1], said.algorithm
    if f"evidence digest sha256:{evidence.digest}" not in str(item.ContributionDescription):
        yield "the evidence digest is not that of the evidence"
    for keyword, expected in (
        ("Manufacturer", algorithm.manufacturer or MANUFACTURER),
        ("ManufacturerModelName", algorithm.model.name),
        ("SoftwareVersions", algorithm.model.version),
    ):
        if text_of(item, keyword) != expected[:64].rstrip():
            yield f"{keyword} of the model's equipment is not that of the model"
    begin = f"AI model, package digest sha256:{algorithm.model.digest}, evidence digest sha256:{evidence.digest}"
    words = text_of(item, "ContributionDescription")
    if not words.startswith(begin) or not _are_notes(words[len(begin) :], len(words), evidence.texts):
        yield "the contribution of the model is not described by digests and by what was not copied alone"


def equipment_check(objects: Sequence[Dataset]) -> Check:
    """All objects of a job are from the same device, and of the same time."""
    return checked("equipment", f"the same in {len(objects)} objects", lambda: _different(objects))


def _different(objects: Sequence[Dataset]) -> Iterator[str]:
    for keyword in _ALIKE:
        if len({text_of(ds, keyword) for ds in objects}) > 1:
            yield f"{keyword} is not the same in all objects"


def text_of(ds: Dataset, keyword: str) -> str:
    """A value as text without padding; empty for what is absent."""
    value = ds.get(keyword)
    if value is None:
        return ""
    values = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
    return "\\".join(str(one) for one in values).rstrip()


def _scheme_problems(item: Dataset) -> Iterator[str]:
    designator = str(item.CodingSchemeDesignator)
    if not designator.startswith("99"):
        yield f"coding scheme {designator} is not private, and the standard says what it is"
    expected = f"Private codes {designator} of an AI model package", "The provider of the model package"
    if (text_of(item, "CodingSchemeName"), text_of(item, "CodingSchemeResponsibleOrganization")) != expected:
        yield f"coding scheme {designator} is called something else"


def _are_notes(words: str, length: int, images: Mapping[str, StoredText]) -> bool:
    """Tell whether words are notes on attributes of the images; the last may be cut off where there is no more room."""
    keywords = {*READ, *_ALSO_COPIED}
    keywords |= {
        keyword
        for image in images.values()
        for sequence in (*SEQUENCES, "RequestAttributesSequence")
        for item in image.items.get(sequence, ())
        for path, _ in item
        for keyword in path.split("/")
    }
    names = {dictionary_description(keyword) for keyword in keywords}
    while words:
        note = _NOTE.match(words)
        if note is None or (note["left"] or note["kept"]) not in names:
            return length >= _FULL - 1 and len(words) < _FULL // 4
        words = words[note.end() :]
    return True
