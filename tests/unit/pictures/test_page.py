"""The page: complete in itself, without a patient, and not to be broken by what it shows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests import builders
from tests.unit.pictures.html_page import Parsed, ensure_self_contained
from tests.unit.results import given
from worker.domain.analysis_record import AnalysisRecord, Asked, KeptObject
from worker.domain.evidence import evidence_digest
from worker.domain.findings import Conclusion, Segmentation
from worker.domain.job import Job, JobId, JobKind, JobState, StageTime, Transition
from worker.domain.profile import PLAIN
from worker.domain.result import Check, Delivery, DeliveryId, DeliveryItem, DeliveryState, EncodedObject, ResultObject
from worker.domain.study import Digest
from worker.gate.result_gate import ResultGate
from worker.pictures.page import page_of
from worker.pipeline.summary import findings_of
from worker.results.encoder import DicomEncoder

AT = datetime(2026, 3, 14, 12, 30, tzinfo=UTC)
SUSAN = builders.Patient(patient_id="ZQX-99812", name="Unmistakable^Susan", birth_date="19310729", sex="F")
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; background: url(https://evil.example/) }",
    "</style><iframe src='https://evil.example'>",
    "\u202egnp.exe\u202c \x00\x1b[31m",
    "&lt;b&gt; ' \" `${1}`",
]


def kept(objects: Sequence[EncodedObject]) -> list[KeptObject]:
    return [
        KeptObject(
            kind=one.kind, sop_class_uid=one.sop_class_uid, sop_instance_uid=one.sop_instance_uid,
            series_instance_uid=one.series_instance_uid, sha256=hashlib.sha256(one.content).hexdigest(),
            size_bytes=len(one.content), destinations=one.destinations, content=one.content, note="kept",
        )
        for one in objects
    ]  # fmt: skip


def a_record(
    folder: Path, conclusion_of=given.a_conclusion, encoder: DicomEncoder | None = None, **changes
) -> AnalysisRecord:
    study = given.a_study(folder, patient=SUSAN)
    conclusion: Conclusion = conclusion_of(study.volume)
    objects = (encoder or DicomEncoder()).encode(conclusion, study.evidence, given.CONTEXT)
    gate = ResultGate() if encoder is None else ResultGate(standard=encoder.standard)
    usual = {
        "model": conclusion.algorithm.model,
        "study_instance_uid": study.evidence[0].header.study_instance_uid,
        "series_instance_uid": study.volume.series_instance_uid,
        "objects": kept(objects),
        "summary": {"findings": findings_of(conclusion), "absent": conclusion.absent, "notes": conclusion.notes},
        "checks": gate.check(objects, conclusion, study.evidence, given.CONTEXT).checks,
        "config_digest": given.CONTEXT.config_digest,
        "provider": "CPUExecutionProvider",
        "volume": study.volume,
        "evidence_count": len(study.evidence),
        "evidence_digest": evidence_digest(study.evidence),
    }
    return AnalysisRecord(**{**usual, **changes})


def a_job(**changes) -> Job:
    usual = {
        "job_id": JobId("7c9e6679-7425-40de-944b-e07fc1f90ae7"), "kind": JobKind.ANALYSE, "state": JobState.COMMITTED,
        "study_instance_uid": "1.2.3", "revision": 2, "rule": "chest", "model": given.ALGORITHM.model,
        "series_instance_uid": "1.2.3.4", "config_digest": Digest("c" * 64), "attempt": 3, "priority": 5, "reason": "",
        "created_at": AT, "updated_at": AT,
    }  # fmt: skip
    return Job(**{**usual, **changes})


def a_delivery(one: KeptObject, **changes) -> Delivery:
    result = ResultObject(
        one.kind, one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid, Path("x"), one.sha256, 1
    )
    usual = {
        "delivery_id": DeliveryId("d"), "job_id": JobId("j"), "destination": "pacs-east", "state": DeliveryState.SENT,
        "attempt": 4, "items": (DeliveryItem(result, 0x0000), DeliveryItem(result, 0xA700)), "reason": "later",
    }  # fmt: skip
    return Delivery(**{**usual, **changes})


def test_the_page_is_complete_in_itself(tmp_path) -> None:
    page = Parsed(page_of(a_record(tmp_path)))
    ensure_self_contained(page)
    assert len(page.images) == 3  # montage, planes, projections
    assert all(min(image.size) > 100 for image in page.images)
    assert page.words.count("AI DRAFT - not verified") >= 2


def test_it_tells_what_was_found_by_what_and_where_it_went(tmp_path) -> None:
    record = a_record(tmp_path)
    record = replace(
        record,
        job=a_job(),
        timeline=(
            Transition(AT, None, JobState.READY, 0, "planned"),
            Transition(AT + timedelta(seconds=2.5), JobState.READY, JobState.RUNNING, 1, "claimed"),
        ),
        stages=(StageTime("decode", 0.25), StageTime("inference", 1.5)),
        deliveries=(a_delivery(record.objects[0]),),
        asked=(Asked("pacs-east", "2026-03-14 12:31:00 UTC", "committed", "2.25.77"),),
        summary={**record.summary, "notes": ["gantry tilt of 12.0 degrees"], "absent": ["Trachea"]},
    )
    words = Parsed(page_of(record)).words
    lung = next(m for m in given.a_conclusion(record.volume).segments[0].measurements)
    for expected in (
        "Lungs and airways, chest CT, version 1.2.3", record.model.digest, record.config_digest,
        record.evidence_digest, "as the objects state it", "CPUExecutionProvider", record.study_instance_uid,
        record.series_instance_uid,
        "AI Right lung", f"{lung.value:.6g}", "mL", "Trachea", "gantry tilt of 12.0 degrees", "7c9e6679-7425-40de-944b",
        "pacs-east", "0xA700", "later", "claimed", "2.50 s", "inference", "1.75 s", "2.25.77",
    ):  # fmt: skip
        assert expected in words, expected
    for one in record.objects:
        assert one.sop_instance_uid in words
        assert one.sha256 in words
        assert f"{one.size_bytes:,}" in words
    for check in record.checks:
        assert check.name in words
    assert f"{len(record.checks)} checks" in words


def test_the_patient_is_not_on_the_page(tmp_path) -> None:
    record = a_record(tmp_path)
    # The objects carry the patient, so the page could.
    assert any(b"Unmistakable" in (one.content or b"") for one in record.objects)
    html = page_of(record)
    page = Parsed(html)
    for secret in ("Unmistakable", "Susan", "ZQX", "99812", "19310729", "1931", "Rita", "Referrer", "Example Hospital"):
        assert secret.lower() not in page.words.lower(), secret
        assert secret not in page.style
        assert not [
            value for _, found in page.elements for name, value in found.items() if name != "src" and secret in value
        ]
    assert all(image.info == {} for image in page.images)
    accession = given.a_study(tmp_path, patient=SUSAN).evidence[0].header.accession_number
    assert accession
    assert accession not in html


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_are_words(tmp_path, text) -> None:
    # Control characters never get into an object; everything else that shows up on the page may have them.
    label = "".join(c for c in text if c.isprintable())
    record = a_record(tmp_path, lambda volume: with_label(given.a_conclusion(volume), label))
    record = replace(
        record,
        job=a_job(reason=text, rule=text),
        checks=(Check(text, False, text),),
        notices=(text,),
        provider=text,
        title=text,
        summary={
            "absent": [text],
            "notes": [text],
            "findings": [{"kind": "quality", "label": text, "statement": text}],
        },
        timeline=(Transition(AT, None, JobState.READY, 0, text),),
        deliveries=(a_delivery(record.objects[0], destination=text, reason=text),),
    )
    page = Parsed(page_of(record))
    ensure_self_contained(page)
    assert len([name for name, _ in page.elements if name == "style"]) == 1
    shown = "".join(c for c in text if c.isprintable() and c not in "\u202e\u202c")
    assert page.words.count(shown[:7]) >= 8
    assert not set(page.words) & {"\u202e", "\x00", "\x1b"}


def with_label(conclusion: Conclusion, text: str) -> Conclusion:
    (finding,) = conclusion.segmentations
    renamed = tuple(
        replace(one, label=f"{text} {one.number}"[-64:], tracking_identifier=f"{one.number} {text}"[:64])
        for one in finding.segments
    )
    return replace(conclusion, findings=(Segmentation(finding.labels, renamed, (text,)),))


def test_when_the_objects_are_gone_the_ledger_speaks_and_the_page_says_so(tmp_path) -> None:
    record = a_record(tmp_path)
    gone = [replace(one, content=None, note="deleted") for one in record.objects]
    record = replace(record, objects=gone, volume=None, evidence_count=0, evidence_digest="", notices=("2 are gone.",))
    words = Parsed(page_of(record)).words
    assert "2 are gone." in words
    assert "what the ledger noted" in words
    assert "Right lung" in words
    assert "deleted" in words
    assert "There is nothing to draw" in words
    older = BytesIO()
    Image.new("RGB", (300, 200)).save(older, "PNG")
    page = Parsed(page_of(replace(record, older_picture=older.getvalue())))
    assert [image.size for image in page.images] == [(300, 200)]
    assert "not from the result objects" in page.words


def test_evidence_that_is_not_what_the_objects_state_is_noticed(tmp_path) -> None:
    record = replace(a_record(tmp_path), evidence_digest="0" * 64)
    assert "NOT what the objects state" in Parsed(page_of(record)).words


def test_a_failed_check_and_a_broken_object_are_seen(tmp_path) -> None:
    record = a_record(tmp_path)
    broken = [replace(record.objects[0], content=b"no DICOM"), *record.objects[1:]]
    record = replace(record, objects=broken, checks=(Check("seg-form", False, "BitsStored is 8"),))
    words = Parsed(page_of(record)).words
    assert "is not shown" in words
    assert "1 failed" in words
    assert "BitsStored is 8" in words


def test_a_job_without_results_has_a_page(tmp_path) -> None:
    record = replace(a_record(tmp_path), objects=(), summary={}, checks=(), volume=None, job=a_job(attempt=0))
    page = Parsed(page_of(record))
    assert "There are no result objects" in page.words
    assert page.open_ == []


def test_odd_summaries_do_no_harm(tmp_path) -> None:
    for summary in (
        {"findings": [None, 7, {"measurements": [{"value": "x"}]}], "absent": None},
        {"findings": [{"label": "Old", "code": [], "measurements": [{"name": "Volume", "value": 3.5, "unit": "mL"}]}]},
    ):
        record = replace(a_record(tmp_path), objects=(), volume=None, summary=summary)
        page = Parsed(page_of(record))
        assert "Findings" in page.words
    assert "3.5 mL" in page.words


def test_key_images_of_plain_viewers_are_on_the_page(tmp_path) -> None:
    page = Parsed(page_of(a_record(tmp_path, encoder=DicomEncoder(standard=PLAIN))))
    ensure_self_contained(page)
    assert "Key image 1" in page.words
    assert len(page.images) > 3


def test_nothing_of_hidden_images_is_shown(tmp_path) -> None:
    record = replace(a_record(tmp_path, encoder=DicomEncoder(standard=PLAIN)), hidden=True, notices=("Hidden.",))
    page = Parsed(page_of(replace(record, older_picture=b"never opened")))
    assert page.images == []
    assert "Hidden." in page.words
