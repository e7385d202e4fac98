"""What validators say although nothing is wrong: each with its reason. Whatever is not listed here counts.

A line holds for one validator, for messages that match, and, where it says so, for some kinds of object only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """``kinds`` is a pattern of the kinds of object for which it may be said (any by default)."""

    validator: str
    pattern: str
    reason: str
    kinds: str = ""

    def explains(self, validator: str, kind: str, message: str) -> bool:
        return (
            validator == self.validator
            and re.search(self.pattern, message) is not None
            and re.search(self.kinds, kind) is not None
        )


ERRORS = (
    Known(
        "dciodvfy",
        r"Conditional Element=<Laterality> Module=<GeneralSeries>",
        "Laterality is required for a paired body part. The images do not say which body part they show, so the tool "
        "cannot know that it is not one; nor can we.",
    ),
    Known(
        "dciodvfy",
        r"Shall not be present for Referenced SOP Class that is not segmentation - attribute <ReferencedSegmentNumber>",
        "The report refers to segments of a Label Map Segmentation, which is a segmentation (PS3.3 A.51, C.18.4). The "
        "tool's condition names the two older SOP classes only.",
        kinds=r"LABELMAP",
    ),
    Known(
        "dsrdump",
        r"Reading content item (CONTAINER|IMAGE) .*Invalid Value",
        "DCMTK 3.6.7 is older than Label Map Segmentation and does not know the SOP class that the report refers to.",
        kinds=r"LABELMAP",
    ),
    Known(
        "dcmpschk",
        r"patientName absent or empty",
        "The images of that study have no name either (type 2: it may be empty).",
    ),
    Known(
        "highdicom",
        r"does not have the required attributes for a Pixel Measures Sequence",
        "On projection and ultrasound images: highdicom 0.28 asks for a Slice Thickness, which a projection does not "
        "have (PS3.3 C.7.6.16.2.1: type 1C, required for volumetric images).",
        kinds=r"^Segmentation",
    ),
    Known(
        "PixelMed",
        r"Template 1411 .*Missing conditional content item",
        "The validator tries each group of a report against the templates 1410, 1411 and 1501; a line, which is a "
        "group of 1501, is taken for one of 1411 that lacks its region, when the report has groups of 1411 as well. "
        "The same groups in reports of one template each (profile slicer) have no error.",
        kinds=r"^Measurement report$",
    ),
    Known(
        "PixelMed",
        r'Code \(77343006,SCT,"Angiography"\) not found in context group 100',
        "The validator has context group 100 of 2019. Angiography was added to it later, and it is extensible.",
        kinds=r"^Measurement report",
    ),
    Known(
        "PixelMed",
        r"Purpose of Reference \(Concept\) is forbidden",
        "TID 2010 has no purpose of reference. The generic concept (260753009, SCT, Source) is what PS3.3 C.17.3 "
        "offers for readers that need a name on every item.",
        kinds=r"^Key object selection|^Rejection note",
    ),
)

WARNINGS = (
    Known(
        "dciodvfy",
        r"Attribute is not present in standard DICOM IOD|Standard Extended SOP Class",
        "Every composite object may carry more than its IOD lists (PS3.2 7.3, Standard Extended SOP Class). These come "
        "from the images (Other Patient IDs, Body Part Examined) or say when the content was made.",
    ),
    Known(
        "dciodvfy",
        r"[Rr]etired attribute",
        "Other Patient IDs (0010,1000) is copied from the images: the result belongs to the same patient everywhere.",
    ),
    Known(
        "dciodvfy",
        r"Value dubious for this VR .* PN .*Retired Person Name form",
        "A name of one component. That of the referring physician is copied from the images; the creator of the "
        "content is a program, which has no family name.",
    ),
    Known(
        "dciodvfy",
        r"would be needed to build DICOMDIR",
        "Study ID and Study Time are copied from the images, where they are empty; they may be (type 2).",
    ),
    Known(
        "dsrdump",
        r"VR checker does not support this Specific Character Set|Check for template constraints not yet supported",
        "The tool says what it does not check: UTF-8 text, and key object templates.",
    ),
    Known(
        "dsrdump",
        r"unknown image SOP class referenced|Reading invalid/incomplete content item IMAGE",
        "As above: Label Map Segmentation is younger than DCMTK 3.6.7.",
        kinds=r"LABELMAP",
    ),
    Known(
        "tid1500reader",
        r"VR checker does not support this Specific Character Set",
        "dcmqi is built with the same DCMTK.",
    ),
    Known(
        "PixelMed",
        r"Content Item not in template",
        "The tables are of June 2022 and do not have TID 4019 (algorithm identification) in every place where it is "
        "used now, nor newer rows. All of these templates are extensible (PS3.16 6.1.3).",
    ),
)


def unexplained(validator: str, kind: str, messages: list[str], known: tuple[Known, ...]) -> list[str]:
    """The messages that no line of ``known`` explains, each once."""
    kept = [one for one in messages if not any(line.explains(validator, kind, one) for line in known)]
    return list(dict.fromkeys(kept))
