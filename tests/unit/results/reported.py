"""Conclusions of every kind for the tests of the reports, encoded and gated by themselves or as a whole set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset

from tests.unit.results import given, reading
from worker.domain.codes import HOUNSFIELD, MILLILITRE, MILLIMETRE, Code
from worker.domain.findings import (
    Classification,
    Conclusion,
    Detection,
    Evaluation,
    Measurement,
    Narrative,
    OperatingPoint,
    Presence,
    QualityStatement,
    Quantification,
    Region,
)
from worker.domain.profile import OHIF, Profile
from worker.domain.regions import Box, Circle, Ellipse, Line, Point, Polygon, Shape
from worker.domain.result import EncodedObject, GateReport
from worker.gate.header import REPORT_CLASS, TEXT_CLASS
from worker.gate.result_gate import ResultGate
from worker.results.encoder import DicomEncoder

PNEUMOTHORAX = Code("36118008", "SCT", "Pneumothorax")
EDEMA = Code("79654002", "SCT", "Edema")
DIAMETER = Code("81827009", "SCT", "Diameter")
MEAN = Code("373098007", "SCT", "Mean")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MARGINS = Evaluation(Code("129737002", "SCT", "Margins"), Code("129738007", "SCT", "Circumscribed"))

SHAPES: dict[str, Shape] = {
    "box": Box((4.5, 5.5), (10.5, 14.5)),
    "point": Point((20.0, 21.25)),
    "circle": Circle((15.0, 30.0), 4.0),
    "ellipse": Ellipse(((10.0, 10.0), (10.0, 20.0)), ((7.0, 15.0), (13.0, 15.0))),
    "polygon": Polygon(np.array([[3.0, 3.0], [3.0, 9.0], [8.0, 6.0]])),
    "line": Line(np.array([[3.0, 3.0], [13.0, 23.0]])),
}


def a_region(name: str, shape: Shape, slice_index: int = 1, **changes: object) -> Region:
    region = Region(
        label=f"Nodule {name}", tracking_identifier=f"AI nodule {name}", category=given.ABNORMAL, type=given.NODULE,
        shape=shape, slice_index=slice_index,
    )  # fmt: skip
    return replace(region, **changes)  # type: ignore[arg-type]


def regions() -> tuple[Region, ...]:
    """One of each shape, with everything that a region can say."""
    own: dict[str, dict[str, object]] = {
        "box": {
            "extent": (0, 3), "probability": 0.931, "site": given.LUNG, "laterality": given.RIGHT,
            "measurements": (Measurement(DIAMETER, 8.25, MILLIMETRE), Measurement(given.VOLUME, 0.31, MILLILITRE)),
        },
        "point": {"probability": 0.5},
        "circle": {"measurements": (Measurement(DIAMETER, 6.0, MILLIMETRE),), "site": given.LUNG},
        "polygon": {
            "measurements": (Measurement(ATTENUATION, -512.5, HOUNSFIELD, derivation=MEAN),), "evaluations": (MARGINS,),
        },
    }  # fmt: skip
    return tuple(
        a_region(name, shape, index % 6, **own.get(name, {})) for index, (name, shape) in enumerate(SHAPES.items(), 1)
    )


PRESENT = Classification(
    "Pneumothorax", "AI pneumothorax", PNEUMOTHORAX, Presence.PRESENT, probability=0.931,
    operating_point=OperatingPoint(0.5, 0.95, 0.9), urgent=True, key_slices=(2, 3),
)  # fmt: skip
ABSENT = Classification("Edema", "AI edema", EDEMA, Presence.ABSENT, 0.02, OperatingPoint(0.5))
UNSURE = Classification("Effusion", "AI effusion", Code("60046008", "SCT", "Pleural effusion"), Presence.INDETERMINATE)
AMOUNT = Quantification(
    "Lung volume", "AI lung volume", given.LUNG, (Measurement(given.VOLUME, 4.2, MILLILITRE, derivation=MEAN),),
    site=given.LUNG, laterality=given.LEFT, key_slices=(1,),
)  # fmt: skip
FINDINGS = Narrative(Code("59776-5", "LN", "Findings"), "The lungs are clear.")
IMPRESSIONS = Narrative(Code("19005-8", "LN", "Impressions"), "Nothing acute.\nFollow-up as usual.")
QUALITY = QualityStatement("motion", "Motion blurs the lower slices.")


def everything(study: given.Study) -> Conclusion:
    """Segments and every other kind of finding that a report can say."""
    base = given.a_conclusion(study.volume, absent=("Trachea",))
    detected = Detection(regions(), absent=("Mass",))
    others = (detected, PRESENT, ABSENT, UNSURE, AMOUNT, FINDINGS, IMPRESSIONS, QUALITY)
    return replace(base, findings=(*base.findings, *others), notes=("few slices",))


def only(study: given.Study, *findings: object) -> Conclusion:
    return replace(given.a_conclusion(study.volume), findings=findings)


def detected(study: given.Study, *found: Region) -> Conclusion:
    return only(study, Detection(found))


def encoded(study: given.Study, conclusion: Conclusion, profile: Profile = OHIF) -> tuple[EncodedObject, ...]:
    return DicomEncoder(standard=profile).encode(conclusion, study.evidence, given.CONTEXT)


def gated(
    objects: Sequence[EncodedObject], study: given.Study, conclusion: Conclusion, profile: Profile = OHIF
) -> GateReport:
    return ResultGate(standard=profile).check(objects, conclusion, study.evidence, given.CONTEXT)


def reports(study: given.Study, conclusion: Conclusion, profile: Profile = OHIF) -> list[Dataset]:
    """The measurement reports of a set that passes the gate."""
    return _of_class(REPORT_CLASS, study, conclusion, profile)


def texts(study: given.Study, conclusion: Conclusion, profile: Profile = OHIF) -> list[Dataset]:
    """The text reports of a set that passes the gate."""
    return _of_class(TEXT_CLASS, study, conclusion, profile)


def _of_class(sop_class: str, study: given.Study, conclusion: Conclusion, profile: Profile) -> list[Dataset]:
    objects = encoded(study, conclusion, profile)
    report = gated(objects, study, conclusion, profile)
    assert report.passed, report.failures
    return [reading.dataset(item) for item in objects if item.sop_class_uid == sop_class]


def groups(ds: Dataset) -> dict[str, list[Dataset]]:
    """Measurement groups by tracking identifier."""
    found: dict[str, list[Dataset]] = {}
    for group in reading.named(ds, "125007"):
        found.setdefault(str(reading.named(group, "112039")[0].TextValue), []).append(group)
    return found


def said(ds: Dataset) -> list[str]:
    return [str(item.TextValue) for item in reading.items(ds) if item.ValueType == "TEXT"]
