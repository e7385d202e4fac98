"""What descriptions of hospitals say of the part of the body, and which series of them are a chest CT or a head MR."""

from __future__ import annotations

import pytest

from tests.unit.inference.manifest.test_inference_shipped_contracts import BRAIN, LUNGS, a_series, rule_of
from worker.pipeline.body_region import body_regions, regions_in
from worker.pipeline.selection import refusals

WORDS = {
    "CHEST ABDOMEN PELVIS W 5.0": "chest abdomen pelvis",
    "Chest, Abdomen & Pelvis": "chest abdomen pelvis",
    "C/A/P": "chest abdomen pelvis",
    "CT C/A/P w/o": "chest abdomen pelvis",
    "CAP 5.0": "chest abdomen pelvis",
    "TAP veineux": "chest abdomen pelvis",
    "CH/ABD/PEL": "chest abdomen pelvis",
    "CHABDPEL": "chest abdomen pelvis",
    "NECKCHESTABDPELV": "neck chest abdomen pelvis",
    "Thorax/Abdomen/Becken": "chest abdomen pelvis",
    "Hals-Thorax-Abdomen": "neck chest abdomen",
    "Th/Abd": "chest abdomen",
    "ThorAbdRoutine": "chest abdomen",
    "Thorax_Oberbauch": "chest abdomen",
    "TDM thoraco-abdomino-pelvienne": "chest abdomen pelvis",
    "TC TÓRAX-ABDOMEN-PELVIS": "chest abdomen pelvis",
    "TC TO\u0301RAX": "chest",  # the accent as a character of its own
    "TAC torace addome": "chest abdomen",
    "CT thorax-buik-bekken": "chest abdomen pelvis",
    "tórax, abdome e pelve": "chest abdomen pelvis",
    "C/A": "chest abdomen",
    "neck-chest": "neck chest",
    "HRCT": "chest",
    "Lungenembolie": "chest",
    "Poumons": "chest",
    "грудная клетка": "chest",
    "Whole body": "neck chest abdomen pelvis",
    "Ganzkörper": "neck chest abdomen pelvis",
    "WB low dose": "neck chest abdomen pelvis",
    "skull base to mid thigh": "neck chest abdomen pelvis",
    "Rumpf": "chest abdomen pelvis",
    "CHEST + T SPINE": "chest spine",
    "rachide e torace": "chest spine",
    # Not the chest.
    "Thoracic spine": "spine",
    "T-SPINE 2.0": "spine",
    "Cervical and thoracic spine": "spine",
    "columna torácica": "spine",
    "rachis thoracique": "spine",
    "Brustwirbelsäule": "spine",
    "ABD PEL LUNG BASES": "abdomen pelvis",
    "C+ ABD": "abdomen",
    "ABD/PEL": "abdomen pelvis",
    "CT A/P": "abdomen pelvis",
    "Oberbauch": "abdomen",
    "Becken": "pelvis",
    "pelvis óseo": "pelvis",
    "Schädel": "head",
    "Schaedel nativ": "head",
    "SCHADEL": "head",
    "cCT": "head",
    "CT_HEAD_5": "head",
    "Kopf": "head",
    "crâne": "head",
    "cráneo": "head",
    "cranio": "head",
    "hoofd": "head",
    "cabeça": "head",
    "Halsweichteile": "neck",
    "Kehlkopf": "neck",
    "Femoral head": "leg",
    "shoulder abduction": "arm",
    "t1_tse_sag_knee": "leg",
    "Coronary CTA": "heart",
    # No part of the body.
    "5.0 B30f": "",
    "LOW DOSE 1.0": "",
    "TAC con contraste": "",
    "coronal": "",
    "Lung window": "",
    "arms up": "",
    "Head first": "",
    "Darstellung": "",
    "Krankenhaus": "",
    "T1 spin echo": "",
    "": "",
}


@pytest.mark.parametrize(("text", "regions"), WORDS.items())
def test_the_regions_that_a_description_names(text: str, regions: str) -> None:
    assert regions_in([text]) == tuple(regions.split())


@pytest.mark.parametrize("text", [text for text in WORDS if text.isascii()])
def test_capitals_and_separators_say_the_same(text: str) -> None:
    if text != "cCT":
        assert regions_in([text.upper()]) == regions_in([text.upper().replace(" ", "_")])


@pytest.mark.parametrize(
    ("attributes", "regions", "by"),
    [
        ({"SeriesDescription": "Thorax 5.0", "BodyPartExamined": "ABDOMEN"}, "chest", "SeriesDescription"),
        ({"SeriesDescription": "PELVIS", "StudyDescription": "CT CAP"}, "pelvis", "SeriesDescription"),
        ({"SeriesDescription": "5.0", "BodyPartExamined": "HEAD", "StudyDescription": "CT CHEST"}, "head",
         "BodyPartExamined"),
        ({"SeriesDescription": "5.0", "BodyPartExamined": "ABDOMEN", "StudyDescription": "CT chest abdomen pelvis"},
         "chest abdomen pelvis", "BodyPartExamined"),
        ({"SeriesDescription": "5.0", "ProtocolName": "ThorAbdRoutine"}, "chest abdomen", "ProtocolName"),
        ({"StudyDescription": "CT Schädel"}, "head", "StudyDescription"),
        ({"BodyPartExamined": "CHESTABDPELVIS"}, "chest abdomen pelvis", "BodyPartExamined"),
        ({"SeriesDescription": "5.0"}, "unknown", ""),
    ],
)  # fmt: skip
def test_the_series_speaks_first_and_the_study_last(attributes: dict[str, str], regions: str, by: str) -> None:
    assert body_regions(a_series("CT", **attributes)) == (tuple(regions.split()), by)


@pytest.mark.parametrize("text", [text for text, regions in WORDS.items() if "chest" in regions or not regions])
def test_a_ct_that_names_the_chest_is_for_the_lungs_whatever_else_it_names(text: str) -> None:
    for part in ("CHEST", "ABDOMEN" if WORDS[text] else "CHEST", ""):
        assert refusals(LUNGS, a_series("CT", SeriesDescription=text, BodyPartExamined=part)) == ()


@pytest.mark.parametrize("text", [text for text, regions in WORDS.items() if regions and "chest" not in regions])
def test_a_ct_of_something_else_is_not(text: str) -> None:
    reasons = refusals(LUNGS, a_series("CT", SeriesDescription=text, BodyPartExamined="CHEST"))
    assert any("body_region" in reason and "by SeriesDescription" in reason for reason in reasons)


@pytest.mark.parametrize(
    "description",
    [
        "Chest MPR cor", "Thorax MIP 10.0", "MinIP", "Chest coronal reformat", "CHEST VRT", "Thorax Subtraktion",
        "Topogramm", "Scout chest", "localizador tórax", "Dose Report", "Patient Protocol", "Screen Save",
    ],
)  # fmt: skip
def test_what_is_no_stack_of_a_chest_is_refused_by_its_words(description: str) -> None:
    assert refusals(LUNGS, a_series("CT", SeriesDescription=description, BodyPartExamined="CHEST"))


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImageType": "DERIVED\\PRIMARY\\AXIAL", "LossyImageCompression": "01"},
        {"ImageType": "DERIVED\\PRIMARY\\AXIAL"},
        {"ImageType": "DERIVED\\PRIMARY\\AXIAL\\CT_SOM5 SPI"},
        {"ImageType": "DERIVED\\PRIMARY", "LossyImageCompression": "01"},
        {"ImageType": "DERIVED\\PRIMARY\\OTHER", "DerivationCodeValue": "113040"},
        {"SeriesDescription": "Thorax 1.0 for MPR"},
        {"SeriesDescription": "CHEST WO", "ImageType": "ORIGINAL\\PRIMARY\\AXIAL\\HELIX"},
    ],
)
def test_the_images_of_the_scanner_are_no_derived_ones_when_they_were_compressed(attributes: dict[str, str]) -> None:
    assert refusals(LUNGS, a_series("CT", **{"BodyPartExamined": "CHEST", **attributes})) == ()


@pytest.mark.parametrize(
    "image_type",
    [
        "DERIVED\\SECONDARY\\AXIAL", "DERIVED\\PRIMARY\\MPR", "DERIVED\\PRIMARY\\AXIAL\\MIP", "DERIVED\\PRIMARY",
        "ORIGINAL\\PRIMARY\\AXIAL\\CSA MPR", "DERIVED\\SECONDARY\\REFORMATTED\\AVERAGE",
        "DERIVED\\PRIMARY\\AXIAL\\MIN_IP",
        "DERIVED\\PRIMARY\\PROJECTION IMAGE", "DERIVED\\SECONDARY\\SUBTRACTION", "DERIVED", "derived\\secondary\\mpr",
    ],
)  # fmt: skip
def test_derived_images_stay_derived(image_type: str) -> None:
    series = a_series("CT", BodyPartExamined="CHEST", ImageType=image_type, LossyImageCompression="00")
    assert any("derived" in reason for reason in refusals(LUNGS, series))


@pytest.mark.parametrize(
    ("description", "part", "wanted"),
    [
        ("T1 Kopf", "", True),
        ("t1_mpr_ns_sag", "", True),  # a magnetization prepared sequence, no reformat
        ("T1 head and neck", "NECK", True),
        ("T1 AX brain + C-spine", "BRAIN", True),
        ("T1 mprage st2.0", "HEAD", True),
        ("T1 LWS sag", "", False),
        ("T1 rachis lombaire", "", False),
        ("T1 genou", "", False),
        ("T1 Becken", "", False),
        ("T1 rodilla", "", False),
        ("T1 hígado", "", False),
        ("T1 vibe", "HEART", False),
        ("AxT2 T1", "HEAD", False),
        ("T1 subtraction", "HEAD", False),
    ],
)
def test_head_mr_in_other_words(description: str, part: str, wanted: bool) -> None:
    series = a_series("MR", SeriesDescription=description, BodyPartExamined=part)
    assert (refusals(BRAIN, series) == ()) is wanted


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ({"BodyPartExamined": "CHEST"}, True),
        ({"BodyPartExamined": "TORAX"}, True),
        ({"SeriesDescription": "Thorax p.a."}, True),
        ({"StudyDescription": "RX tórax 2P"}, True),
        ({"SeriesDescription": "Abdomen", "BodyPartExamined": "CHEST"}, False),
        ({"BodyPartExamined": "KNEE"}, False),
        ({}, False),
    ],
)
def test_chest_radiographs_in_other_words(attributes: dict[str, str], wanted: bool) -> None:
    series = a_series("CR", slices=1, spacing_mm=None, ViewPosition="PA", **attributes)
    assert (refusals(rule_of("lungs-cr"), series) == ()) is wanted
