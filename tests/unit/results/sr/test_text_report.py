"""What the text report says in words, read back from its bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.results import given, projection, reading, reported
from worker.domain.codes import Code
from worker.domain.findings import HeatMap, Narrative, Segmentation
from worker.domain.profile import OHIF, SegmentEncoding, Statements
from worker.domain.regions import Point
from worker.gate.result_gate import ResultGate
from worker.results.encoder import DicomEncoder

WORDS_ONLY = replace(OHIF, report=False, segmentation=SegmentEncoding.NONE)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> given.Study:
    return given.a_study(tmp_path_factory.mktemp("study"))


def test_every_statement_is_a_sentence(study) -> None:
    (ds,) = reported.texts(study, reported.everything(study))
    said = [str(item.TextValue) for item in reading.named(reading.named(ds, "121070")[0], "121071")]
    assert said == [
        "URGENT. Pneumothorax: PRESENT, probability 93.1 %, threshold 50 % (there sensitivity 95 %, specificity 90 %).",
        "Edema: absent, probability 2 %, threshold 50 %.",
        "Effusion: indeterminate.",
        "Lung volume (left lung): Volume 4.2 mL (Mean).",
        "Not found: Trachea. It was looked for in 6 images.",
        "Not found: Mass. It was looked for in 6 images.",
        "Found and reported in the measurement report of the same study: Right lung, Nodule 1, Nodule box, "
        "Nodule point, Nodule circle, Nodule ellipse, Nodule polygon, Nodule line.",
        "Limited quality: Motion blurs the lower slices.",
        "Note: few slices",
    ]


def test_narratives_are_coded_sections_marked_as_drafts(study) -> None:
    (ds,) = reported.texts(study, reported.everything(study))
    (findings,) = reading.named(ds, "59776-5")
    assert [item.TextValue for item in reading.items(findings)] == [
        "AI DRAFT, not verified by a physician. The lungs are clear."
    ]
    (impressions,) = reading.named(ds, "19005-8")
    (item,) = impressions.ContentSequence
    assert item.ConceptNameCodeSequence[0].CodeMeaning == "Impression"
    assert item.TextValue.endswith("Nothing acute.\nFollow-up as usual.")


def test_key_slices_are_images_with_a_name(study) -> None:
    (ds,) = reported.texts(study, reported.everything(study))
    images = [item for item in reading.items(ds) if item.ValueType == "IMAGE"]
    assert {i.ConceptNameCodeSequence[0].CodeMeaning for i in images} == {"Best illustration of finding"}
    shown = [i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in images]
    assert shown == [study.volume.slices[k].sop_instance_uid for k in (2, 3, 1)]


def test_who_and_that_nobody_has_checked_it(study) -> None:
    (ds,) = reported.texts(study, reported.everything(study))
    assert (ds.VerificationFlag, ds.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert any(
        words.startswith("AI DRAFT, not verified by a physician. Made by Lungs and airways, chest CT, version 1.2.3.")
        for words in reported.said(ds)
    )
    assert ds.DeviceUID == reading.named(ds, "121012")[0].UID


def test_a_destination_without_reports_is_told_everything_in_words(study) -> None:
    (ds,) = reported.texts(study, reported.everything(study), WORDS_ONLY)
    said = reported.said(ds)
    assert any(words.startswith("Found: Right lung (right): Volume ") for words in said)
    assert (
        "Found: Nodule box (AI nodule box) (right lung) in image 2 of 6: "
        "probability 93.1 %, Diameter 8.25 mm, Volume 0.31 mL."
    ) in said
    assert any(
        words.startswith("Found: Nodule polygon") and words.endswith("Margins: Circumscribed.") for words in said
    )
    assert len([item for item in reading.items(ds) if item.ValueType == "IMAGE"]) == 3 + 6


def test_nothing_to_say_makes_no_text(study) -> None:
    assert reported.texts(study, given.a_conclusion(study.volume)) == []
    template = replace(OHIF, statements=Statements.TEMPLATE)
    assert reported.texts(study, reported.only(study, reported.PRESENT, reported.AMOUNT), template) == []
    assert len(reported.texts(study, reported.only(study, reported.PRESENT, reported.QUALITY), template)) == 1


def test_a_heat_map_that_is_not_sent_is_named(study) -> None:
    shape = study.volume.geometry.shape
    heat = HeatMap("Suspicion", np.zeros(shape, np.float32), reported.ATTENUATION, reported.HOUNSFIELD, (0.0, 1.0))
    (ds,) = reported.texts(study, reported.only(study, heat), replace(OHIF, heat_maps=False))
    assert "Heat map: Suspicion was made and is not sent to this destination." in reported.said(ds)


def test_only_absence(study) -> None:
    empty = Segmentation(np.zeros(study.volume.geometry.shape, np.uint8), (), absent=("Right lung",))
    conclusion = reported.only(study, empty)
    assert reported.reports(study, conclusion) == []
    (ds,) = reported.texts(study, conclusion)
    assert "Not found: Right lung. It was looked for in 6 images." in reported.said(ds)
    assert any("does not mean that nothing is there" in words for words in reported.said(ds))


def test_frames_of_a_cine_run(tmp_path) -> None:
    cine = projection.cine(tmp_path, picked=[2, 4, 5])
    (ds,) = reported.texts(cine, reported.only(cine, replace(reported.PRESENT, key_slices=(1,))))
    (image,) = [item for item in reading.items(ds) if item.ValueType == "IMAGE"]
    assert image.ReferencedSOPSequence[0].ReferencedFrameNumber == 4
    assert reading.named(ds, "121058")[0].ConceptCodeSequence[0].CodeMeaning == "Imaging procedure"
    region = reported.a_region("x", Point((3.0, 3.0)), 0)
    (ds,) = reported.texts(cine, reported.detected(cine, region), WORDS_ONLY)
    assert any("in image 1 of 3" in words for words in reported.said(ds))


def test_a_draft_of_the_section_that_holds_the_statements(study) -> None:
    """Findings as DCM 121070 is the section of the statements themselves: the draft is no statement more."""
    section = Code("121070", "DCM", "Findings")
    conclusion = reported.only(study, Narrative(section, "There may be a lesion."), reported.PRESENT)
    objects = DicomEncoder().encode(conclusion, study.evidence, given.CONTEXT)
    report = ResultGate().check(objects, conclusion, study.evidence, given.CONTEXT)
    assert report.passed, report.failures
