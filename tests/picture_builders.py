"""Builders of small, valid projection and ultrasound objects: DX, MG, CR, XA, US. Pure, like ``tests.builders``.

Sizes and spacings are (row, column). Every function takes ``attributes``, applied last; None removes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    XRayAngiographicImageStorage,
)

from tests.builders import ADA, Attributes, Patient, _apply, _code, _common, _ds, _item, _pixels

FOR_PRESENTATION, FOR_PROCESSING = "FOR PRESENTATION", "FOR PROCESSING"


def a_picture(*, rows: int = 48, columns: int = 40, frames: int | None = None, bits: int = 12) -> NDArray[np.uint16]:
    """Values of a thing on a ramp, not symmetric in any direction; every frame differs. (frame, row, column)."""
    i, j = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    one = (i * 3 + j * 5).astype(np.float64) / (rows * 3 + columns * 5) * 0.5
    one += 0.4 * (((i - rows * 0.4) / (rows * 0.2)) ** 2 + ((j - columns * 0.3) / (columns * 0.15)) ** 2 < 1)
    shades = [one * (1 - 0.3 * k / frames) for k in range(frames)] if frames is not None else [one]
    stack = np.round(np.stack(shades) * (2**bits - 1)).astype(np.uint16)
    return stack if frames is not None else stack[0]


def a_radiograph(
    *,
    values: NDArray[Any] | None = None,
    rows: int = 48,
    columns: int = 40,
    bits_stored: int = 12,
    inverted: bool = False,
    imager_spacing_mm: tuple[float, float] | None = (0.2, 0.25),
    intent: str = FOR_PRESENTATION,
    view_position: str = "PA",
    patient: Patient = ADA,
    study: str = "study",
    series: str = "radiograph",
    instance: object = 1,
    instance_number: int | None = 1,
    attributes: Attributes | None = None,
) -> Dataset:
    """A digital radiograph (DX) of the chest. ``values`` (row, column) are the stored values.

    ``inverted`` says MONOCHROME1; the stored values stay as they are.
    """
    presentation = intent == FOR_PRESENTATION
    uid = DigitalXRayImageStorageForPresentation if presentation else DigitalXRayImageStorageForProcessing
    ds = _common(
        sop_class_uid=uid, modality="DX", patient=patient, study=study, series=series, instance=instance,
        series_number=1, description="CHEST PA", body_part="CHEST",
    )  # fmt: skip
    _digital_xray(ds, intent=intent, inverted=inverted, instance_number=instance_number)
    ds.ViewPosition = view_position
    ds.ImageLaterality = "U"
    ds.PatientOrientation = ["L", "F"]
    ds.AnatomicRegionSequence = [_coded(codes.SCT.Chest)]
    views = {"AP": codes.SCT.AnteroPosterior, "LL": codes.SCT.LeftLateral, "RL": codes.SCT.RightLateral}
    ds.ViewCodeSequence = [_coded(views.get(view_position, codes.SCT.PosteroAnterior))]
    if imager_spacing_mm is not None:
        ds.ImagerPixelSpacing = [_ds(value) for value in imager_spacing_mm]
    _grey(ds, values if values is not None else a_picture(rows=rows, columns=columns, bits=bits_stored), bits_stored)
    ds.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    return _apply(ds, attributes)


def a_mammogram(
    *,
    values: NDArray[Any] | None = None,
    intent: str = FOR_PRESENTATION,
    view: str = "CC",
    laterality: str = "R",
    magnified: bool = False,
    imager_spacing_mm: tuple[float, float] = (0.07, 0.07),
    magnification: float | None = 1.07,
    patient: Patient = ADA,
    study: str = "study",
    series: str = "mammogram",
    instance: object = 1,
    instance_number: int | None = 1,
    attributes: Attributes | None = None,
) -> Dataset:
    """A digital mammogram (MG), CC or MLO. ``magnified`` gives its view a modifier."""
    presentation = intent == FOR_PRESENTATION
    uid = (
        DigitalMammographyXRayImageStorageForPresentation if presentation
        else DigitalMammographyXRayImageStorageForProcessing
    )  # fmt: skip
    ds = _common(
        sop_class_uid=uid, modality="MG", patient=patient, study=study, series=series, instance=instance,
        series_number=1, description=f"{laterality} {view}", body_part="BREAST",
    )  # fmt: skip
    _digital_xray(ds, intent=intent, inverted=False, instance_number=instance_number)
    ds.ViewPosition = view
    ds.ImageLaterality = laterality
    ds.PatientOrientation = ["A", "R"] if laterality == "R" else ["P", "L"]
    ds.AnatomicRegionSequence = [_coded(codes.SCT.Breast)]
    code = _coded(codes.SCT.CranioCaudal if view == "CC" else codes.SCT.MedioLateralObliqueProjection)
    code.ViewModifierCodeSequence = [_coded(codes.SCT.Magnification)] if magnified else []
    ds.ViewCodeSequence = [code]
    ds.PartialView = "NO"
    ds.OrganExposed = "BREAST"
    ds.BreastImplantPresent = "NO"
    ds.PositionerType = "MAMMOGRAPHIC"
    ds.ImagerPixelSpacing = [_ds(value) for value in imager_spacing_mm]
    if magnification is not None:
        ds.EstimatedRadiographicMagnificationFactor = _ds(magnification)
    _grey(ds, values if values is not None else a_picture(), 12)
    return _apply(ds, attributes)


def a_computed_radiograph(
    *,
    values: NDArray[Any] | None = None,
    rows: int = 48,
    columns: int = 40,
    bits_stored: int = 10,
    inverted: bool = True,
    imager_spacing_mm: tuple[float, float] | None = (0.1, 0.1),
    view_position: str = "PA",
    patient: Patient = ADA,
    study: str = "study",
    series: str = "cr",
    instance: object = 1,
    instance_number: int | None = 1,
    attributes: Attributes | None = None,
) -> Dataset:
    """A computed radiograph (CR), by default in MONOCHROME1 as many plate readers write it."""
    ds = _common(
        sop_class_uid=ComputedRadiographyImageStorage, modality="CR", patient=patient, study=study, series=series,
        instance=instance, series_number=1, description="CHEST", body_part="CHEST",
    )  # fmt: skip
    ds.InstanceNumber = instance_number
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.PatientOrientation = ["L", "F"]
    ds.ViewPosition = view_position
    if imager_spacing_mm is not None:
        ds.ImagerPixelSpacing = [_ds(value) for value in imager_spacing_mm]
    _grey(ds, values if values is not None else a_picture(rows=rows, columns=columns, bits=bits_stored), bits_stored)
    ds.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    return _apply(ds, attributes)


def an_angiogram(
    *,
    values: NDArray[Any] | None = None,
    frames: int = 5,
    frame_time_ms: float | None = 66.7,
    imager_spacing_mm: tuple[float, float] | None = (0.3, 0.3),
    patient: Patient = ADA,
    study: str = "study",
    series: str = "angiogram",
    instance: object = 1,
    instance_number: int | None = 1,
    attributes: Attributes | None = None,
) -> Dataset:
    """An X-ray angiogram (XA): a cine run. ``values`` has shape (frame, row, column)."""
    ds = _common(
        sop_class_uid=XRayAngiographicImageStorage, modality="XA", patient=patient, study=study, series=series,
        instance=instance, series_number=1, description="LCA", body_part="HEART",
    )  # fmt: skip
    ds.InstanceNumber = instance_number
    ds.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    ds.PatientOrientation = None
    ds.PixelIntensityRelationship = "LIN"
    ds.KVP = 80
    ds.RadiationSetting = "GR"
    ds.XRayTubeCurrent = 500
    ds.ExposureTime = 8
    ds.PositionerMotion = "STATIC"
    ds.PositionerPrimaryAngle = 30
    ds.PositionerSecondaryAngle = -20
    ds.LossyImageCompression = "00"
    if imager_spacing_mm is not None:
        ds.ImagerPixelSpacing = [_ds(value) for value in imager_spacing_mm]
    if frame_time_ms is not None:
        ds.FrameTime = _ds(frame_time_ms)
        ds.FrameIncrementPointer = 0x00181063
    stack = values if values is not None else a_picture(frames=frames, bits=8)
    _pixels(ds, stack.astype(np.uint8), bits_stored=8, frames=len(stack))
    return _apply(ds, attributes)


def a_region(
    *,
    bounds: tuple[int, int, int, int],
    delta_cm: tuple[float, float] = (0.03, 0.025),
    spatial_format: int = 1,
    data_type: int = 1,
    units: int = 3,
) -> Dataset:
    """An ultrasound region: ``bounds`` are (left, top, right, bottom), all inside; ``delta_cm`` is (row, column)."""
    return _item(
        RegionSpatialFormat=spatial_format, RegionDataType=data_type, RegionFlags=2, RegionLocationMinX0=bounds[0],
        RegionLocationMinY0=bounds[1], RegionLocationMaxX1=bounds[2], RegionLocationMaxY1=bounds[3],
        PhysicalUnitsXDirection=units, PhysicalUnitsYDirection=units, PhysicalDeltaX=delta_cm[1],
        PhysicalDeltaY=delta_cm[0],
    )  # fmt: skip


def an_ultrasound(
    *,
    values: NDArray[Any] | None = None,
    rows: int = 48,
    columns: int = 40,
    frames: int | None = None,
    frame_time_ms: float | None = 40.0,
    photometric: str = "MONOCHROME2",
    regions: Sequence[Dataset] | None = None,
    patient: Patient = ADA,
    study: str = "study",
    series: str = "ultrasound",
    instance: object = 1,
    instance_number: int | None = 1,
    attributes: Attributes | None = None,
) -> Dataset:
    """An ultrasound image (US), or a cine run of ``frames``.

    ``values`` are 8-bit samples: (row, column) or (row, column, sample), a frame axis before them for a run. They are
    what ``photometric`` says; of YBR_FULL_422 (an even number of columns) every second chrominance is stored. By
    default one calibrated region of 2D tissue covers all but a margin of two pixels.
    """
    colour = photometric not in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    if values is None:
        grey = a_picture(rows=rows, columns=columns, frames=frames, bits=8).astype(np.uint8)
        values = np.stack([grey, grey[..., ::-1, :], grey[..., ::-1]], axis=-1) if colour else grey
    multi = frames is not None
    rows, columns = values.shape[int(multi) : int(multi) + 2]
    uid = UltrasoundMultiFrameImageStorage if multi else UltrasoundImageStorage
    ds = _common(
        sop_class_uid=uid, modality="US", patient=patient, study=study, series=series, instance=instance,
        series_number=1, description="HEART", body_part="HEART",
    )  # fmt: skip
    ds.InstanceNumber = instance_number
    ds.ImageType = ["ORIGINAL", "PRIMARY", "CARDIOLOGY"]
    ds.PatientOrientation = None
    ds.LossyImageCompression = "00"
    ds.UltrasoundColorDataPresent = int(colour)
    whole = [a_region(bounds=(2, 2, columns - 3, rows - 3))]
    ds.SequenceOfUltrasoundRegions = list(whole if regions is None else regions)
    if multi and frame_time_ms is not None:
        ds.FrameTime = _ds(frame_time_ms)
        ds.FrameIncrementPointer = 0x00181063
    samples = values.astype(np.uint8)
    _pixels(ds, samples.reshape(rows, columns, -1) if colour and not multi else samples[..., 0] if colour else samples,
            bits_stored=8, frames=len(samples) if multi else None)  # fmt: skip
    if colour:
        ds.SamplesPerPixel, ds.PlanarConfiguration = 3, 0
        raw = (_halved(samples) if photometric == "YBR_FULL_422" else samples).tobytes()
        ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds.PhotometricInterpretation = photometric
    return _apply(ds, attributes)


def _halved(ybr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Y Y Cb Cr of every two neighbours of a row (PS3.3 C.7.6.3.1.2)."""
    return np.concatenate([ybr[..., 0::2, :1], ybr[..., 1::2, :1], ybr[..., ::2, 1:]], axis=-1)


def _coded(code: Code) -> Dataset:
    return _code(code.value, code.scheme_designator, code.meaning)


def _grey(ds: Dataset, values: NDArray[Any], bits_stored: int) -> None:
    _pixels(ds, np.asarray(values).astype(np.uint16), bits_stored=bits_stored)


def _digital_xray(ds: Dataset, *, intent: str, inverted: bool, instance_number: int | None) -> None:
    ds.InstanceNumber = instance_number
    ds.PresentationIntentType = intent
    ds.ImageType = ["ORIGINAL" if intent == FOR_PROCESSING else "DERIVED", "PRIMARY"]
    ds.PixelIntensityRelationship = "LOG" if intent == FOR_PRESENTATION else "LIN"
    ds.PixelIntensityRelationshipSign = 1 if inverted else -1
    ds.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.LossyImageCompression = "00"
    ds.BurnedInAnnotation = "NO"
    ds.DetectorType = "DIRECT"
    ds.PositionerType = None
    ds.KVP = 120
    ds.AcquisitionContextSequence = []
    if intent == FOR_PRESENTATION:
        ds.WindowCenter, ds.WindowWidth = 2048, 4096
