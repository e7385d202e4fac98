"""Which series the shipped models want, judged by the routing rules themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from worker.domain.routing import Rule
from worker.domain.study import (
    Digest,
    IndexedHeader,
    InstanceHeader,
    PatientIdentity,
    SeriesInstanceUID,
    SeriesSummary,
    SOPClassUID,
    SOPInstanceUID,
    StoredInstance,
    StudyInstanceUID,
    TransferSyntaxUID,
)
from worker.inference.manifest.manifest import Manifest, parse_manifest
from worker.pipeline.selection import refusals, score

MODELS = Path(__file__).parents[4] / "models"


def rule_of(model: str) -> Rule:
    manifest: Manifest = parse_manifest((MODELS / model / "manifest.toml").read_bytes())
    return Rule(
        name=model,
        model=model,
        conditions=manifest.input.to_conditions(),
        preferences=tuple(one.to_preference() for one in manifest.input.preferences),
    )


LUNGS, BRAIN = rule_of("lungs-airways-ct"), rule_of("brain-mr-t1")


def a_series(
    modality: str,
    *,
    orientation: str = "axial",
    slices: int = 60,
    spacing_mm: float | None = 2.5,
    thickness_mm: float | None = 2.5,
    **attributes: str,
) -> SeriesSummary:
    study, series = StudyInstanceUID("2.25.1"), SeriesInstanceUID("2.25.2")
    indexed = IndexedHeader(
        SOPClassUID("1.2.840.10008.5.1.4.1.1.2"), SOPInstanceUID("2.25.3"), study, series,
        PatientIdentity("", "", "", ""), "", modality, "", "", "",
    )  # fmt: skip
    instance = StoredInstance(
        indexed, TransferSyntaxUID("1.2.840.10008.1.2.1"), Digest("0" * 64), 1, Path("x"), "A", datetime.now(UTC)
    )
    values = {keyword: tuple(text.split("\\")) for keyword, text in attributes.items()}
    header = InstanceHeader(instance, values, 256, 256, 1, None, None, None)
    return SeriesSummary(
        series, study, modality, (header,), orientation, slices, spacing_mm, thickness_mm, 256, 256
    )  # fmt: skip


@pytest.mark.parametrize(
    "attributes",
    [
        {"BodyPartExamined": "CHEST"},
        {},
        {"BodyPartExamined": "THORAX", "SeriesDescription": "Thorax 1.0 B70f"},
        {"SeriesDescription": "CT Chest w/ contrast"},
        {"BodyPartExamined": "CHEST", "ImageType": "ORIGINAL\\PRIMARY\\AXIAL"},
    ],
)
def test_chest_ct_is_wanted(attributes: dict[str, str]) -> None:
    assert refusals(LUNGS, a_series("CT", **attributes)) == ()


@pytest.mark.parametrize(
    "series",
    [
        a_series("CT", BodyPartExamined="HEAD"),
        a_series("CT", BodyPartExamined="brain"),
        a_series("CT", SeriesDescription="HEAD 2.5 mm"),
        a_series("CT", SeriesDescription="CT Sinuses axial"),
        a_series("MR", BodyPartExamined="CHEST"),
        a_series("CT", BodyPartExamined="CHEST", orientation="coronal"),
        a_series("CT", BodyPartExamined="CHEST", slices=12),
        a_series("CT", BodyPartExamined="CHEST", spacing_mm=10.0),
        a_series("CT", BodyPartExamined="CHEST", spacing_mm=None),
        a_series("CT", BodyPartExamined="CHEST", ImageType="DERIVED\\SECONDARY\\MPR"),
        a_series("CT", BodyPartExamined="CHEST", ImageType="ORIGINAL\\PRIMARY\\LOCALIZER"),
    ],
)
def test_other_ct_is_not(series: SeriesSummary) -> None:
    assert refusals(LUNGS, series)


def test_thin_slices_of_the_chest_are_preferred() -> None:
    thin = a_series("CT", BodyPartExamined="CHEST", thickness_mm=1.0)
    thick = a_series("CT", BodyPartExamined="CHEST", thickness_mm=5.0)
    other = a_series("CT", thickness_mm=1.0)
    assert score(LUNGS, thin)[0] > score(LUNGS, thick)[0] > score(LUNGS, other)[0]


@pytest.mark.parametrize(
    "description",
    [
        "T1 AXIAL +C", "t1_mprage_sag_p2_iso", "3D MP-RAGE", "Ax T1 FLAIR", "SAG FSPGR BRAVO", "T1W_3D_TFE",
        "t1_vibe_tra", "MP2RAGE_UNI", "AX 3D SPGR POST",
    ],
)  # fmt: skip
@pytest.mark.parametrize("part", ["BRAIN", "HEAD", "", "HEADNECK", "SKULL"])
def test_t1_of_the_head_is_wanted(description: str, part: str) -> None:
    series = a_series("MR", orientation="sagittal", SeriesDescription=description, BodyPartExamined=part)
    assert refusals(BRAIN, series) == ()


@pytest.mark.parametrize(
    "attributes",
    [
        {"SeriesDescription": "AX T2 FSE"},
        {"SeriesDescription": "FLAIR"},
        {"SeriesDescription": "ep2d_diff_ADC"},
        {"SeriesDescription": "SWI_Images"},
        {"SeriesDescription": "TOF_3D_multi-slab"},
        {"SeriesDescription": "T1 mapping"},
        {"SeriesDescription": "SAG T1 C-SPINE"},
        {"SeriesDescription": "t1_tse_sag_knee"},
        {"SeriesDescription": "T1 VIBE", "BodyPartExamined": "ABDOMEN"},
        {"SeriesDescription": "T1 TSE", "BodyPartExamined": "LSPINE"},
        {},
    ],
)
def test_other_mr_is_not(attributes: dict[str, str]) -> None:
    assert refusals(BRAIN, a_series("MR", **attributes))


def test_ct_is_no_mr() -> None:
    assert refusals(BRAIN, a_series("CT", SeriesDescription="T1", BodyPartExamined="HEAD"))
