"""Studies, volumes and conclusions for the tests of this room: small, and known voxel by voxel."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from tests import builders
from worker.domain.codes import MILLILITRE, Code
from worker.domain.findings import Conclusion, Measurement, Segment, Segmentation
from worker.domain.model import Algorithm, ModelIdentity
from worker.domain.result import ResultContext
from worker.domain.study import Digest, FrameOfReferenceUID, SeriesInstanceUID, SOPInstanceUID, StoredInstance
from worker.domain.volume import Geometry, SliceRef, Volume

ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
LUNG = Code("39607008", "SCT", "Lung")
NODULE = Code("27925004", "SCT", "Nodule")
VOLUME = Code("118565006", "SCT", "Volume")
RIGHT = Code("24028007", "SCT", "Right")
LEFT = Code("7771000", "SCT", "Left")


def digest(text: str) -> Digest:
    return Digest(hashlib.sha256(text.encode()).hexdigest())


CONTEXT = ResultContext(created_at=datetime(2026, 3, 14, 12, 30, 5, 250000, tzinfo=UTC), config_digest=digest("site"))

ALGORITHM = Algorithm(
    model=ModelIdentity("lungs-ct", "1.2.3", digest("weights")),
    title="Lungs and airways, chest CT",
    manufacturer="Overread Models",
    parameters=("threshold=0.5",),
    provider="CPUExecutionProvider",
)


@dataclass(frozen=True)
class Study:
    """Files, their records and the volume that they make."""

    paths: tuple[Path, ...]
    evidence: tuple[StoredInstance, ...]
    volume: Volume


def affine(
    *, orientation: Sequence[float], origin: Sequence[float], spacing_mm: Sequence[float], step: Sequence[float] | None
) -> NDArray[np.float64]:
    matrix = np.eye(4)
    normal = builders.normal_of(orientation)
    matrix[:3, 0] = normal * spacing_mm[0] if step is None else step
    matrix[:3, 1] = np.asarray(orientation[3:]) * spacing_mm[1]
    matrix[:3, 2] = np.asarray(orientation[:3]) * spacing_mm[2]
    matrix[:3, 3] = origin
    return matrix


def a_study(
    folder: Path,
    *,
    slices: int = 6,
    rows: int = 32,
    columns: int = 40,
    spacing_mm: tuple[float, float, float] = (2.5, 0.8, 0.7),
    orientation: Sequence[float] = builders.AXIAL,
    origin: Sequence[float] = (-14.0, -12.0, 5.0),
    step_mm: Sequence[float] | None = None,
    modality: str = "CT",
    **arguments: Any,
) -> Study:
    """A single-frame CT or MR series."""
    make = {"CT": builders.a_ct_series, "MR": builders.an_mr_series}[modality]
    if step_mm is not None:
        arguments["step_mm"] = step_mm
    paths = make(
        folder, slices=slices, rows=rows, columns=columns, spacing_mm=spacing_mm, orientation=orientation,
        origin=origin, **arguments,
    )  # fmt: skip
    evidence = builders.stored_instances(paths)
    matrix = affine(orientation=orientation, origin=origin, spacing_mm=spacing_mm, step=step_mm)
    refs = tuple(SliceRef(instance.sop_instance_uid) for instance in evidence)
    return Study(paths, evidence, a_volume(paths[0], matrix, refs, (slices, rows, columns), modality))


def an_enhanced_study(
    folder: Path, *, frame_order: Sequence[int] | None = None, modality: str = "CT", **arguments: Any
) -> Study:
    """One multi-frame object; ``frame_order[n]`` is the plane of frame n + 1."""
    make = {"CT": builders.an_enhanced_ct, "MR": builders.an_enhanced_mr}[modality]
    ds = make(frame_order=frame_order, **arguments)
    path = builders.write(ds, folder / "enhanced.dcm")
    evidence = builders.stored_instances([path])
    order = list(frame_order) if frame_order is not None else list(range(int(ds.NumberOfFrames)))
    first = ds.PerFrameFunctionalGroupsSequence[order.index(0)].PlanePositionSequence[0]
    shared = ds.SharedFunctionalGroupsSequence[0]
    measures = shared.PixelMeasuresSequence[0]
    matrix = affine(
        orientation=[float(v) for v in shared.PlaneOrientationSequence[0].ImageOrientationPatient],
        origin=[float(v) for v in first.ImagePositionPatient],
        spacing_mm=[float(measures.SliceThickness), *(float(v) for v in measures.PixelSpacing)],
        step=None,
    )
    refs = tuple(SliceRef(evidence[0].sop_instance_uid, order.index(plane) + 1) for plane in sorted(set(order)))
    shape = (len(refs), int(ds.Rows), int(ds.Columns))
    return Study((path,), evidence, a_volume(path, matrix, refs, shape, modality))


def a_volume(
    path: Path, matrix: NDArray[np.float64], refs: tuple[SliceRef, ...], shape: tuple[int, int, int], modality: str
) -> Volume:
    ds = dcmread(path, stop_before_pixels=True)
    uid = ds.get("FrameOfReferenceUID")
    return Volume(
        voxels=builders.a_ct_phantom(slices=shape[0], rows=shape[1], columns=shape[2]).astype(np.float32),
        geometry=Geometry(shape=shape, affine_lps=matrix),
        slices=refs,
        modality=modality,
        series_instance_uid=SeriesInstanceUID(str(ds.SeriesInstanceUID)),
        frame_of_reference_uid=FrameOfReferenceUID(str(uid)) if uid else None,
    )


def labels_of(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Two structures that no flip or turn maps onto themselves; the second touches the border."""
    labels = np.zeros(shape, dtype=np.uint8)
    slices, rows, columns = shape
    labels[: slices - slices // 3, 3 : rows // 2, 4 : columns - 7] = 1
    labels[0, 3:6, 4:20] = 0
    labels[slices // 2 :, rows // 2 + 2 :, columns - 9 :] = 2
    labels[-1, rows - 2 :, columns - 4 :] = 0
    return labels


def a_segment(
    number: int, label: str, *, volume: Volume, labels: NDArray[Any], nodule: bool = False, side: Code | None = None
) -> Segment:
    millilitres = float(np.count_nonzero(labels == number)) * volume.geometry.voxel_volume_mm3 / 1000
    return Segment(
        number=number,
        label=label,
        category=ABNORMAL if nodule else ANATOMY,
        type=NODULE if nodule else LUNG,
        colour_rgb=(70, 160, 255) if number == 1 else (255, 60, 60),
        # A projection has no volume, and images without a pixel spacing nothing in millimetres.
        measurements=(Measurement(VOLUME, millilitres, MILLILITRE),) if volume.in_patient_space else (),
        tracking_identifier=f"AI {label}",
        laterality=side,
    )


def a_conclusion(
    volume: Volume, labels: NDArray[Any] | None = None, *, absent: tuple[str, ...] = (), **changes: Any
) -> Conclusion:
    """A right lung and a nodule (those of them that the labels hold)."""
    if labels is None:
        labels = labels_of(volume.geometry.shape)
    segments = [a_segment(1, "Right lung", volume=volume, labels=labels, side=RIGHT)]
    segments += [a_segment(2, "Nodule 1", volume=volume, labels=labels, nodule=True)]
    present = tuple(segment for segment in segments if (labels == segment.number).any())
    finding = Segmentation(labels=labels, segments=present, absent=absent)
    return replace(Conclusion(algorithm=ALGORITHM, volume=volume, findings=(finding,)), **changes)


def a_nested_conclusion(volume: Volume, labels: NDArray[Any]) -> Conclusion:
    """A right lung (1) with everything that lies in it: a nodule (2)."""
    whole = a_segment(1, "Right lung", volume=volume, labels=np.minimum(labels, 1), side=RIGHT)
    nodule = a_segment(2, "Nodule 1", volume=volume, labels=labels, nodule=True)
    finding = Segmentation(labels=labels, segments=(replace(whole, contains=(2,)), nodule))
    return Conclusion(algorithm=ALGORITHM, volume=volume, findings=(finding,))


def instance_uid(path: Path) -> SOPInstanceUID:
    return SOPInstanceUID(str(dcmread(path, stop_before_pixels=True).SOPInstanceUID))
