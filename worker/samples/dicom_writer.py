"""Write a volume as a valid CT or MR series of a fictitious patient.

Pixel values and geometry are real; patient, study and acquisition attributes are made up or empty.
UIDs depend only on the sample's name, so that every machine makes the same objects.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import DSfloat

from worker.samples.grids import Grid, Matrix, Values, to_axial

_NAMESPACE = uuid.UUID("6f1e1a52-5e0b-5c1d-9a55-0b6c9d5a7e11")
_CT_INTERCEPT = -1024


@dataclass(frozen=True)
class Header:
    """The few attributes that differ from sample to sample."""

    sample: str
    modality: str
    body_part: str
    study_description: str
    series_description: str
    comment: str
    contrast_agent: str | None = None


def uid(sample: str, *parts: str) -> str:
    """Derive a UID under 2.25 (PS3.5 B.2) that depends only on the arguments."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join((sample, *parts))).int}"


def write_series(grid: Grid, header: Header, folder: Path) -> None:
    """Write one file per slice, ``0001.dcm`` onward from foot to head.

    `grid` is first brought to axial storage order (see `to_axial`), so viewers show the patient upright.
    """
    axial = to_axial(grid)
    stored = _stored_values(axial.values, header.modality)
    window = _display_window(axial.values, header)
    for index in range(stored.shape[0]):
        dataset = _instance(stored, axial, header, index)
        dataset.WindowCenter, dataset.WindowWidth = window
        dataset.save_as(folder / f"{index + 1:04d}.dcm", enforce_file_format=True)


def _stored_values(values: Values, modality: str) -> Values:
    whole = np.rint(values).astype(np.int32)
    stored = whole - _CT_INTERCEPT if modality == "CT" else whole
    low, high = (-(2**15), 2**15 - 1)
    if stored.min() < low or stored.max() > high:
        raise ValueError(f"values {whole.min()}..{whole.max()} do not fit 16 bits")
    return stored.astype("<i2")


def _display_window(values: Values, header: Header) -> tuple[int, int]:
    """Centre and width; MR has no absolute scale, so its window follows the values of the whole volume."""
    if header.modality == "CT":
        return {"HEAD": (40, 80), "CHEST": (-600, 1600)}.get(header.body_part, (40, 400))
    low, high = np.percentile(values, [1.0, 99.5])
    return round(float(low + high) / 2), max(1, round(float(high - low)))


def _instance(stored: Values, grid: Grid, header: Header, index: int) -> Dataset:
    dataset = Dataset()
    _patient_and_study(dataset, header)
    _series(dataset, header)
    _plane(dataset, grid, header, index)
    _pixels(dataset, stored[index])
    (_ct_image if header.modality == "CT" else _mr_image)(dataset, header)
    dataset.file_meta = _file_meta(dataset)
    return dataset


def _patient_and_study(dataset: Dataset, header: Header) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = f"Sample^{''.join(part.capitalize() for part in header.sample.split('-'))}"
    dataset.PatientID = f"SAMPLE-{header.sample.upper()}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Source has no identifiers; header is fictitious"
    dataset.StudyInstanceUID = uid(header.sample, "study")
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20000101"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = "120000"
    dataset.StudyID = "1"
    dataset.StudyDescription = header.study_description
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""


def _series(dataset: Dataset, header: Header) -> None:
    dataset.Modality = header.modality
    dataset.SeriesInstanceUID = uid(header.sample, "series")
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = header.series_description
    dataset.BodyPartExamined = header.body_part
    dataset.PatientPosition = "HFS"
    dataset.Manufacturer = "Overread samples"
    dataset.ManufacturerModelName = "converted volume"
    dataset.DeviceSerialNumber = "1"
    dataset.SoftwareVersions = "1"
    dataset.FrameOfReferenceUID = uid(header.sample, "frame of reference")
    dataset.PositionReferenceIndicator = ""


def _plane(dataset: Dataset, grid: Grid, header: Header, index: int) -> None:
    slice_mm, row_mm, column_mm = grid.spacing_mm
    along_columns, along_rows = (_unit(grid.affine_lps[:3, axis]) for axis in (2, 1))
    position = grid.affine_lps @ np.array([index, 0, 0, 1.0])
    dataset.SOPInstanceUID = uid(header.sample, "instance", str(index))
    dataset.InstanceNumber = index + 1
    # PS3.3 C.7.6.2.1.1: first the direction in which the column index grows, then the row index.
    dataset.ImageOrientationPatient = _decimals([*along_columns, *along_rows])
    dataset.ImagePositionPatient = _decimals(position[:3])
    dataset.PixelSpacing = _decimals([row_mm, column_mm])
    dataset.SliceThickness = _decimals([slice_mm])[0]
    dataset.SliceLocation = _decimals(position[2:3])[0]
    dataset.ImageComments = header.comment
    dataset.AcquisitionNumber = 1


def _unit(vector: Matrix) -> Matrix:
    direction: Matrix = vector / np.linalg.norm(vector)
    return direction + 0.0  # turns -0.0 into 0.0


def _decimals(numbers: list[float] | Matrix) -> list[DSfloat]:
    """Decimal strings of at most 16 characters (PS3.5 6.2), rounded to a millionth."""
    return [DSfloat(round(float(number), 6) + 0.0, auto_format=True) for number in numbers]


def _pixels(dataset: Dataset, stored: Values) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.PixelData = stored.tobytes()


def _ct_image(dataset: Dataset, header: Header) -> None:
    dataset.SOPClassUID = CTImageStorage
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.RescaleIntercept = _CT_INTERCEPT
    dataset.RescaleSlope = 1
    dataset.RescaleType = "HU"
    dataset.KVP = None  # type 2, unknown
    if header.contrast_agent is not None:
        dataset.ContrastBolusAgent = header.contrast_agent


def _mr_image(dataset: Dataset, header: Header) -> None:
    dataset.SOPClassUID = MRImageStorage
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    # T1 spin echo is what the images look like; the sources do not say, so the timings stay empty (type 2).
    dataset.ScanningSequence = "SE"
    dataset.SequenceVariant = "NONE"
    dataset.ScanOptions = ""
    dataset.MRAcquisitionType = "2D"
    dataset.RepetitionTime = dataset.EchoTime = dataset.EchoTrainLength = None
    if header.contrast_agent is not None:
        dataset.ContrastBolusAgent = header.contrast_agent


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta
