"""Gate checks of a Parametric Map: its form, its meaning, and that every number lies where the model put it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset

from worker.domain.findings import HeatMap
from worker.domain.result import Check
from worker.gate.header_text import text_of
from worker.gate.reading import Inspection, checked, code_of
from worker.gate.seg.mask_agreement import tolerance_mm
from worker.gate.seg.reading import frames_of, plane_of
from worker.gate.sentences import parameters_of

LARGEST_BYTES = 400 * 1024 * 1024
"""Of the numbers of one map: larger ones are shown on key images only."""

_ON_IMAGE_MM = 0.01
_SAME_DIRECTION = 2e-3
_ROUNDING = 1e-6


def expected_maps(given: Inspection) -> tuple[HeatMap, ...]:
    """The heat maps that are to be sent as Parametric Maps: those with a place in the patient, and not too large."""
    if not given.profile.heat_maps or not given.conclusion.volume.in_patient_space:
        return ()
    return tuple(one for one in given.conclusion.heat_maps if one.values.nbytes <= LARGEST_BYTES)


def map_checks(ds: Dataset, heat_map: HeatMap, given: Inspection) -> Iterator[Check]:
    """Yield the checks of one Parametric Map against the heat map that it encodes."""
    yield checked("pm-form", "float, complete pixel data", lambda: _form(ds, given))
    yield checked("pm-meaning", "quantity, unit and range as concluded", lambda: _meaning(ds, heat_map))
    yield checked("pm-said", "called what was concluded, as a draft", lambda: _said(ds, heat_map, given))
    yield checked("pm-references", "all analysed images, nothing else", lambda: _references(ds, given))
    yield checked("pm-frames", f"{ds.get('NumberOfFrames')} frames on their images", lambda: _frames(ds, given))
    yield checked("pm-values", "every number is where the model put it", lambda: _values(ds, heat_map, given))


def _form(ds: Dataset, given: Inspection) -> Iterator[str]:
    for keyword, expected in (
        ("BitsAllocated", 32),
        ("SamplesPerPixel", 1),
        ("PhotometricInterpretation", "MONOCHROME2"),
        ("PresentationLUTShape", "IDENTITY"),
        ("BurnedInAnnotation", "NO"),
        ("RecognizableVisualFeatures", "NO"),
        ("ContentQualification", "RESEARCH"),
    ):
        if ds[keyword].value != expected:
            yield f"{keyword} is {ds[keyword].value}, expected {expected}"
    for keyword in ("PixelData", "DoubleFloatPixelData", "BitsStored", "PixelRepresentation"):
        if keyword in ds:
            yield f"{keyword} beside Float Pixel Data"
    kind = ds.SharedFunctionalGroupsSequence[0].ParametricMapFrameTypeSequence[0]
    if any(list(types) != ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"] for types in (ds.ImageType, kind.FrameType)):
        yield "ImageType or Frame Type is not DERIVED\\PRIMARY\\VOLUME\\QUANTITY"
    frames, slices = int(ds.NumberOfFrames), len(given.conclusion.volume.slices)
    if frames != len(ds.PerFrameFunctionalGroupsSequence):
        yield f"NumberOfFrames is {frames}, described are {len(ds.PerFrameFunctionalGroupsSequence)}"
    if frames != slices:
        yield f"{frames} frames for {slices} slices: viewers need one for each"
    if len(ds.FloatPixelData) != frames * ds.Rows * ds.Columns * 4:
        yield f"pixel data has {len(ds.FloatPixelData)} bytes, {frames} frames need {frames * ds.Rows * ds.Columns * 4}"
    transformation = ds.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0]
    if (float(transformation.RescaleSlope), float(transformation.RescaleIntercept)) != (1.0, 0.0) or (
        transformation.RescaleType != "US"
    ):
        yield "the stored numbers are rescaled"
    indices = [str(item.FrameContentSequence[0].DimensionIndexValues) for item in ds.PerFrameFunctionalGroupsSequence]
    if len(set(indices)) != len(indices):
        yield "two frames share their dimension index values"


def _meaning(ds: Dataset, heat_map: HeatMap) -> Iterator[str]:
    shared = ds.SharedFunctionalGroupsSequence[0]
    mapping = shared.RealWorldValueMappingSequence[0]
    if code_of(mapping, "MeasurementUnitsCodeSequence") != (heat_map.unit.ucum, "UCUM"):
        yield "the unit is not as concluded"
    quantity = mapping.QuantityDefinitionSequence[0]
    if code_of(quantity) != ("246205007", "SCT"):
        yield "the quantity is not called one"
    if code_of(quantity, "ConceptCodeSequence") != (heat_map.quantity.value, heat_map.quantity.scheme):
        yield "the quantity is not as concluded"
    if (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) != (1.0, 0.0):
        yield "the numbers are mapped to others"
    first = mapping.DoubleFloatRealWorldValueFirstValueMapped
    last = mapping.DoubleFloatRealWorldValueLastValueMapped
    if not (first <= float(heat_map.values.min()) and float(heat_map.values.max()) <= last):
        yield "the mapping does not cover all numbers"
    window, (low, high) = shared.FrameVOILUTSequence[0], heat_map.value_range
    centre, width = float(window.WindowCenter), float(window.WindowWidth)
    room = _ROUNDING * max(abs(low), abs(high))
    if abs(centre - width / 2 - low) > room or abs(centre + width / 2 - high) > room:
        yield "the window is not the value range"
    if window.get("VOILUTFunction") != "LINEAR_EXACT":
        yield f"VOILUTFunction is {window.get('VOILUTFunction')}, which is not defined for every width"


def _said(ds: Dataset, heat_map: HeatMap, given: Inspection) -> Iterator[str]:
    """What viewers write beside a map."""
    algorithm = given.conclusion.algorithm
    mapping = ds.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    comments = "; ".join(("AI DRAFT, not verified", algorithm.title, *parameters_of(algorithm)))
    for holder, keyword, expected in (
        (ds, "ContentDescription", f"AI DRAFT, not verified: {heat_map.label}"[:64]),
        (ds, "ImageComments", comments),
        (mapping, "LUTLabel", heat_map.unit.ucum[:16] or "VALUE"),
        (mapping, "LUTExplanation", heat_map.label[:64]),
        (mapping.QuantityDefinitionSequence[0], "ValueType", "CODE"),
        (ds.DimensionIndexSequence[0], "DimensionDescriptionLabel", "Image Position Patient"),
    ):
        if text_of(holder, keyword) != expected.rstrip():
            yield f"{keyword} does not say what it has to"
    stated = {str(image.get("LossyImageCompression") or "") for image in given.evidence.by_instance.values()}
    if ds.LossyImageCompression not in {"01" if "01" in stated else "00", *stated}:
        yield f"LossyImageCompression is {ds.LossyImageCompression}, which no image says"


def _references(ds: Dataset, given: Inspection) -> Iterator[str]:
    volume, evidence = given.conclusion.volume, given.evidence
    (series,) = ds.ReferencedSeriesSequence
    if str(series.SeriesInstanceUID) != volume.series_instance_uid:
        yield f"refers to series {series.SeriesInstanceUID}"
    named = {str(i.ReferencedSOPInstanceUID): str(i.ReferencedSOPClassUID) for i in series.ReferencedInstanceSequence}
    if set(named) != {str(ref.sop_instance_uid) for ref in volume.slices}:
        yield f"names {len(named)} images, which are not those that were analysed"
    for uid in named.keys() & evidence.by_instance.keys():
        if named[uid] != str(evidence.by_instance[uid].SOPClassUID):
            yield f"wrong SOP class for {uid}"
    found = str(ds.FrameOfReferenceUID)
    if {str(evidence.by_instance[ref.sop_instance_uid].FrameOfReferenceUID) for ref in volume.slices} != {found}:
        yield f"Frame of Reference {found} is not that of the images"


def _frames(ds: Dataset, given: Inspection) -> Iterator[str]:
    for frame, own in zip(frames_of(ds), ds.PerFrameFunctionalGroupsSequence, strict=True):
        uid, frame_number = frame.source
        image = given.evidence.by_instance.get(uid)
        name = f"frame {frame.number + 1}"
        if image is None:
            yield f"{name} was made from {uid}, which is not among the evidence"
            continue
        position, orientation, spacing = plane_of(image, frame_number)
        (derivation,) = own.DerivationImageSequence
        if code_of(derivation, "DerivationCodeSequence") != ("112187", "DCM"):
            yield f"{name} does not call its derivation an unspecified calculation"
        if frame.source_class != str(image.SOPClassUID) or frame.purpose != "121322" or frame.preserved != "YES":
            yield f"{name} names its source with a wrong class or purpose"
        if (ds.Rows, ds.Columns) != (image.Rows, image.Columns):
            yield f"frames have {ds.Rows} x {ds.Columns} pixels, the images {image.Rows} x {image.Columns}"
        if frame.position is None or frame.orientation is None or frame.spacing is None:
            yield f"{name} has no place"
            continue
        if np.linalg.norm(frame.position - position) > _ON_IMAGE_MM:
            yield f"{name} lies off its image"
        if not np.allclose(frame.orientation, orientation, rtol=0, atol=_SAME_DIRECTION):
            yield f"{name} is turned against its image"
        if not np.allclose(frame.spacing, spacing, rtol=1e-4):
            yield f"{name} has another pixel spacing than its image"


def _values(ds: Dataset, heat_map: HeatMap, given: Inspection) -> Iterator[str]:
    """Compare every frame with the slice of the model's array on which it says that it lies."""
    volume = given.conclusion.volume
    slices = {(str(ref.sop_instance_uid), ref.frame_number): k for k, ref in enumerate(volume.slices)}
    stored = np.frombuffer(ds.FloatPixelData, dtype="<f4").reshape(-1, ds.Rows, ds.Columns)
    limit_mm = tolerance_mm(given.conclusion)
    seen: set[int] = set()
    for frame in frames_of(ds):
        index = slices.get(frame.source)
        if index is None or index in seen or frame.position is None:
            yield f"frame {frame.number + 1} belongs to no analysed slice, or to one that has a frame"
            continue
        seen.add(index)
        corner = volume.geometry.affine_lps @ np.array([index, 0, 0, 1.0])
        if np.linalg.norm(frame.position - corner[:3]) > limit_mm:
            yield f"frame {frame.number + 1} lies off slice {index + 1} of the volume"
        if not np.array_equal(stored[frame.number], heat_map.values[index]):
            yield f"frame {frame.number + 1} does not hold the numbers of slice {index + 1}"
