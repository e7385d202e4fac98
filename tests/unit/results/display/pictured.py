"""Conclusions with everything that a picture can show, and profiles that want all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.results import given, projection, reading
from worker.domain.codes import Code, Unit
from worker.domain.findings import (
    Classification,
    Conclusion,
    Detection,
    HeatMap,
    Narrative,
    OperatingPoint,
    Presence,
    QualityStatement,
    Region,
)
from worker.domain.profile import KeyImages, Profile
from worker.domain.regions import Box, Circle, Ellipse, Line, Point, Polygon
from worker.domain.result import EncodedObject, GateReport, ResultKind
from worker.domain.volume import Volume
from worker.gate.result_gate import ResultGate
from worker.results.encoder import DicomEncoder

PNEUMOTHORAX = Code("36118008", "SCT", "Pneumothorax")
EFFUSION = Code("60046008", "SCT", "Pleural effusion")
ACTIVATION = Code("130402", "DCM", "Class activation")
FINDINGS = Code("121070", "DCM", "Findings")
NO_UNITS = Unit("1", "no units")

FULL = Profile(
    name="full", key_images=KeyImages.SINGLE_FRAME, key_object_selection=True, presentation_state=True
)  # fmt: skip
FRAMES = replace(FULL, name="frames", key_images=KeyImages.MULTI_FRAME)

PICTURES = frozenset({ResultKind.PM, ResultKind.SC, ResultKind.KEY, ResultKind.PR})


def a_heat_map(
    volume: Volume, *, label: str = "Suspicion", at: tuple[float, float, float] = (0.7, 0.3, 0.6)
) -> HeatMap:
    """A hill that no flip or turn maps onto itself, highest at a share of each axis."""
    shape = volume.geometry.shape
    axes = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij")
    away = sum(((axis - n * place) / max(n * 0.2, 1.0)) ** 2 for axis, n, place in zip(axes, shape, at, strict=True))
    values = np.exp(-np.asarray(away)) + axes[2] / 1000
    return HeatMap(label, values.astype(np.float32), ACTIVATION, NO_UNITS, (0.0, 1.0))


def a_region(volume: Volume, label: str, *, index: int, kind: str = "box", **changes: Any) -> Region:
    """A region of a kind of shape, off the middle."""
    _, rows, columns = volume.geometry.shape
    top, left, bottom, right = rows * 0.25, columns * 0.3, rows * 0.5, columns * 0.55
    shape = {
        "box": Box((top, left), (bottom, right)),
        "circle": Circle((top, left), rows * 0.15),
        "ellipse": Ellipse(
            ((top, left), (bottom, left)), (((top + bottom) / 2, left - 3), ((top + bottom) / 2, left + 3))
        ),
        "point": Point((top, left)),
        "line": Line(np.array([(top, left), (bottom, right)])),
        "polygon": Polygon(np.array([(top, left), (top, right), (bottom, left)])),
    }[kind]
    region = Region(
        label=label, tracking_identifier=f"AI {label}", category=given.ABNORMAL, type=given.NODULE, shape=shape,
        slice_index=index, probability=0.83,
    )  # fmt: skip
    return replace(region, **changes)


def a_classification(presence: Presence = Presence.PRESENT, **changes: Any) -> Classification:
    found = presence is Presence.PRESENT
    one = Classification(
        label="Pneumothorax" if found else "Effusion",
        tracking_identifier="AI pneumothorax" if found else "AI effusion",
        finding=PNEUMOTHORAX if found else EFFUSION,
        presence=presence,
        probability=0.93 if found else 0.03,
        operating_point=OperatingPoint(0.5),
        urgent=found,
    )
    return replace(one, **changes)


def everything(volume: Volume, *, segments: bool = True) -> Conclusion:
    """Every kind of finding, on several slices where there are several."""
    last = volume.geometry.shape[0] - 1
    conclusion = given.a_conclusion(volume, absent=("Trachea",))
    if not volume.has_spacing:
        conclusion = without_measurements(conclusion)
    found = (
        Detection(
            (
                a_region(volume, "Lesion 1", index=min(1, last)),
                a_region(volume, "Lesion 2", index=last, kind="circle", colour_rgb=(0, 255, 120)),
            ),
            ("Calcification",),
        ),
        a_heat_map(volume),
        a_classification(),
        a_classification(Presence.ABSENT),
        QualityStatement("few-slices", "The series has thick slices."),
        Narrative(FINDINGS, "There may be a lesion."),
    )
    return replace(conclusion, findings=(*(conclusion.findings if segments else ()), *found))


def without_measurements(conclusion: Conclusion) -> Conclusion:
    """Segments without volumes: nothing may be stated in millilitres where millimetres are not known."""
    (finding,) = conclusion.segmentations
    bare = tuple(replace(segment, measurements=()) for segment in finding.segments)
    return replace(conclusion, findings=(replace(finding, segments=bare),))


@dataclass(frozen=True)
class Encoded:
    """What one profile's destinations get, and what the gate says of it."""

    study: given.Study
    conclusion: Conclusion
    profile: Profile
    objects: tuple[EncodedObject, ...]

    def of(self, kind: ResultKind) -> list[Any]:
        return [reading.dataset(one) for one in self.objects if one.kind is kind]

    def check(self, objects: Sequence[EncodedObject] | None = None) -> GateReport:
        gate = ResultGate(standard=self.profile)
        return gate.check(objects or self.objects, self.conclusion, self.study.evidence, given.CONTEXT)

    def failures(self, objects: Sequence[EncodedObject] | None = None) -> dict[str, str]:
        """The checks of pictures that failed, by name."""
        prefixes = ("pm-", "sc-", "key-", "pr-", "pictures", "whole", "readable")
        return {one.name: one.detail for one in self.check(objects).failures if one.name.startswith(prefixes)}


def encoded(study: given.Study, conclusion: Conclusion | None = None, profile: Profile = FULL) -> Encoded:
    conclusion = conclusion or everything(study.volume)
    encoder = DicomEncoder(standard=profile)
    return Encoded(study, conclusion, profile, encoder.encode(conclusion, study.evidence, given.CONTEXT))


def a_ct(folder: Path, **arguments: Any) -> given.Study:
    return given.a_study(folder, **{"rows": 48, "columns": 64, **arguments})


def a_radiograph(
    folder: Path, *, spacing_mm: tuple[float, float] | None = (0.2, 0.15), modality: str = "DX", **changes: Any
) -> given.Study:
    """One projection image with something to see, oblong pixels, and rows that lead to the patient's left."""
    rows, columns = 60, 50
    i, j = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    values = (i * 20 + j * 8).astype(np.uint16)
    attributes: dict[str, Any] = {"PixelData": values.tobytes(), **changes}
    if spacing_mm is not None:
        attributes["PixelSpacing" if modality == "CR" else "ImagerPixelSpacing"] = list(spacing_mm)
    image = projection.an_image(modality=modality, rows=rows, columns=columns, **attributes)
    study = projection.a_study(folder, [image], spacing_mm=spacing_mm)
    return replace(study, volume=replace(study.volume, voxels=values[None].astype(np.float32)))
