"""Comprehensive 3D SR with the Measurement Report template (PS3.3 A.35.13, PS3.16 TID 1500).

Each structure is two measurement groups under one tracking UID: TID 1410 with its outline on an image, which is what
viewers draw, and TID 1411 with its SEG segment and its volume. OHIF merges the two; a tracking UID without an outline
would keep it from opening the report at all.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from worker.domain.codes import MILLILITRE, SQUARE_MILLIMETRE, Unit
from worker.domain.errors import PermanentError
from worker.domain.findings import Measurement, Segment
from worker.domain.model import Algorithm
from worker.domain.result import ResultContext, ResultKind
from worker.domain.study import SOPClassUID, SOPInstanceUID
from worker.domain.volume import Volume
from worker.results.coding import (
    AREA,
    ARTIFICIAL_INTELLIGENCE,
    DEVICE,
    ENGLISH,
    IMAGING_MEASUREMENT_REPORT,
    VOLUME,
    is_anatomical,
    procedure_reported,
    to_dicom,
)
from worker.results.header import (
    SeriesNames,
    Stamp,
    algorithm_parameters,
    apply_header,
    references,
    request_items,
)
from worker.results.identity import Equipment
from worker.results.making import Making
from worker.results.seg import EncodedSeg
from worker.results.source import Source, SourceFrame
from worker.results.sr_skeletons import image_skeletons, seg_skeleton
from worker.results.structures import Structure


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    """What a measurement report is made from."""

    making: Making
    segs: tuple[EncodedSeg, ...]

    @property
    def source(self) -> Source:
        return self.making.source

    @property
    def volume(self) -> Volume:
        return self.making.conclusion.volume


def encode_reports(making: Making, segs: tuple[EncodedSeg, ...]) -> tuple[Dataset, ...]:
    """Encode the measurement report, when there is something that has a place.

    Raises PermanentError (``sr-not-encodable``) when codes or values are unfit.
    """
    if not making.profile.report or not segs:
        return ()
    given, stamp = _Given(making, segs), making.stamp
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # highdicom's and pydicom's remarks on odd but harmless values
            ds = _build(given, stamp, making.names("SR"))
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise PermanentError(
            "The measurement report cannot be encoded.",
            next_step="Check the codes and units of the model package (`overread models check`).",
            code="sr-not-encodable",
        ) from error
    apply_header(ds, stamp, making.names("SR"))
    apply_document_references(ds, making.source.header, making.context)
    return (ds,)


def apply_document_references(ds: Dataset, source_header: Dataset, context: ResultContext) -> None:
    """Orders that the report answers and documents that it replaces (PS3.3 C.17.2)."""
    requests = request_items(source_header)
    if requests:
        ds.ReferencedRequestSequence = requests
    by_series: dict[str, list[tuple[SOPClassUID, SOPInstanceUID]]] = {}
    for one in context.predecessors:
        # The sequence is for SR documents; a SEG is replaced along with the report that refers to it.
        if one.kind is ResultKind.SR:
            by_series.setdefault(one.series_instance_uid, []).append((one.sop_class_uid, one.sop_instance_uid))
    if by_series:
        ds.PredecessorDocumentsSequence = [references(source_header.StudyInstanceUID, list(by_series.items()))]


def _build(given: _Given, stamp: Stamp, names: SeriesNames) -> Dataset:
    images = image_skeletons(given.source)
    groups = [
        group
        for seg in given.segs
        for structure in seg.structures
        for group in _groups(structure, seg, given, stamp.algorithm)
    ]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(stamp.equipment)),
        procedure_reported=to_dicom(procedure_reported(given.volume.modality)),
        imaging_measurements=groups[:1],
        title=to_dicom(IMAGING_MEASUREMENT_REPORT),
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(
            sr.CodedConcept.from_code(to_dicom(ENGLISH))
        ),
    )
    report: Dataset = sr.Comprehensive3DSR(
        evidence=[*images, *(seg_skeleton(seg.dataset, given.source) for seg in given.segs)],
        content=content,
        series_instance_uid=names.series_instance_uid,
        series_number=names.series_number,
        sop_instance_uid=names.sop_instance_uid,
        instance_number=names.instance_number,
        manufacturer=stamp.equipment.manufacturer,
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    # The rest is put in afterwards: highdicom copies and searches the whole tree, twice and slowly.
    measurements = report.ContentSequence[-1].ContentSequence
    for group in groups[1:]:
        measurements.extend(group)
    library = _library(images, given)
    if library:
        report.ContentSequence.insert(len(report.ContentSequence) - 1, sr.ImageLibrary(library)[0])
    return report


def _observer(equipment: Equipment) -> sr.ObserverContext:
    """TID 1002 and 1004: the device only; no person stands behind a draft."""
    return sr.ObserverContext(
        observer_type=sr.CodedConcept.from_code(to_dicom(DEVICE)),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=equipment.observer_uid,
            name=equipment.ae_title,
            manufacturer_name=equipment.manufacturer,
            model_name=equipment.model_name,
            serial_number=equipment.device_serial_number,
        ),
    )


def _groups(
    structure: Structure, seg: EncodedSeg, given: _Given, algorithm: Algorithm
) -> list[sr.PlanarROIMeasurementsAndQualitativeEvaluations | sr.VolumetricROIMeasurementsAndQualitativeEvaluations]:
    segment = structure.segment
    tracking_uid = given.making.uids.tracking(seg.part, segment.tracking_identifier)

    def common() -> dict[str, Any]:
        # New items for each group: highdicom takes them over into its tree.
        return {
            "tracking_identifier": sr.TrackingIdentifier(uid=tracking_uid, identifier=segment.tracking_identifier),
            "finding_type": to_dicom(segment.type),
            "finding_category": to_dicom(segment.category),
            "finding_sites": _sites(segment),
            "algorithm_id": _algorithm(algorithm),
        }

    frame = given.source.frames[structure.outline.index]
    planar = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        referenced_region=sr.ImageRegion(
            graphic_type=sr.GraphicTypeValues.POLYLINE,
            graphic_data=structure.outline.points,
            source_image=_region_image(frame),
        ),
        measurements=[_number(outline_area(structure, given.source))],
        **common(),
    )
    volumetric = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=sr.ReferencedSegment(
            sop_class_uid=SegmentationStorage,
            sop_instance_uid=seg.dataset.SOPInstanceUID,
            segment_number=segment.number,
            source_series=sr.SourceSeriesForSegmentation(given.volume.series_instance_uid),
        ),
        measurements=[_number(measurement) for measurement in reported_measurements(structure, given.volume)],
        **common(),
    )
    return [planar, volumetric]


def outline_area(structure: Structure, source: Source) -> Measurement:
    """Area within the outline."""
    return Measurement(AREA, structure.outline.area_px * source.pixel_area_mm2, SQUARE_MILLIMETRE)


def reported_measurements(structure: Structure, volume: Volume) -> tuple[Measurement, ...]:
    """Return the segment's measurements, with its volume in front when the model package did not ask for it."""
    measurements = structure.segment.measurements
    if any((m.name.value, m.name.scheme) == (VOLUME.value, VOLUME.scheme) for m in measurements):
        return measurements
    millilitres = structure.voxels * volume.geometry.voxel_volume_mm3 / 1000
    return (Measurement(VOLUME, millilitres, MILLILITRE), *measurements)


def as_written(value: float) -> float:
    """Round a measured value to six significant digits: what a report states, and what its DS can hold."""
    return float(f"{value:.6g}")


def _number(measurement: Measurement) -> sr.Measurement:
    return sr.Measurement(
        name=to_dicom(measurement.name),
        value=as_written(measurement.value),
        unit=_unit(measurement.unit),
        method=to_dicom(measurement.method) if measurement.method is not None else None,
    )


def _unit(unit: Unit) -> sr.CodedConcept:
    return sr.CodedConcept(value=unit.ucum, scheme_designator="UCUM", meaning=unit.meaning)


def _sites(segment: Segment) -> list[sr.FindingSite] | None:
    """Finding Site: the structure itself where it is anatomy. A lesion's site is not known to its model."""
    if not is_anatomical(segment.category):
        return None
    side = to_dicom(segment.laterality) if segment.laterality is not None else None
    return [sr.FindingSite(to_dicom(segment.type), laterality=side)]


def _algorithm(algorithm: Algorithm) -> sr.AlgorithmIdentification:
    """TID 4019."""
    return sr.AlgorithmIdentification(
        name=algorithm.title,
        version=algorithm.model.version,
        family=to_dicom(ARTIFICIAL_INTELLIGENCE),
        manufacturer=algorithm.manufacturer or None,
        parameters=algorithm_parameters(algorithm),
    )


def _region_image(frame: SourceFrame) -> sr.SourceImageForRegion:
    """The image of an outline. Its relation has to be SELECTED FROM (TID 1410), which this class writes."""
    return sr.SourceImageForRegion(
        referenced_sop_class_uid=frame.sop_class_uid,
        referenced_sop_instance_uid=frame.sop_instance_uid,
        referenced_frame_numbers=None if frame.number is None else [frame.number],
    )


def _library(images: list[Dataset], given: _Given) -> list[Dataset]:
    """Choose the entries of TID 1600: the images that outlines lie on.

    An entry takes 4 kB, and IHE's validator runs out of memory on a hundred of them; the evidence sequence names all
    analysed images anyway. None if multi-frame, on which highdicom 0.28.2 fails.
    """
    if given.source.is_multi_frame:
        return []
    outlined: set[SOPInstanceUID] = {
        given.source.frames[structure.outline.index].sop_instance_uid
        for seg in given.segs
        for structure in seg.structures
    }
    return [image for image in images if image.SOPInstanceUID in outlined]
