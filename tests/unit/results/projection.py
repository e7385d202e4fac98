"""Projection and ultrasound images for the tests of this room, with the volume that they make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    XRayAngiographicImageStorage,
)

from tests import builders
from tests.unit.results import given
from worker.domain.study import SeriesInstanceUID
from worker.domain.volume import Geometry, SliceRef, Space, Volume

CLASSES = {
    "DX": DigitalXRayImageStorageForPresentation,
    "CR": ComputedRadiographyImageStorage,
    "MG": DigitalMammographyXRayImageStorageForPresentation,
    "XA": XRayAngiographicImageStorage,
    "US": UltrasoundImageStorage,
}


def an_image(
    *, modality: str = "DX", rows: int = 24, columns: int = 20, instance: int = 1, frames: int | None = None,
    **attributes: Any,
) -> Dataset:  # fmt: skip
    """A projection or ultrasound image without a place in the patient; ``frames`` makes a cine run of it."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = UltrasoundMultiFrameImageStorage if modality == "US" and frames else CLASSES[modality]
    patient = builders.ADA
    ds.PatientID, ds.PatientName, ds.IssuerOfPatientID = patient.patient_id, patient.name, patient.issuer
    ds.PatientBirthDate, ds.PatientSex = patient.birth_date, patient.sex
    ds.StudyInstanceUID = builders.a_uid(patient.patient_id, "projection")
    ds.SeriesInstanceUID = builders.a_uid(patient.patient_id, "projection", modality)
    ds.SOPInstanceUID = builders.a_uid(patient.patient_id, "projection", modality, instance)
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20260314", "091500", "1", "A00000007"
    ds.ReferringPhysicianName = "Referrer^Rita"
    ds.Modality = modality
    ds.InstanceNumber = instance
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.PatientOrientation = ["L", "F"]
    ds.LossyImageCompression = "00"
    shape = (frames, rows, columns) if frames else (rows, columns)
    pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape) % 4096
    if frames:
        ds.NumberOfFrames, ds.FrameTime, ds.FrameIncrementPointer = frames, 40.0, 0x00181063
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit = rows, columns, 16, 12, 11
    ds.PixelRepresentation = 0
    ds.PixelData = pixels.tobytes()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def a_region(*, row_cm: float, column_cm: float) -> Dataset:
    """An item of Sequence of Ultrasound Regions, in centimetres (PS3.3 C.8.5.5)."""
    region = Dataset()
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = column_cm, row_cm
    return region


def a_study(
    folder: Path,
    images: Sequence[Dataset],
    *,
    spacing_mm: tuple[float, float] | None = None,
    picked: Sequence[int] | None = None,
) -> given.Study:
    """Files and volume of single-frame images, or of one cine run; ``picked`` are its frames (from 1), in order."""
    paths = tuple(builders.write(ds, folder / f"{number}.dcm") for number, ds in enumerate(images))
    evidence = builders.stored_instances(paths)
    first = images[0]
    frames = int(first.get("NumberOfFrames") or 0)
    refs = tuple(SliceRef(one.sop_instance_uid) for one in evidence)
    if frames:
        refs = tuple(SliceRef(evidence[0].sop_instance_uid, n) for n in (picked or range(1, frames + 1)))
    row_mm, column_mm = spacing_mm or (1.0, 1.0)
    matrix = np.zeros((4, 4))
    matrix[0, 2], matrix[1, 1], matrix[2, 0], matrix[3, 3] = column_mm, row_mm, 1.0, 1.0
    shape = (len(refs), int(first.Rows), int(first.Columns))
    volume = Volume(
        voxels=np.zeros(shape, np.float32),
        geometry=Geometry(shape=shape, affine_lps=matrix),
        slices=refs,
        modality=str(first.Modality),
        series_instance_uid=SeriesInstanceUID(str(first.SeriesInstanceUID)),
        frame_of_reference_uid=None,
        space=Space.PIXELS if spacing_mm is None else Space.PLANE,
        frame_time_ms=40.0 if frames else None,
    )
    return given.Study(paths, evidence, volume)


def single(folder: Path, modality: str = "DX", *, spacing_mm: tuple[float, float] | None = None) -> given.Study:
    """One image, with the spacing stated where its modality states it."""
    attributes: dict[str, Any] = {}
    if spacing_mm is not None and modality == "US":
        attributes["SequenceOfUltrasoundRegions"] = [a_region(row_cm=spacing_mm[0] / 10, column_cm=spacing_mm[1] / 10)]
    elif spacing_mm is not None:
        attributes["PixelSpacing" if modality == "CR" else "ImagerPixelSpacing"] = list(spacing_mm)
    return a_study(folder, [an_image(modality=modality, **attributes)], spacing_mm=spacing_mm)


def several(folder: Path, modality: str = "MG") -> given.Study:
    """Three single-frame images of a series."""
    images = [an_image(modality=modality, instance=n, ImagerPixelSpacing=[0.1, 0.2]) for n in (1, 2, 3)]
    return a_study(folder, images, spacing_mm=(0.1, 0.2))


def cine(folder: Path, modality: str = "US", *, picked: Sequence[int] | None = None) -> given.Study:
    """Five frames of a run; XA states its spacing at the detector, ultrasound none."""
    attributes = {"ImagerPixelSpacing": [0.3, 0.25]} if modality == "XA" else {}
    ds = an_image(modality=modality, frames=5, **attributes)
    return a_study(folder, [ds], spacing_mm=(0.3, 0.25) if modality == "XA" else None, picked=picked)
