"""What every result must have, cut away piece by piece: the gate must notice each one.

Complements ``test_gate``, which changes what objects say; here it is absent, or not the worker's to say.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.unit.gate.test_gate import SEG, SR, TEXT, Good, cut, evidence, first, frame, num, put, source
from tests.unit.results import given, reading
from worker.results.encoder import DicomEncoder

pytestmark = pytest.mark.slow

OBJECTS = {"SEG": SEG, "SR": SR, "TEXT": TEXT}

HEADER = (
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientAge", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "Manufacturer",
    "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions", "ContentDate", "ContentTime", "InstanceNumber",
    "SeriesDate", "SeriesTime", "SeriesNumber", "SeriesDescription", "Modality", "ContributingEquipmentSequence",
)  # fmt: skip
REPORT = (
    "CompletionFlag", "VerificationFlag", "PreliminaryFlag", "ReferencedPerformedProcedureStepSequence",
    "PerformedProcedureCodeSequence", "CurrentRequestedProcedureEvidenceSequence", "ContentTemplateSequence",
    "ConceptNameCodeSequence", "ContentSequence", "ContinuityOfContent", "ValueType",
)  # fmt: skip
SEGMENTATION = (
    "FrameOfReferenceUID", "PositionReferenceIndicator", "ReferencedSeriesSequence", "ImageType", "SegmentationType",
    "BitsAllocated", "BitsStored", "HighBit", "PhotometricInterpretation", "PixelRepresentation", "SamplesPerPixel",
    "LossyImageCompression", "ContentLabel", "ContentDescription", "ContentCreatorName", "SegmentsOverlap",
    "DimensionIndexSequence", "DimensionOrganizationSequence", "Rows", "NumberOfFrames",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "SegmentSequence", "PixelData",
)  # fmt: skip
SEGMENT = (
    "SegmentNumber", "SegmentLabel", "SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence",
    "SegmentAlgorithmType", "SegmentAlgorithmName", "SegmentationAlgorithmIdentificationSequence",
    "RecommendedDisplayCIELabValue", "TrackingID", "TrackingUID",
)  # fmt: skip
ALGORITHM = ("AlgorithmFamilyCodeSequence", "AlgorithmName", "AlgorithmVersion", "AlgorithmParameters")
MEASURES = ("SliceThickness", "PixelSpacing")
OF_FRAME = ("FrameContentSequence", "PlanePositionSequence", "SegmentIdentificationSequence")

ROOT = {
    "121049": "language", "121005": "observer type", "121012": "device UID", "121013": "device name",
    "121014": "device manufacturer", "121015": "device model", "121058": "procedure", "126010": "measurements",
}  # fmt: skip
GROUP = {
    "112039": "tracking identifier", "112040": "tracking UID", "121071": "finding", "276214006": "finding category",
    "272741003": "laterality", "111001": "algorithm name",
    "111003": "algorithm version", "111000": "algorithm family", "122405": "algorithm manufacturer",
    "111030": "region",
}  # fmt: skip


def segment(ds: Dataset) -> Dataset:
    return ds.SegmentSequence[0]


def shared(ds: Dataset) -> Dataset:
    return ds.SharedFunctionalGroupsSequence[0]


def within(where: Callable[[Dataset], Dataset], keyword: str) -> Callable[[Dataset], object]:
    return lambda ds: delattr(where(ds), keyword)


def of_first_group(code: str) -> Callable[[Dataset], object]:
    return lambda ds: reading.drop(first(ds, "125007"), code)


def measures(ds: Dataset) -> Dataset:
    return shared(ds).PixelMeasuresSequence[0]


def algorithm(ds: Dataset) -> Dataset:
    return segment(ds).SegmentationAlgorithmIdentificationSequence[0]


def as_the_images(ds: Dataset) -> None:
    ds.SeriesInstanceUID = evidence(ds).ReferencedSeriesSequence[0].SeriesInstanceUID


def dimension(value: int) -> Callable[[Dataset], None]:
    def change(ds: Dataset) -> None:
        content = frame(ds).FrameContentSequence[0]
        content.DimensionIndexValues = [*content.DimensionIndexValues[:-1], value]

    return change


SEEDED: dict[str, tuple[int, Callable[[Dataset], object]]] = {
    **{f"{name}: no {keyword}": (at, cut(keyword)) for name, at in OBJECTS.items() for keyword in HEADER},
    **{f"{name}: no {keyword}": (OBJECTS[name], cut(keyword)) for name in ("SR", "TEXT") for keyword in REPORT},
    **{f"SEG: no {keyword}": (SEG, cut(keyword)) for keyword in SEGMENTATION},
    **{f"SEG: segment without {keyword}": (SEG, within(segment, keyword)) for keyword in SEGMENT},
    **{f"SEG: algorithm without {keyword}": (SEG, within(algorithm, keyword)) for keyword in ALGORITHM},
    **{f"SEG: measures without {keyword}": (SEG, within(measures, keyword)) for keyword in MEASURES},
    **{f"SEG: frame without {keyword}": (SEG, within(frame, keyword)) for keyword in OF_FRAME},
    **{f"SR: no {name}": (SR, lambda ds, code=code: reading.drop(ds, code)) for code, name in ROOT.items()},
    **{f"SR: group without {name}": (SR, of_first_group(code)) for code, name in GROUP.items()},
    "SEG: no plane orientation": (SEG, within(shared, "PlaneOrientationSequence")),
    "SEG: no pixel measures": (SEG, within(shared, "PixelMeasuresSequence")),
    "SEG: source without purpose": (SEG, within(source, "PurposeOfReferenceCodeSequence")),
    "SEG: source with another purpose": (
        SEG, lambda ds: setattr(source(ds).PurposeOfReferenceCodeSequence[0], "CodeValue", "121324"),
    ),
    "SEG: a gap in the numbers of segments": (SEG, lambda ds: setattr(ds.SegmentSequence[1], "SegmentNumber", 3)),
    "SEG: outlined by hand": (SEG, lambda ds: setattr(segment(ds), "SegmentAlgorithmType", "MANUAL")),
    "SEG: another colour": (SEG, lambda ds: setattr(segment(ds), "RecommendedDisplayCIELabValue", [1, 2, 3])),
    "SEG: an original": (SEG, put("ImageType", ["ORIGINAL", "PRIMARY"])),
    "SEG: lossy": (SEG, put("LossyImageCompression", "01")),
    "SEG: inverted": (SEG, put("PhotometricInterpretation", "MONOCHROME1")),
    "SEG: a byte for each pixel": (SEG, put("BitsAllocated", 8)),
    "SEG: a content label that is none": (SEG, put("ContentLabel", "lower case label")),
    "SEG: images of another series": (
        SEG, lambda ds: setattr(ds.ReferencedSeriesSequence[0], "SeriesInstanceUID", "1.2.3"),
    ),
    "SEG: a dimension index with a gap": (SEG, dimension(99)),
    "SEG: a dimension index of another frame": (SEG, dimension(2)),
    "SR: in the series of the images": (SR, as_the_images),
    "SR: another SOP class": (SR, put("SOPClassUID", "1.2.840.10008.5.1.4.1.1.88.22")),
    "SR: another template": (SR, lambda ds: setattr(ds.ContentTemplateSequence[0], "TemplateIdentifier", "1501")),
    "SR: group without its template": (SR, within(lambda ds: first(ds, "125007"), "ContentTemplateSequence")),
    "SR: a number with 17 characters": (
        SR, lambda ds: setattr(num(ds).MeasuredValueSequence[0], "NumericValue", "1.234567890123456"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Good:
    study = given.a_study(Path(tmp_path_factory.mktemp("study")))
    conclusion = given.a_conclusion(study.volume, absent=("Trachea",))
    return Good(study, conclusion, DicomEncoder().encode(conclusion, study.evidence, given.CONTEXT))


def test_the_good_ones_pass(good: Good) -> None:
    assert good.check().passed, good.check().failures


@pytest.mark.parametrize("name", SEEDED)
def test_what_is_cut_is_noticed(good: Good, name: str) -> None:
    at, change = SEEDED[name]
    assert good.check(at=at, change=change).failures
