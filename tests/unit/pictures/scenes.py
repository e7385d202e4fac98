"""Volumes and conclusions to be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.domain.codes import MILLILITRE, Code, Unit
from worker.domain.findings import (
    Classification,
    Conclusion,
    Detection,
    HeatMap,
    Measurement,
    Narrative,
    OperatingPoint,
    Presence,
    QualityStatement,
    Quantification,
    Region,
    Segment,
    Segmentation,
)
from worker.domain.model import Algorithm, ModelIdentity
from worker.domain.regions import Box, Circle, Ellipse, Line, Point, Polygon, Shape
from worker.domain.study import Digest, FrameOfReferenceUID, SeriesInstanceUID, SOPInstanceUID
from worker.domain.volume import Geometry, SliceRef, Space, Volume

CODE = Code("39607008", "SCT", "Lung")
FINDINGS = Code("121070", "DCM", "Findings")
NO_UNIT = Unit("1", "no units")
RED = (255, 0, 0)
ALGORITHM = Algorithm(ModelIdentity("m", "1.2.3", Digest("d" * 64)), "A model", "Maker")

SHAPES: tuple[Shape, ...] = (
    Point((4.0, 5.0)),
    Line(np.array([[2.0, 2.0], [12.0, 20.0]])),
    Polygon(np.array([[3.0, 3.0], [12.0, 5.0], [9.0, 22.0]])),
    Box((3.0, 4.0), (9.0, 16.0)),
    Circle((9.0, 12.0), 4.0),
    Ellipse(((9.0, 4.0), (9.0, 20.0)), ((5.0, 12.0), (13.0, 12.0))),
)


def a_volume(
    affine: NDArray[Any] | None = None,
    *,
    shape: tuple[int, int, int] = (9, 20, 30),
    modality: str = "CT",
    fill: float = 40.0,
    **changes: Any,
) -> Volume:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) if affine is None else affine
    return Volume(
        voxels=np.full(shape, fill, np.float32),
        geometry=Geometry(shape, matrix),
        slices=tuple(SliceRef(SOPInstanceUID(f"1.{k}")) for k in range(shape[0])),
        modality=modality,
        series_instance_uid=SeriesInstanceUID("1.2"),
        frame_of_reference_uid=FrameOfReferenceUID("1.3"),
        **changes,
    )


def a_projection_image(frames: int = 1, **changes: Any) -> Volume:
    changes = {"space": Space.PLANE, "modality": "CR", **changes}
    return a_volume(np.array([[0, 0, 0.2], [0, 0.2, 0], [1, 0, 0]]), shape=(frames, 30, 24), **changes)


def segmented(
    volume: Volume, labels: NDArray[Any] | None = None, *, absent: tuple[str, ...] = ("Trachea",)
) -> Conclusion:
    if labels is None:
        labels = np.zeros(volume.geometry.shape, np.uint8)
    segments = tuple(
        Segment(n, f"Structure {n}", CODE, CODE, RED, (Measurement(CODE, 12.5, MILLILITRE),), f"AI {n}")
        for n in range(1, int(labels.max(initial=0)) + 1)
    )
    return Conclusion(ALGORITHM, volume, (Segmentation(labels, segments, absent),))


def a_region(shape: Shape, slice_index: int = 0, **changes: Any) -> Region:
    usual = {"label": "Nodule", "tracking_identifier": "AI nodule", "category": CODE, "type": CODE, "colour_rgb": RED}
    return Region(**{**usual, "shape": shape, "slice_index": slice_index, **changes})


def everything(volume: Volume) -> Conclusion:
    """Every kind of finding at once."""
    labels = np.zeros(volume.geometry.shape, np.uint8)
    labels[:, 3:9, 4:20] = 1
    finding = segmented(volume, labels).findings[0]
    values = np.linspace(0, 1, volume.voxels.size, dtype=np.float32).reshape(volume.voxels.shape)
    point = OperatingPoint(0.5, 0.9, 0.8)
    return Conclusion(
        ALGORITHM,
        volume,
        (
            finding,
            Detection(tuple(a_region(shape, probability=0.87) for shape in SHAPES), ("Fracture",)),
            Classification(
                "Pneumothorax", "AI 7", CODE, Presence.PRESENT, 0.93, point, True, (volume.voxels.shape[0] - 1,)
            ),
            Classification("Effusion", "AI 8", CODE, Presence.ABSENT),
            Quantification("Age", "AI 9", CODE, (Measurement(CODE, 61.4, Unit("a", "year")),)),
            HeatMap("Saliency", values, CODE, NO_UNIT, (0.0, 1.0)),
            Narrative(FINDINGS, "Clear lungs. " * 30),
            QualityStatement("few-slices", "The series has few slices."),
        ),
    )


def red(image: Image.Image) -> NDArray[np.intp]:
    """Places (row, column) that are clearly red."""
    pixels = np.asarray(image).astype(int)
    return np.argwhere((pixels[..., 0] > 190) & (pixels[..., 1] < 80) & (pixels[..., 2] < 80))
