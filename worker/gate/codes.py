"""Gate checks of every code in an object: it is one of the standard's that results use, or one that was concluded.

What viewers show of a code is its meaning, so that has to be the one of the code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from worker.domain.codes import Code, Unit
from worker.gate.reading import code_of

Concept = tuple[str, str]
"""Code Value and Coding Scheme Designator."""

Known = Mapping[Concept, set[str]]
"""What each code may be said to mean."""

MEANINGS: dict[Concept, str] = {
    # Documents, who made them, and of what (TID 1001 to 1004, 1204, 1500, 2000, 2010)
    ("126000", "DCM"): "Imaging Measurement Report", ("18748-4", "LN"): "Diagnostic Imaging Report",
    ("113000", "DCM"): "Of Interest", ("113001", "DCM"): "Rejected for Quality Reasons",
    ("113012", "DCM"): "Key Object Description", ("121049", "DCM"): "Language of Content Item and Descendants",
    ("en-US", "RFC5646"): "English (United States)", ("121005", "DCM"): "Observer Type", ("121007", "DCM"): "Device",
    ("121012", "DCM"): "Device Observer UID", ("121013", "DCM"): "Device Observer Name",
    ("121014", "DCM"): "Device Observer Manufacturer", ("121015", "DCM"): "Device Observer Model Name",
    ("121016", "DCM"): "Device Observer Serial Number", ("121058", "DCM"): "Procedure reported",
    ("25045-6", "LN"): "CT unspecified body region", ("25056-3", "LN"): "MRI unspecified body region",
    ("44136-0", "LN"): "PET unspecified body region", ("49118-3", "LN"): "NM unspecified body region",
    ("77343006", "SCT"): "Angiography", ("43468-8", "LN"): "XR unspecified body region",
    ("363679005", "SCT"): "Imaging procedure", ("109101", "DCM"): "Acquisition Equipment",
    ("109102", "DCM"): "Processing Equipment",
    # Images and what was made of them (TID 1600 to 1604, CID 7202, 7203)
    ("111028", "DCM"): "Image Library", ("126200", "DCM"): "Image Library Group", ("121139", "DCM"): "Modality",
    ("112227", "DCM"): "Frame of Reference UID", ("110910", "DCM"): "Pixel Data Rows",
    ("110911", "DCM"): "Pixel Data Columns", ("111026", "DCM"): "Horizontal Pixel Spacing",
    ("111066", "DCM"): "Vertical Pixel Spacing", ("112225", "DCM"): "Slice Thickness",
    ("110901", "DCM"): "Image Position (Patient) X", ("110902", "DCM"): "Image Position (Patient) Y",
    ("110903", "DCM"): "Image Position (Patient) Z", ("110904", "DCM"): "Image Orientation (Patient) Row X",
    ("110905", "DCM"): "Image Orientation (Patient) Row Y", ("110906", "DCM"): "Image Orientation (Patient) Row Z",
    ("110907", "DCM"): "Image Orientation (Patient) Column X",
    ("110908", "DCM"): "Image Orientation (Patient) Column Y",
    ("110909", "DCM"): "Image Orientation (Patient) Column Z",
    ("121322", "DCM"): "Source image for image processing operation", ("113076", "DCM"): "Segmentation",
    ("112187", "DCM"): "Unspecified method of calculation", ("125040", "DCM"): "Background",
    ("246205007", "SCT"): "Quantity",
    # Measurement groups (TID 300, 1410, 1411, 1419, 1501, 4019)
    ("126010", "DCM"): "Imaging Measurements", ("125007", "DCM"): "Measurement Group",
    ("112039", "DCM"): "Tracking Identifier", ("112040", "DCM"): "Tracking Unique Identifier",
    ("121071", "DCM"): "Finding", ("276214006", "SCT"): "Finding category", ("363698007", "SCT"): "Finding Site",
    ("272741003", "SCT"): "Laterality", ("24028007", "SCT"): "Right", ("7771000", "SCT"): "Left",
    ("111030", "DCM"): "Image Region", ("130400", "DCM"): "Geometric purpose of region", ("111010", "DCM"): "Center",
    ("121191", "DCM"): "Referenced Segment", ("121232", "DCM"): "Source series for segmentation",
    ("121112", "DCM"): "Source of Measurement", ("260753009", "SCT"): "Source",
    ("370129005", "SCT"): "Measurement Method", ("121401", "DCM"): "Derivation",
    ("111001", "DCM"): "Algorithm Name", ("111003", "DCM"): "Algorithm Version",
    ("111002", "DCM"): "Algorithm Parameters", ("111000", "DCM"): "Algorithm Family",
    ("122405", "DCM"): "Algorithm Manufacturer", ("123110", "DCM"): "Artificial Intelligence",
    ("121106", "DCM"): "Comment",
    # What is measured and stated
    ("118565006", "SCT"): "Volume", ("42798000", "SCT"): "Area", ("410668003", "SCT"): "Length",
    ("122157", "DCM"): "Probability", ("121052", "DCM"): "Presence of property", ("121053", "DCM"): "Present",
    ("121054", "DCM"): "Absent", ("121059", "DCM"): "Presence Undetermined", ("260870009", "SCT"): "Priority",
    ("103391001", "SCT"): "Urgency",
    # Sections and elements of a text report (CID 7001 to 7003)
    ("121070", "DCM"): "Findings", ("121076", "DCM"): "Conclusions", ("121077", "DCM"): "Conclusion",
    ("121073", "DCM"): "Impression", ("121075", "DCM"): "Recommendation",
    ("121080", "DCM"): "Best illustration of finding",
    # Units
    ("%", "UCUM"): "Percent", ("mL", "UCUM"): "milliliter", ("mm", "UCUM"): "millimeter",
    ("mm2", "UCUM"): "square millimeter", ("{pixels}", "UCUM"): "pixels", ("{-1:1}", "UCUM"): "{-1:1}",
}  # fmt: skip
"""What the codes that results have beside the concluded ones mean (PS3.16)."""

_OF_THE_IMAGES = frozenset(
    {
        "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence", "PatientSpeciesCodeSequence",
        "PatientBreedCodeSequence", "BreedRegistrationSequence", "DeidentificationMethodCodeSequence",
        "IssuerOfAccessionNumberSequence", "ProcedureCodeSequence", "ReferringPhysicianIdentificationSequence",
        "ReferencedStudySequence", "AdmittingDiagnosesCodeSequence", "IssuerOfAdmissionIDSequence",
        "ReferencedRequestSequence",
    }
)  # fmt: skip
"""Copied: compared with the images, whatever codes they have."""


def known_meanings(findings: object, modality: str = "") -> dict[Concept, set[str]]:
    """What codes may be said to mean: what the standard calls them, and what the model does that concluded them."""
    known: dict[Concept, set[str]] = {concept: {meaning} for concept, meaning in MEANINGS.items()}
    for one in codes.cid29.concepts.values():
        if one.value == modality:
            known[one.value, one.scheme_designator] = {one.meaning}
    for concept, meaning in concluded_codes(findings):
        known.setdefault(concept, set()).add(meaning)
    return known


def concluded_codes(value: object) -> Iterator[tuple[Concept, str]]:
    """Every code and unit of what was concluded, with its meaning."""
    match value:
        case Code():
            yield (value.value, value.scheme), value.meaning
        case Unit():
            yield (value.ucum, "UCUM"), value.meaning
        case tuple():
            for one in value:
                yield from concluded_codes(one)
        case _ if is_dataclass(value):
            for field in fields(value):
                yield from concluded_codes(getattr(value, field.name))
        case _:
            pass


def meaning_of_code(holder: Dataset, keyword: str, known: Known) -> Iterator[str]:
    """Compare a code with those that are known, and its meaning; a LO has at most 64 characters."""
    found = holder.get(keyword)
    if not found:
        return
    concept = code_of(holder, keyword)
    right = {form.strip() for meaning in known.get(concept, set()) for form in (meaning, meaning[:64])}
    if not right:
        yield f"{' '.join(concept)} is no code that was concluded or belongs to a result"
    elif str(found[0].get("CodeMeaning") or "").strip() not in right:
        yield f"{' '.join(concept)} is said to mean something else"


def code_problems(ds: Dataset, known: Known) -> Iterator[str]:
    """Compare every code of an object, at any depth, but for what it copies from the images."""
    for element in ds:
        if element.VR != "SQ" or element.keyword in _OF_THE_IMAGES or not element.value:
            continue
        if any("CodeMeaning" in item for item in element.value):
            yield from meaning_of_code(ds, element.keyword, known)
            if len(element.value) > 1:
                yield f"{element.keyword} has several codes"
        for item in element.value:
            yield from code_problems(item, known)
