"""Builders of small, valid DICOM objects. Pure: the same arguments give the same bytes.

Sizes and spacings are always (slice, row, column); coordinates are always LPS in millimetres.
Every function takes ``attributes``: a mapping from DICOM keyword to value that is applied last; None removes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MRImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from worker.domain.study import (
    Digest,
    IndexedHeader,
    PatientIdentity,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StoredInstance,
    StudyInstanceUID,
    TransferSyntaxUID,
)

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)

WRITTEN_BY = "2.25.302861047305117341921480136153271018711"
"""Implementation class UID of the files that the builders write."""

_ENCODERS = {
    RLELossless: "pydicom",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
}
"""Which encoder of pydicom writes a transfer syntax: never whichever is installed (GDCM aborts on some images)."""

Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Patient:
    """Who an object belongs to."""

    name: str = "Example^Ada"
    patient_id: str = "OR-0001"
    issuer: str = "OVERREAD-TEST"
    birth_date: str = "19600229"
    sex: str = "F"


ADA = Patient()
BEN = Patient(name="Example^Ben", patient_id="OR-0002", birth_date="19711103", sex="M")


def a_uid(*parts: object) -> str:
    """A valid UID (2.25 form) that depends on ``parts`` only."""
    digest = hashlib.sha256("\x00".join(str(part) for part in parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def a_ct_phantom(*, slices: int, rows: int, columns: int) -> NDArray[np.int16]:
    """HU of a body with two lungs and a trachea; every slice differs. Shape (slice, row, column)."""
    k, i, j = np.meshgrid(
        np.linspace(-1, 1, slices) if slices > 1 else np.zeros(1),
        np.linspace(-1, 1, rows),
        np.linspace(-1, 1, columns),
        indexing="ij",
    )
    hu = np.full((slices, rows, columns), -1000.0)
    hu[(i / 0.75) ** 2 + (j / 0.9) ** 2 < 1] = 40.0
    size = 1.0 - 0.4 * np.abs(k)
    for centre in (-0.42, 0.42):
        hu[(i / (0.5 * size)) ** 2 + ((j - centre) / (0.3 * size)) ** 2 < 1] = -820.0
    hu[(i + 0.1) ** 2 + j**2 < 0.006] = -980.0
    hu[((i - 0.55) / 0.12) ** 2 + (j / 0.12) ** 2 < 1] = 500.0
    texture = (np.arange(rows)[:, None] * 7 + np.arange(columns)[None, :] * 3) % 11 - 5
    hu += texture[None] + np.arange(slices)[:, None, None] % 97
    return hu.astype(np.int16)


def a_ct_slice(
    *,
    hu: NDArray[Any] | None = None,
    rows: int = 32,
    columns: int = 40,
    spacing_mm: tuple[float, float, float] = (2.5, 0.8, 0.7),
    orientation: Sequence[float] = AXIAL,
    position: Sequence[float] = (-14.0, -12.0, 0.0),
    patient: Patient = ADA,
    study: str = "study",
    series: str = "series",
    instance: object = 1,
    instance_number: int | None = 1,
    series_number: int = 2,
    description: str = "CHEST 2.5 STD",
    body_part: str = "CHEST",
    image_type: Sequence[str] = ("ORIGINAL", "PRIMARY", "AXIAL"),
    slope: float = 1.0,
    intercept: float = -1024.0,
    padding_value: int | None = None,
    attributes: Attributes | None = None,
) -> Dataset:
    """A CT image of which ``dciodvfy`` finds no error.

    ``hu`` (row, column) are modality values; the stored values are 16-bit signed, ``(hu - intercept) / slope``.
    ``study``, ``series`` and ``instance`` are names from which the UIDs are made.
    """
    if hu is None:
        hu = a_ct_phantom(slices=1, rows=rows, columns=columns)[0]
    ds = _common(
        sop_class_uid=CTImageStorage, modality="CT", patient=patient, study=study, series=series, instance=instance,
        series_number=series_number, description=description, body_part=body_part,
    )  # fmt: skip
    _frame_of_reference(ds, study)
    ds.ImageType = list(image_type)
    ds.InstanceNumber = instance_number
    ds.AcquisitionNumber = 1
    ds.KVP = 120
    ds.RescaleIntercept = intercept
    ds.RescaleSlope = slope
    ds.RescaleType = "HU"
    ds.WindowCenter, ds.WindowWidth = 40, 400
    _plane(ds, spacing_mm=spacing_mm, orientation=orientation, position=position)
    stored = np.round((np.asarray(hu, dtype=np.float64) - intercept) / slope).astype(np.int16)
    _pixels(ds, stored, bits_stored=16)
    if padding_value is not None:
        ds.add_new("PixelPaddingValue", "SS", padding_value)
    return _apply(ds, attributes)


def an_mr_slice(
    *,
    values: NDArray[Any] | None = None,
    rows: int = 32,
    columns: int = 40,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    orientation: Sequence[float] = AXIAL,
    position: Sequence[float] = (-20.0, -16.0, 0.0),
    patient: Patient = ADA,
    study: str = "study",
    series: str = "series",
    instance: object = 1,
    instance_number: int | None = 1,
    series_number: int = 3,
    description: str = "T1 MPRAGE",
    body_part: str = "HEAD",
    image_type: Sequence[str] = ("ORIGINAL", "PRIMARY", "M", "ND"),
    attributes: Attributes | None = None,
) -> Dataset:
    """A T1 weighted MR image: 12 bits unsigned, no rescale. ``values`` (row, column) are the stored values."""
    if values is None:
        values = a_ct_phantom(slices=1, rows=rows, columns=columns)[0] + 1024
    ds = _common(
        sop_class_uid=MRImageStorage, modality="MR", patient=patient, study=study, series=series, instance=instance,
        series_number=series_number, description=description, body_part=body_part,
    )  # fmt: skip
    _frame_of_reference(ds, study)
    ds.ImageType = list(image_type)
    ds.InstanceNumber = instance_number
    ds.AcquisitionNumber = 1
    ds.ScanningSequence = ["GR", "IR"]
    ds.SequenceVariant = ["SK", "SP", "MP"]
    ds.ScanOptions = "IR"
    ds.MRAcquisitionType = "3D"
    ds.RepetitionTime = 2300.0
    ds.EchoTime = 2.98
    ds.InversionTime = 900.0
    ds.EchoTrainLength = 1
    ds.FlipAngle = 9.0
    ds.MagneticFieldStrength = 3.0
    ds.ContrastBolusAgent = None
    _plane(ds, spacing_mm=spacing_mm, orientation=orientation, position=position)
    _pixels(ds, np.clip(values, 0, 4095).astype(np.uint16), bits_stored=12)
    return _apply(ds, attributes)


def a_localizer(*, attributes: Attributes | None = None, **arguments: Any) -> Dataset:
    """A CT scout: one coronal image of type LOCALIZER. Takes the arguments of ``a_ct_slice``."""
    defaults: dict[str, Any] = {
        "orientation": CORONAL, "position": (-20.0, 0.0, 40.0), "series": "localizer", "series_number": 1,
        "description": "SCOUT", "image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER"), "spacing_mm": (1.0, 1.0, 1.0),
    }  # fmt: skip
    return a_ct_slice(**{**defaults, **arguments}, attributes=attributes)


def a_secondary_capture(
    *,
    rows: int = 32,
    columns: int = 40,
    colour: bool = True,
    patient: Patient = ADA,
    study: str = "study",
    series: str = "screenshot",
    instance: object = 1,
    modality: str = "OT",
    burned_in: bool = True,
    attributes: Attributes | None = None,
) -> Dataset:
    """A screenshot: no geometry, RGB (or grey), burned-in annotation."""
    ds = _common(
        sop_class_uid=SecondaryCaptureImageStorage, modality=modality, patient=patient, study=study, series=series,
        instance=instance, series_number=99, description="SCREENSHOT", body_part="CHEST",
    )  # fmt: skip
    ds.ConversionType = "WSD"
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.InstanceNumber = 1
    ds.PatientOrientation = None
    ds.BurnedInAnnotation = "YES" if burned_in else "NO"
    ramp = (np.arange(rows)[:, None] * 5 + np.arange(columns)[None, :] * 3).astype(np.uint8)
    if colour:
        _pixels(ds, np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1), bits_stored=8)
    else:
        _pixels(ds, ramp, bits_stored=8)
    return _apply(ds, attributes)


def an_enhanced_ct(
    *,
    hu: NDArray[Any] | None = None,
    slices: int = 6,
    rows: int = 32,
    columns: int = 40,
    spacing_mm: tuple[float, float, float] = (2.5, 0.8, 0.7),
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-14.0, -12.0, 0.0),
    patient: Patient = ADA,
    study: str = "study",
    series: str = "enhanced-ct",
    instance: object = 1,
    frame_order: Sequence[int] | None = None,
    stack_ids: Sequence[str] | None = None,
    temporal_positions: Sequence[int] | None = None,
    positions: Sequence[Sequence[float]] | None = None,
    slopes: Sequence[float] | None = None,
    attributes: Attributes | None = None,
) -> Dataset:
    """A multi-frame Enhanced CT of ``slices`` planes, frames stored in ``frame_order``.

    ``slopes`` gives each plane its own rescale slope; ``positions`` replaces the regular plane positions.
    """
    if hu is None:
        hu = a_ct_phantom(slices=slices, rows=rows, columns=columns)
    slices = len(hu)
    places = positions if positions is not None else regular_positions(
        slices=slices, spacing_mm=spacing_mm[0], orientation=orientation, origin=origin
    )  # fmt: skip
    order = list(frame_order) if frame_order is not None else list(range(slices))
    gains = list(slopes) if slopes is not None else [1.0] * slices
    ds = _common(
        sop_class_uid=EnhancedCTImageStorage, modality="CT", patient=patient, study=study, series=series,
        instance=instance, series_number=5, description="CHEST ENHANCED", body_part="",
    )  # fmt: skip
    _frame_of_reference(ds, study)
    _enhanced(ds, image_type=("ORIGINAL", "PRIMARY", "VOLUME", "NONE"))
    shared = Dataset()
    shared.PixelMeasuresSequence = [_item(PixelSpacing=list(spacing_mm[1:]), SliceThickness=spacing_mm[0])]
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=[_ds(value) for value in orientation])]
    shared.FrameAnatomySequence = [
        _item(FrameLaterality="U", AnatomicRegionSequence=[_code("51185008", "SCT", "Chest")])
    ]
    shared.FrameVOILUTSequence = [_item(WindowCenter=40, WindowWidth=400)]
    shared.CTImageFrameTypeSequence = [
        _item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], PixelPresentation="MONOCHROME",
              VolumetricProperties="VOLUME", VolumeBasedCalculationTechnique="NONE")
    ]  # fmt: skip
    shared.CTAcquisitionTypeSequence = [_item(AcquisitionType="SPIRAL", ConstantVolumeFlag="NO", FluoroscopyFlag="NO")]
    shared.CTAcquisitionDetailsSequence = [
        _item(RotationDirection="CW", RevolutionTime=0.5, SingleCollimationWidth=0.625, TotalCollimationWidth=40.0,
              TableHeight=100.0, GantryDetectorTilt=0.0, DataCollectionDiameter=500.0)
    ]  # fmt: skip
    shared.CTTableDynamicsSequence = [_item(TableSpeed=80.0, TableFeedPerRotation=40.0, SpiralPitchFactor=1.0)]
    shared.CTReconstructionSequence = [
        _item(ReconstructionAlgorithm="FILTER_BACK_PROJ", ConvolutionKernel="STD", ConvolutionKernelGroup="LUNG",
              ReconstructionDiameter=350.0, ReconstructionAngle=360.0, ImageFilter="NONE",
              ReconstructionPixelSpacing=list(spacing_mm[1:]))
    ]  # fmt: skip
    shared.CTGeometrySequence = [_item(DistanceSourceToDetector=950.0, DistanceSourceToDataCollectionCenter=540.0)]
    shared.CTExposureSequence = [
        _item(ExposureTimeInms=500.0, XRayTubeCurrentInmA=200.0, ExposureInmAs=100.0,
              ExposureModulationType="NONE", CTDIvol=8.0)
    ]  # fmt: skip
    shared.CTXRayDetailsSequence = [_item(KVP=120, FocalSpots=[1.0], FilterType="FLAT", FilterMaterial="ALUMINUM")]
    shared.IrradiationEventIdentificationSequence = [_item(IrradiationEventUID=a_uid(study, "irradiation"))]
    ds.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for number, plane in enumerate(order, start=1):
        frame = Dataset()
        frame.FrameContentSequence = [
            _frame_content(number, plane, stack_ids=stack_ids, temporal_positions=temporal_positions)
        ]
        frame.PlanePositionSequence = [_item(ImagePositionPatient=[_ds(value) for value in places[plane]])]
        frame.CTPositionSequence = [
            _item(TablePosition=float(plane), DataCollectionCenterPatient=[0.0, 0.0, 0.0],
                  ReconstructionTargetCenterPatient=[0.0, 0.0, 0.0])
        ]  # fmt: skip
        frame.PixelValueTransformationSequence = [
            _item(RescaleIntercept=-1024, RescaleSlope=gains[plane], RescaleType="HU")
        ]
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = frames
    stored = np.stack([np.round((hu[plane] + 1024.0) / gains[plane]) for plane in order]).astype(np.int16)
    _pixels(ds, stored, bits_stored=16, frames=len(order))
    return _apply(ds, attributes)


def an_enhanced_mr(
    *,
    values: NDArray[Any] | None = None,
    slices: int = 6,
    rows: int = 32,
    columns: int = 40,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-20.0, -16.0, 0.0),
    patient: Patient = ADA,
    study: str = "study",
    series: str = "enhanced-mr",
    instance: object = 1,
    frame_order: Sequence[int] | None = None,
    echo_times: Sequence[float] | None = None,
    b_values: Sequence[float] | None = None,
    attributes: Attributes | None = None,
) -> Dataset:
    """A multi-frame Enhanced MR with what a reader of volumes needs (not every module of the IOD).

    ``echo_times`` and ``b_values`` name each entry of ``frame_order`` (frames may share a plane).
    """
    if values is None:
        values = a_ct_phantom(slices=slices, rows=rows, columns=columns) + 1024
    slices = len(values)
    places = regular_positions(slices=slices, spacing_mm=spacing_mm[0], orientation=orientation, origin=origin)
    order = list(frame_order) if frame_order is not None else list(range(slices))
    ds = _common(
        sop_class_uid=EnhancedMRImageStorage, modality="MR", patient=patient, study=study, series=series,
        instance=instance, series_number=6, description="T1 ENHANCED", body_part="",
    )  # fmt: skip
    _frame_of_reference(ds, study)
    _enhanced(ds, image_type=("ORIGINAL", "PRIMARY", "T1", "NONE"))
    shared = Dataset()
    shared.PixelMeasuresSequence = [_item(PixelSpacing=list(spacing_mm[1:]), SliceThickness=spacing_mm[0])]
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=[_ds(value) for value in orientation])]
    shared.FrameAnatomySequence = [
        _item(FrameLaterality="U", AnatomicRegionSequence=[_code("12738006", "SCT", "Brain")])
    ]
    shared.MRImageFrameTypeSequence = [_item(FrameType=["ORIGINAL", "PRIMARY", "T1", "NONE"])]
    ds.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for number, plane in enumerate(order, start=1):
        frame = Dataset()
        frame.FrameContentSequence = [_frame_content(number, plane)]
        frame.PlanePositionSequence = [_item(ImagePositionPatient=[_ds(value) for value in places[plane]])]
        if echo_times is not None:
            frame.MREchoSequence = [_item(EffectiveEchoTime=float(echo_times[number - 1]))]
        if b_values is not None:
            frame.MRDiffusionSequence = [_item(DiffusionBValue=float(b_values[number - 1]))]
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = frames
    stored = np.clip(np.stack([values[plane] for plane in order]), 0, 4095).astype(np.uint16)
    _pixels(ds, stored, bits_stored=12, frames=len(order))
    return _apply(ds, attributes)


def regular_positions(
    *,
    slices: int,
    spacing_mm: float,
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    step_mm: Sequence[float] | None = None,
) -> list[list[float]]:
    """Plane positions ``origin + k * step``; the step is the slice normal times ``spacing_mm`` unless given."""
    step = np.asarray(step_mm, float) if step_mm is not None else normal_of(orientation) * spacing_mm
    return [[float(v) for v in np.asarray(origin, float) + k * step] for k in range(slices)]


def normal_of(orientation: Sequence[float]) -> NDArray[np.float64]:
    """Slice normal: row direction times column direction (PS3.3 C.7.6.2.1.1)."""
    return np.cross(np.asarray(orientation[:3], float), np.asarray(orientation[3:], float))


def a_ct_series(
    folder: Path,
    *,
    slices: int = 8,
    rows: int = 32,
    columns: int = 40,
    spacing_mm: tuple[float, float, float] = (2.5, 0.8, 0.7),
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-14.0, -12.0, 0.0),
    step_mm: Sequence[float] | None = None,
    hu: NDArray[Any] | None = None,
    patient: Patient = ADA,
    study: str = "study",
    series: str = "series",
    skip: Sequence[int] = (),
    reverse_instance_numbers: bool = False,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    attributes: Attributes | None = None,
    **arguments: Any,
) -> tuple[Path, ...]:
    """Write a CT series and return the files, ordered by plane. ``hu`` has shape (slice, row, column).

    ``step_mm`` replaces the step along the normal (gantry tilt); ``skip`` leaves planes out (gaps).
    """
    if hu is None:
        hu = a_ct_phantom(slices=slices, rows=rows, columns=columns)
    places = regular_positions(
        slices=len(hu), spacing_mm=spacing_mm[0], orientation=orientation, origin=origin, step_mm=step_mm
    )
    paths = []
    for k, place in enumerate(places):
        if k in skip:
            continue
        ds = a_ct_slice(
            hu=hu[k], spacing_mm=spacing_mm, orientation=orientation, position=place, patient=patient, study=study,
            series=series, instance=k + 1, instance_number=len(hu) - k if reverse_instance_numbers else k + 1,
            attributes=attributes, **arguments,
        )  # fmt: skip
        paths.append(write(ds, folder / f"{_stem(series)}-{k + 1:04d}.dcm", transfer_syntax_uid=transfer_syntax_uid))
    return tuple(paths)


def an_mr_series(
    folder: Path,
    *,
    slices: int = 8,
    rows: int = 32,
    columns: int = 40,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-20.0, -16.0, 0.0),
    values: NDArray[Any] | None = None,
    patient: Patient = ADA,
    study: str = "study",
    series: str = "mr-series",
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
    attributes: Attributes | None = None,
    **arguments: Any,
) -> tuple[Path, ...]:
    """Write a T1 MR series and return the files, ordered by plane. ``values`` has shape (slice, row, column)."""
    if values is None:
        values = a_ct_phantom(slices=slices, rows=rows, columns=columns) + 1024
    places = regular_positions(slices=len(values), spacing_mm=spacing_mm[0], orientation=orientation, origin=origin)
    paths = []
    for k, place in enumerate(places):
        ds = an_mr_slice(
            values=values[k], spacing_mm=spacing_mm, orientation=orientation, position=place, patient=patient,
            study=study, series=series, instance=k + 1, instance_number=k + 1, attributes=attributes, **arguments,
        )  # fmt: skip
        paths.append(write(ds, folder / f"{_stem(series)}-{k + 1:04d}.dcm", transfer_syntax_uid=transfer_syntax_uid))
    return tuple(paths)


def write(dataset: Dataset, path: Path, *, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> Path:
    """Write a Part 10 file, compressed when the transfer syntax says so (RLE, JPEG-LS lossless, JPEG 2000 lossless).

    JPEG 2000 wants at least 32 rows and columns. Returns ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = WRITTEN_BY
    dataset = _copy(dataset)
    dataset.file_meta = meta
    uid = UID(transfer_syntax_uid)
    if uid.is_encapsulated:
        dataset.compress(uid, encoding_plugin=_ENCODERS[uid], generate_instance_uid=False)
    elif not uid.is_little_endian and dataset.BitsAllocated == 16:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    meta.TransferSyntaxUID = uid
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


def stored_instance(
    path: Path,
    *,
    calling_ae_title: str = "MODALITY",
    received_at: datetime = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC),
) -> StoredInstance:
    """The record that the store would have of a Part 10 file."""
    ds = dcmread(path, stop_before_pixels=True)
    body = data_set_bytes(path)
    return StoredInstance(
        header=indexed_header(ds),
        transfer_syntax_uid=TransferSyntaxUID(str(ds.file_meta.TransferSyntaxUID)),
        sha256=Digest(hashlib.sha256(body).hexdigest()),
        size_bytes=len(body),
        path=path,
        calling_ae_title=calling_ae_title,
        received_at=received_at,
    )


def stored_instances(paths: Sequence[Path]) -> tuple[StoredInstance, ...]:
    """``stored_instance`` of each path."""
    return tuple(stored_instance(path) for path in paths)


def indexed_header(ds: Dataset) -> IndexedHeader:
    """What the listener's scan would read of a data set."""

    def text(keyword: str) -> str:
        return str(ds.get(keyword, None) or "").strip(" \0")

    return IndexedHeader(
        sop_class_uid=SOPClassUID(text("SOPClassUID")),
        sop_instance_uid=SOPInstanceUID(text("SOPInstanceUID")),
        study_instance_uid=StudyInstanceUID(text("StudyInstanceUID")),
        series_instance_uid=SeriesInstanceUID(text("SeriesInstanceUID")),
        patient=PatientIdentity(
            patient_id=text("PatientID"),
            issuer_of_patient_id=text("IssuerOfPatientID"),
            patient_name=text("PatientName"),
            patient_birth_date=text("PatientBirthDate"),
        ),
        accession_number=text("AccessionNumber"),
        modality=text("Modality"),
        manufacturer=text("Manufacturer"),
        manufacturer_model_name=text("ManufacturerModelName"),
        device_serial_number=text("DeviceSerialNumber"),
    )


def data_set_bytes(path: Path) -> bytes:
    """The data set of a Part 10 file: what comes after the file meta information (which has its group length)."""
    data = path.read_bytes()
    length = int.from_bytes(data[140:144], "little")
    return data[144 + length :]


def _common(
    *,
    sop_class_uid: str,
    modality: str,
    patient: Patient,
    study: str,
    series: str,
    instance: object,
    series_number: int,
    description: str,
    body_part: str,
) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.InstanceCreationDate = "20260314"
    ds.InstanceCreationTime = "092653"
    ds.SOPClassUID = sop_class_uid
    ds.SOPInstanceUID = a_uid(patient.patient_id, study, series, instance)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20260314"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "091500"
    ds.AccessionNumber = f"A{int(a_uid(patient.patient_id, study)[5:]) % 10**8:08d}"
    ds.Modality = modality
    ds.Manufacturer = "Overread Test Works"
    ds.InstitutionName = "Example Hospital"
    ds.ReferringPhysicianName = "Referrer^Rita"
    ds.StudyDescription = "EXAMPLE STUDY"
    ds.SeriesDescription = description
    ds.ManufacturerModelName = "Builder"
    ds.DeviceSerialNumber = "4711"
    ds.SoftwareVersions = "1.0"
    ds.PatientName = patient.name
    ds.PatientID = patient.patient_id
    if patient.issuer:
        ds.IssuerOfPatientID = patient.issuer
    ds.PatientBirthDate = patient.birth_date
    ds.PatientSex = patient.sex
    ds.PatientAge = "065Y"
    ds.PatientWeight = 70.0
    if body_part:
        ds.BodyPartExamined = body_part
    ds.PatientPosition = "HFS"
    ds.StudyInstanceUID = a_uid(patient.patient_id, study)
    ds.SeriesInstanceUID = a_uid(patient.patient_id, study, series)
    ds.StudyID = "1"
    ds.SeriesNumber = series_number
    return ds


def _frame_of_reference(ds: Dataset, study: str) -> None:
    ds.FrameOfReferenceUID = a_uid(ds.PatientID, study, "frame of reference")
    ds.PositionReferenceIndicator = None


def _plane(
    ds: Dataset, *, spacing_mm: tuple[float, float, float], orientation: Sequence[float], position: Sequence[float]
) -> None:
    ds.SliceThickness = _ds(spacing_mm[0])
    ds.PixelSpacing = [_ds(spacing_mm[1]), _ds(spacing_mm[2])]
    ds.ImageOrientationPatient = [_ds(value) for value in orientation]
    ds.ImagePositionPatient = [_ds(value) for value in position]
    if abs(normal_of(orientation)[2]) > 0.9:
        ds.SliceLocation = _ds(position[2])


def _pixels(ds: Dataset, stored: NDArray[Any], *, bits_stored: int, frames: int | None = None) -> None:
    colour = stored.ndim == 3 and frames is None
    if frames is not None:
        ds.NumberOfFrames = frames
    shape = stored.shape[:2] if colour else stored.shape[-2:]
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = (int(n) for n in shape)
    ds.BitsAllocated = stored.dtype.itemsize * 8
    ds.BitsStored = bits_stored
    ds.HighBit = bits_stored - 1
    ds.PixelRepresentation = 1 if stored.dtype.kind == "i" else 0
    raw = np.ascontiguousarray(stored).astype(stored.dtype.newbyteorder("<")).tobytes()
    ds.add_new("PixelData", "OB" if ds.BitsAllocated == 8 else "OW", raw + b"\0" * (len(raw) % 2))


def _enhanced(ds: Dataset, *, image_type: Sequence[str]) -> None:
    ds.ImageType = list(image_type)
    ds.InstanceNumber = 1
    ds.AcquisitionNumber = 1
    ds.AcquisitionDateTime = "20260314091500"
    ds.AcquisitionDuration = 5000.0
    ds.PixelPresentation = "MONOCHROME"
    ds.VolumetricProperties = "VOLUME"
    ds.VolumeBasedCalculationTechnique = "NONE"
    ds.ContentQualification = "RESEARCH"
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.PresentationLUTShape = "IDENTITY"
    ds.AcquisitionContextSequence = DicomSequence()
    organization = a_uid(ds.SOPInstanceUID, "dimensions")
    ds.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=organization)]
    ds.DimensionIndexSequence = [
        _item(DimensionOrganizationUID=organization, DimensionIndexPointer=0x00209056,
              FunctionalGroupPointer=0x00209111, DimensionDescriptionLabel="Stack ID"),
        _item(DimensionOrganizationUID=organization, DimensionIndexPointer=0x00209057,
              FunctionalGroupPointer=0x00209111, DimensionDescriptionLabel="In-Stack Position Number"),
    ]  # fmt: skip


def _frame_content(
    number: int,
    plane: int,
    *,
    stack_ids: Sequence[str] | None = None,
    temporal_positions: Sequence[int] | None = None,
) -> Dataset:
    stack = stack_ids[number - 1] if stack_ids is not None else "1"
    content = _item(
        FrameAcquisitionDateTime="20260314091500", FrameReferenceDateTime="20260314091500",
        FrameAcquisitionDuration=500.0, FrameAcquisitionNumber=1, StackID=stack, InStackPositionNumber=plane + 1,
        DimensionIndexValues=[int(stack) if stack.isdigit() else 1, plane + 1],
    )  # fmt: skip
    if temporal_positions is not None:
        content.TemporalPositionIndex = temporal_positions[number - 1]
    return content


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    return _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def _ds(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 6.2, DS) that loses as little as possible."""
    for digits in range(16, 5, -1):
        text = f"{float(value):.{digits}g}"
        if len(text) <= 16:
            return text
    raise ValueError(f"{value} does not fit a decimal string")


def _apply(ds: Dataset, attributes: Attributes | None) -> Dataset:
    for keyword, value in (attributes or {}).items():
        if value is None:
            if keyword in ds:
                delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def _copy(ds: Dataset) -> Dataset:
    copy = Dataset()
    copy.update(ds)
    return copy


def _stem(series: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in series)
