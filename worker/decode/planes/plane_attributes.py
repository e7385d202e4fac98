"""What kind of image a plane is, beside where it lies, and which of that may differ within one volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from math import isfinite
from typing import Final

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from worker.functional_groups.groups import items_of
from worker.headers.attributes import Attributes, plain_attributes, values_of

Marks = Mapping[str, tuple[str, ...]]
"""Values by keyword, of those attributes below that a plane has."""

CONTRAST: Final = ("ContrastBolusAgent", "ContrastBolusAgentAdministered", "ContrastBolusAgentPhase")
"""Where one plane has none of these and another has, contrast was given between them."""

TEMPORAL: Final = ("TemporalPositionIndex", "TemporalPositionIdentifier")

TYPES: Final = ("FrameType", "ImageType")

INCOMPARABLE: Final = (
    *TEMPORAL,
    # MR (PS3.3 C.8.3.1, C.8.13.5)
    "EffectiveEchoTime", "EchoTime", "EchoNumbers", "DiffusionBValue", "DiffusionGradientOrientation",
    "DiffusionDirectionality", "InversionTime", "InversionTimes", "ASLContext", "VelocityEncodingDirection",
    "MetaboliteMapDescription",
    # CT (C.8.2.1, C.8.15.3)
    "ConvolutionKernel", "ReconstructionAlgorithm", "ImageFilter", "KVP", "MonoenergeticEnergyEquivalent",
    "EnergyWeightingFactor", "DecompositionMethod",
    # PET (C.8.9.1), and what values are measured in
    "Units", "SUVType", "MeasurementUnits", "RescaleType", "CorrectedImage", "DecayCorrection",
    "AttenuationCorrectionMethod", "ReconstructionMethod", "ReconstructionType", "CountsSource", "SeriesType",
    "RadiopharmaceuticalAgentNumber",
    # any
    *TYPES, "ComplexImageComponent", "AcquisitionContrast", *CONTRAST,
    "NominalPercentageOfCardiacPhase", "CardiacCyclePosition", "NominalPercentageOfRespiratoryPhase",
    "RespiratoryCyclePosition",
)  # fmt: skip
"""Values under two of these cannot be compared: their planes are no one volume, however they lie."""

ADMINISTRATIVE: Final = (
    "AcquisitionNumber", "FrameAcquisitionNumber", "AcquisitionDate", "SeriesTime", "IrradiationEventUID",
    "AcquisitionUID", "TriggerTime", "NominalCardiacTriggerDelayTime", "FlipAngle", "RepetitionTime",
    "ScanningSequence", "SequenceVariant", "SequenceName", "ScanOptions", "MagnetizationTransfer", "SliceThickness",
    "FilterType", "AcquisitionType", "ReconstructionDiameter", "ContrastBolusStartTime", "ContrastBolusVolume",
    "SeriesNumber", "SeriesDescription", "ProtocolName", "DerivationDescription",
)  # fmt: skip
"""One volume may be made of parts that differ in these, one after the other; not from plane to plane."""

PASSES: Final = frozenset(
    {
        "AcquisitionNumber", "FrameAcquisitionNumber", "TriggerTime", "NominalCardiacTriggerDelayTime",
        "RepetitionTime",
    }
)  # fmt: skip
"""Of MR, slices are excited in several passes, every second in each: they differ in these, and are one volume as long
as they do not overlap."""

TIMES: Final = ("AcquisitionDateTime", "FrameAcquisitionDateTime", "AcquisitionTime")
"""A scanner moves along the patient once: within one volume of CT or PET these rise, or fall."""

OTHER_TIMES: Final = ("FrameReferenceTime", "FrameReferenceDateTime", "ActualFrameDuration", "ContentTime")

TELLS_APART: Final = ("StackID", *INCOMPARABLE, *ADMINISTRATIVE, *TIMES, *OTHER_TIMES)
"""By which several images at one position may differ, most telling first."""

_MARKS: Final = frozenset((*TELLS_APART, "Modality"))

ALMOST: Final = 0.01
"""Physical quantities that differ by no more than this part are one setting."""

_OF_EXPORT: Final = frozenset(
    {"ContentTime", "SeriesNumber", "SeriesDescription", "SeriesTime", "ProtocolName", "DerivationDescription"}
)
"""What may change when an image is exported once more."""

_DIRECTION: Final = "DiffusionGradientOrientation"

_ALMOST_EQUAL: Final = frozenset(
    {
        _DIRECTION,
        "EffectiveEchoTime", "EchoTime", "DiffusionBValue", "InversionTime", "InversionTimes", "KVP",
        "MonoenergeticEnergyEquivalent", "FlipAngle", "RepetitionTime", "SliceThickness", "TriggerTime",
        "NominalCardiacTriggerDelayTime", "ReconstructionDiameter", "NominalPercentageOfCardiacPhase",
        "NominalPercentageOfRespiratoryPhase",
    }
)  # fmt: skip

_PRIVATE_B_VALUES: Final = (
    (0x0019, "SIEMENS MR HEADER", 0x0C, "IS"),
    (0x0043, "GEMS_PARM_01", 0x39, "IS"),
    (0x2001, "Philips Imaging DD 001", 0x03, "FL"),
    (0x0065, "Image Private Header", 0x09, "FD"),
)
"""Where vendors write the b-value of a single-frame image without the standard's: group, creator, element, VR."""

_ENERGIES: Final = ("MultienergyCTCharacteristicsSequence", "MultienergyCTProcessingSequence")


def marks_of(attributes: Attributes, dataset: Dataset | None = None) -> dict[str, tuple[str, ...]]:
    """What tells the plane of these attributes from others.

    Parameters
    ----------
    attributes:
        Of the plane.
    dataset:
        Of a single-frame image: where vendors hide what the standard has no place for is looked at as well.
    """
    found: dict[str, tuple[str, ...]] = {name: attributes[name] for name in attributes.keys() & _MARKS}
    if dataset is not None:
        if "DiffusionBValue" not in found and (b_value := _private_b_value(dataset)):
            found["DiffusionBValue"] = b_value
        for sequence in _ENERGIES:
            for item in items_of(dataset, sequence) if sequence in dataset else []:
                energies = plain_attributes(item)
                found.update({name: energies[name] for name in INCOMPARABLE if name in energies})
    return found


def _private_b_value(dataset: Dataset) -> tuple[str, ...]:
    for group, creator, offset, vr in _PRIVATE_B_VALUES:
        if values := private_values(dataset, group, creator, offset, vr=vr):
            return values[:1]
    return ()


def private_values(dataset: Dataset, group: int, creator: str, offset: int, *, vr: str) -> tuple[str, ...]:
    """Values of a private element of a vendor; ``vr`` is what it has where the data set does not say."""
    if dataset.keys().isdisjoint(_creators(group)):
        return ()
    try:
        tag = dataset.private_block(group, creator).get_tag(offset)
    except KeyError:
        return ()
    if tag not in dataset:
        return ()
    element: RawDataElement | DataElement = dataset.get_item(tag)
    if isinstance(element, RawDataElement) and element.VR in (None, "UN"):
        element = element._replace(VR=vr)
    return values_of(element, encodings=["iso8859"], signed=False)


@cache
def _creators(group: int) -> frozenset[int]:
    """Tags at which vendors may reserve elements of a private group (PS3.5 7.8.1)."""
    return frozenset(range(group << 16 | 0x10, group << 16 | 0x100))


def settings_of(keyword: str, values: Sequence[tuple[str, ...]]) -> list[int]:
    """Number the settings of an attribute: equal numbers are one setting, written differently or not quite the same.

    Returns
    -------
    list of int
        For each of ``values`` the number of its setting, in the order of their first appearance; -1 for an absent one.
    """
    known: dict[tuple[str, ...] | tuple[float, ...], int] = {}
    numbers: dict[tuple[str, ...], int] = {}
    settings = 0
    for value in dict.fromkeys(values):  # planes by the thousand have few settings
        plain = _comparable(keyword, value)
        if not plain:
            numbers[value] = -1
            continue
        if plain not in known:
            candidates = known.items() if keyword in _ALMOST_EQUAL else ()
            known[plain] = next((number for other, number in candidates if _alike(keyword, plain, other)), settings)
            settings = max(settings, known[plain] + 1)
        numbers[value] = known[plain]
    return [numbers[value] for value in values]


def are_alike(one: Marks, other: Marks) -> bool:
    """Whether two images may be one that was sent twice: they differ in nothing but what an export writes."""
    for keyword in TELLS_APART:
        if keyword in _OF_EXPORT:
            continue
        first = 1 if keyword in TYPES else 0
        a, b = settings_of(keyword, [one.get(keyword, ())[first:], other.get(keyword, ())[first:]])
        if a != b:
            return False
    return True


def _comparable(keyword: str, values: tuple[str, ...]) -> tuple[str, ...] | tuple[float, ...]:
    if keyword not in TIMES and keyword != "SeriesDescription":
        with suppress(ValueError):
            numbers = tuple(map(float, values))
            if all(map(isfinite, numbers)):  # "nan" and "inf" lie near to everything, or to nothing
                return numbers
    words = [value.strip().casefold() for value in values]
    while words and not words[-1]:
        words.pop()
    return tuple(sorted(words) if keyword == "CorrectedImage" else words)


def _alike(keyword: str, one: Sequence[str | float], other: Sequence[str | float]) -> bool:
    if len(one) != len(other):
        return False
    for a, b in zip(one, other, strict=True):
        if not isinstance(a, float) or not isinstance(b, float):
            return False
        if abs(a - b) > ALMOST * (1.0 if keyword == _DIRECTION else max(abs(a), abs(b))):
            return False
    return True
