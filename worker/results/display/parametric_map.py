"""Parametric Map objects (PS3.3 A.75): a heat map as floating point numbers on the frames of its source images.

Every slice has its frame, also where nothing is hot: OHIF 3.13 takes the n-th frame for as many images as the map has
frames, and fails on a map with fewer. The map is written here by hand, because the numbers then go to the file in one
piece: a library that splits and joins them by frame needs three times the memory.
"""

from __future__ import annotations

import logging

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ParametricMapStorage

from worker.domain.codes import Code
from worker.domain.errors import PermanentError
from worker.domain.findings import HeatMap
from worker.results.coding import code_item
from worker.results.context import EncoderInput
from worker.results.display.source_display import decimal, require_plane
from worker.results.evidence import SourceFrame
from worker.results.header import algorithm_parameters, apply_header, reference

log = logging.getLogger(__name__)

MAXIMUM_BYTES = 400 * 1024 * 1024
"""Of the numbers of one map; a larger one is shown on key images only."""

CONTENT_LABEL = "AI_DRAFT"

_DERIVATION = Code("112187", "DCM", "Unspecified method of calculation")
_SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
_QUANTITY = Code("246205007", "SCT", "Quantity")
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def is_mappable(heat_map: HeatMap, inputs: EncoderInput) -> bool:
    """Tell whether a Parametric Map can carry a heat map: it needs a place in the patient, and has to be sendable."""
    return inputs.conclusion.volume.in_patient_space and heat_map.values.nbytes <= MAXIMUM_BYTES


def encode_maps(inputs: EncoderInput) -> tuple[Dataset, ...]:
    """Encode every heat map that can be one, where the profile wants them; the others are for the key images.

    Raises PermanentError (``heat-map-off-grid`` or ``heat-map-not-finite``) when a heat map contradicts itself.
    """
    for heat_map in inputs.conclusion.heat_maps:
        _ensure_sound(heat_map, inputs)
    if not inputs.profile.heat_maps:
        return ()
    for heat_map in inputs.conclusion.heat_maps:
        if not is_mappable(heat_map, inputs):
            _log_fall_back(heat_map, inputs)
    return tuple(
        _encode(finding, inputs, part)
        for part, finding in enumerate(inputs.conclusion.findings)
        if isinstance(finding, HeatMap) and is_mappable(finding, inputs)
    )


def _log_fall_back(heat_map: HeatMap, inputs: EncoderInput) -> None:
    """Say that a heat map goes out on key images only: a site that waits for a map sees why there is none."""
    volume = inputs.conclusion.volume
    log.info(
        "heat-map-on-key-images-only",
        extra={
            "series_instance_uid": volume.series_instance_uid,
            "code": "map-too-large" if volume.in_patient_space else "no-place-in-the-patient",
            "size_bytes": heat_map.values.nbytes,
        },
    )


def _ensure_sound(heat_map: HeatMap, inputs: EncoderInput) -> None:
    shape = inputs.conclusion.volume.geometry.shape
    if heat_map.values.shape != shape or len(inputs.source.frames) != shape[0]:
        raise PermanentError(
            f"The heat map (shape {heat_map.values.shape}) is not on the grid of the volume (shape {shape}).",
            next_step="Report this to the provider of the model package.",
            code="heat-map-off-grid",
        )
    low, high = heat_map.value_range
    if not np.isfinite(heat_map.values).all() or not np.isfinite((low, high)).all() or not low < high:
        raise PermanentError(
            "The heat map holds values that are no numbers, or its value range is empty.",
            next_step="Report this to the provider of the model package.",
            code="heat-map-not-finite",
        )


def _encode(heat_map: HeatMap, inputs: EncoderInput, part: int) -> Dataset:
    source, title = inputs.source, inputs.stamp.algorithm.title
    ds = Dataset()
    ds.SOPClassUID = ParametricMapStorage
    ds.Modality = "OT"
    ds.FrameOfReferenceUID = source.header.FrameOfReferenceUID
    ds.PositionReferenceIndicator = source.header.get("PositionReferenceIndicator")
    ds.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"]
    ds.ContentLabel = CONTENT_LABEL
    ds.ContentDescription = f"AI DRAFT, not verified: {heat_map.label}"[:64]
    ds.ContentCreatorName = inputs.stamp.equipment.model_name.replace("^", " ")
    ds.ContentQualification = "RESEARCH"
    ds.ImageComments = "; ".join(("AI DRAFT, not verified", title, *algorithm_parameters(inputs.stamp.algorithm)))
    ds.BurnedInAnnotation = ds.RecognizableVisualFeatures = "NO"
    ds.LossyImageCompression = "00"
    for keyword in _LOSSY:
        if source.header.get(keyword) not in (None, ""):
            ds[keyword] = source.header[keyword]
    ds.PresentationLUTShape = "IDENTITY"
    ds.AcquisitionContextSequence = []
    _add_references(ds, inputs)
    _add_dimensions(ds, inputs.uids.dimension_organization(part))
    ds.SharedFunctionalGroupsSequence = [_shared(heat_map, inputs)]
    ds.PerFrameFunctionalGroupsSequence = [_own(frame, n) for n, frame in enumerate(source.frames)]
    _add_pixels(ds, heat_map)
    apply_header(ds, inputs.stamp, inputs.names("PM", part))
    return ds


def _add_references(ds: Dataset, inputs: EncoderInput) -> None:
    """Common Instance Reference (PS3.3 C.12.2): viewers find the images by it."""
    item = Dataset()
    item.SeriesInstanceUID = inputs.source.header.SeriesInstanceUID
    item.ReferencedInstanceSequence = [reference(*instance) for instance in inputs.source.instances]
    ds.ReferencedSeriesSequence = [item]


def _add_dimensions(ds: Dataset, uid: str) -> None:
    organization, index = Dataset(), Dataset()
    organization.DimensionOrganizationUID = index.DimensionOrganizationUID = uid
    index.DimensionIndexPointer = Tag("ImagePositionPatient")
    index.FunctionalGroupPointer = Tag("PlanePositionSequence")
    index.DimensionDescriptionLabel = "Image Position Patient"
    ds.DimensionOrganizationSequence, ds.DimensionIndexSequence = [organization], [index]


def _shared(heat_map: HeatMap, inputs: EncoderInput) -> Dataset:
    first, slice_mm = inputs.source.frames[0], inputs.conclusion.volume.geometry.spacing_mm[0]
    shared, measures, orientation, transformation, kind = (Dataset() for _ in range(5))
    plane = require_plane(first)
    measures.PixelSpacing = list(plane.spacing_mm)
    measures.SliceThickness = first.slice_thickness_mm or decimal(slice_mm)
    measures.SpacingBetweenSlices = decimal(slice_mm)
    orientation.ImageOrientationPatient = list(plane.orientation)
    transformation.RescaleIntercept, transformation.RescaleSlope, transformation.RescaleType = 0, 1, "US"
    kind.FrameType = ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"]
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    shared.PixelValueTransformationSequence = [transformation]
    shared.ParametricMapFrameTypeSequence = [kind]
    shared.FrameVOILUTSequence = [_window(heat_map)]
    shared.RealWorldValueMappingSequence = [_mapping(heat_map)]
    return shared


def _window(heat_map: HeatMap) -> Dataset:
    """The whole value range. LINEAR_EXACT: the usual function is not defined for widths below 1 (PS3.3 C.11.2.1.2)."""
    low, high = heat_map.value_range
    window = Dataset()
    window.WindowCenter, window.WindowWidth = decimal((low + high) / 2), decimal(high - low)
    window.VOILUTFunction = "LINEAR_EXACT"
    return window


def _mapping(heat_map: HeatMap) -> Dataset:
    """Real World Value Mapping (PS3.3 C.7.6.16.2.11): the stored numbers are the values, of this quantity and unit."""
    mapping, quantity = Dataset(), Dataset()
    low, high = heat_map.value_range
    mapping.LUTLabel = heat_map.unit.ucum[:16] or "VALUE"
    mapping.LUTExplanation = heat_map.label[:64]
    mapping.DoubleFloatRealWorldValueFirstValueMapped = min(low, float(heat_map.values.min()))
    mapping.DoubleFloatRealWorldValueLastValueMapped = max(high, float(heat_map.values.max()))
    mapping.RealWorldValueIntercept, mapping.RealWorldValueSlope = 0.0, 1.0
    mapping.MeasurementUnitsCodeSequence = [code_item(heat_map.unit.ucum, "UCUM", heat_map.unit.meaning)]
    quantity.ValueType = "CODE"
    quantity.ConceptNameCodeSequence = [_coded(_QUANTITY)]
    quantity.ConceptCodeSequence = [_coded(heat_map.quantity)]
    mapping.QuantityDefinitionSequence = [quantity]
    return mapping


def _own(frame: SourceFrame, number: int) -> Dataset:
    """Functional groups of one frame; ``number`` counts from 0."""
    own, content, position, derivation = (Dataset() for _ in range(4))
    content.DimensionIndexValues = [number + 1]
    position.ImagePositionPatient = list(require_plane(frame).position)
    image = reference(frame.sop_class_uid, frame.sop_instance_uid)
    if frame.number is not None:
        image.ReferencedFrameNumber = frame.number
    image.PurposeOfReferenceCodeSequence = [_coded(_SOURCE_IMAGE)]
    image.SpatialLocationsPreserved = "YES"
    derivation.DerivationCodeSequence = [_coded(_DERIVATION)]
    derivation.SourceImageSequence = [image]
    own.FrameContentSequence = [content]
    own.PlanePositionSequence = [position]
    own.DerivationImageSequence = [derivation]
    return own


def _add_pixels(ds: Dataset, heat_map: HeatMap) -> None:
    """Floating Point Image Pixel module (PS3.3 C.7.6.24): little endian, frames one after the other."""
    frames, rows, columns = heat_map.values.shape
    ds.NumberOfFrames, ds.Rows, ds.Columns = frames, rows, columns
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.BitsAllocated = 1, "MONOCHROME2", 32
    ds.FloatPixelData = np.ascontiguousarray(heat_map.values, dtype="<f4").tobytes()


def _coded(code: Code) -> Dataset:
    return code_item(code.value, code.scheme, code.meaning)
