"""``overread view``: gathers what is kept of an analysis for its page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from worker.decode.series.volumes import VolumeReader
from worker.domain.errors import OverreadError, PermanentError
from worker.domain.findings import Conclusion
from worker.domain.job import Job, JobKind, StageTime
from worker.domain.result import ResultKind, ResultObject
from worker.domain.study import InstanceHeader, StoredInstance
from worker.domain.volume import Volume
from worker.domain.work import PlannedAnalysis
from worker.pictures.analysis_record import AnalysisRecord, Asked, KeptObject
from worker.pipeline.analyse import Analysis
from worker.pipeline.summary import findings_of
from worker.results.identity import evidence_digest
from worker.settings import Settings
from worker.store.reading.queries import Queries
from worker.wiring import offline, stores

_BURNED_IN = (
    "The images say that they have text burned into their pixels, perhaps a name: no picture is drawn. "
    "`--burned-in` draws them all the same."
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found of the evidence; ``notice`` says what was not. ``hidden``: nothing of it may be drawn."""

    volume: Volume | None = None
    instances: tuple[StoredInstance, ...] = ()
    notice: str = ""
    hidden: bool = False


def account_of_job(settings: Settings, prefix: str, *, burned_in: bool = False) -> AnalysisRecord:
    """Gather what the ledger and the spool have of an analyse job.

    What was deleted meanwhile is missing in the record, and its notices say so. Pictures of images that say they have
    text burned in (a name, perhaps) are left out unless ``burned_in``.

    Raises PermanentError ``unknown-job``, ``ambiguous-job`` or ``not-an-analysis``.
    """
    queries = stores.queries(settings)
    job = queries.job(prefix)
    if job.kind is not JobKind.ANALYSE or job.model is None:
        raise PermanentError(
            f"Job {job.job_id} routes a study; it draws nothing.",
            next_step=f"`overread jobs --study {job.study_instance_uid}` lists the analyses of that study.",
            code="not-an-analysis",
        )
    summary = _parsed(queries.summary(job.job_id))
    kept = tuple(_kept(one) for one in queries.results(job.job_id)) or _remembered(summary)
    seen = _evidence(settings, job, burned_in=burned_in)
    report = queries.gate_report(job.job_id)
    older = settings.node.data / "pictures" / f"{job.job_id}.png"
    return AnalysisRecord(
        model=job.model,
        study_instance_uid=job.study_instance_uid,
        series_instance_uid=job.series_instance_uid or "",
        objects=kept,
        summary=summary,
        checks=report.checks if report else (),
        config_digest=job.config_digest,
        provider=_provider(summary),
        job=job,
        volume=seen.volume if any(one.content is not None for one in kept) else None,
        evidence_count=len(seen.instances),
        evidence_digest=evidence_digest(seen.instances) if seen.instances else "",
        timeline=queries.timeline(job.job_id),
        stages=queries.stages(job.job_id),
        deliveries=queries.deliveries(job.job_id),
        asked=_asked(queries, job),
        notices=tuple(text for text in (_missing(job, kept), seen.notice) if text),
        hidden=seen.hidden,
        older_picture=older.read_bytes() if older.is_file() else None,
    )


def account_of_run(
    settings: Settings,
    analysis: Analysis,
    planned: PlannedAnalysis,
    stages: Sequence[StageTime],
    *,
    burned_in: bool = False,
) -> AnalysisRecord:
    """Gather what an offline run has: objects that were never stored, on the volume that was analysed."""
    conclusion, evidence = analysis.conclusion, planned.evidence
    kept = tuple(
        KeptObject(
            kind=one.kind,
            sop_class_uid=one.sop_class_uid,
            sop_instance_uid=one.sop_instance_uid,
            series_instance_uid=one.series_instance_uid,
            sha256=hashlib.sha256(one.content).hexdigest(),
            size_bytes=len(one.content),
            destinations=one.destinations,
            content=one.content,
            note="written",
        )
        for one in analysis.objects
    )
    hidden = not burned_in and _has_text_burned_in(offline.reader(settings).headers(evidence))
    return AnalysisRecord(
        model=planned.model,
        study_instance_uid=evidence[0].header.study_instance_uid,
        series_instance_uid=evidence[0].header.series_instance_uid,
        objects=kept,
        summary=_concluded(conclusion),
        checks=analysis.report.checks,
        config_digest=analysis.context.config_digest,
        provider=conclusion.algorithm.provider,
        title=conclusion.algorithm.title,
        volume=conclusion.volume,
        hidden=hidden,
        evidence_count=len(evidence),
        evidence_digest=evidence_digest(evidence),
        stages=stages,
        notices=(_BURNED_IN,) if hidden else (),
    )


def _evidence(settings: Settings, job: Job, *, burned_in: bool) -> _Seen:
    """The evidence as far as it can be had; an expected failure becomes a notice."""
    instances: tuple[StoredInstance, ...] = ()
    try:
        instances = stores.ledger(settings).evidence.of_analysis(job)
        reader = offline.reader(settings)
        headers = reader.headers(instances)
        if not burned_in and _has_text_burned_in(headers):
            return _Seen(instances=instances, notice=_BURNED_IN, hidden=True)
        volumes = VolumeReader(memory_budget_bytes=offline.memory_limit_bytes(settings))
        # Of a model of several inputs the reference comes first: what was found lies on its images.
        first = instances[0].header.series_instance_uid
        (shown,) = reader.series([one for one in headers if one.instance.header.series_instance_uid == first])
        return _Seen(volume=volumes.volume(shown), instances=instances)
    except OverreadError as error:
        return _Seen(instances=instances, notice=f"The analysed images cannot be shown. {error.message}")
    except OSError as error:
        said = error.strerror or type(error).__name__
        return _Seen(instances=instances, notice=f"The analysed images cannot be read: {said}.")


def _has_text_burned_in(headers: Sequence[InstanceHeader]) -> bool:
    """Burned In Annotation (0028,0301) of any of the images."""
    return any(header.first("BurnedInAnnotation").upper() == "YES" for header in headers)


def _kept(one: ResultObject) -> KeptObject:
    """A result with its bytes, unless they are gone or are not those that were made."""
    content: bytes | None = None
    try:
        content = one.path.read_bytes()
        note = ""
    except FileNotFoundError:
        note = "deleted"
    except OSError as error:
        note = f"cannot be read: {error.strerror or type(error).__name__}"
    if content is not None and hashlib.sha256(content).hexdigest() != one.sha256:
        content, note = None, "CHANGED: the file is not the one that was made"
    return KeptObject(
        kind=one.kind,
        sop_class_uid=one.sop_class_uid,
        sop_instance_uid=one.sop_instance_uid,
        series_instance_uid=one.series_instance_uid,
        sha256=one.sha256,
        size_bytes=one.size_bytes,
        destinations=one.destinations,
        content=content,
        note=note,
    )


def _remembered(summary: Mapping[str, Any]) -> tuple[KeptObject, ...]:
    """The objects that the summary names, when retention has deleted their records too."""
    named = [one for one in summary.get("results") or [] if one.get("kind") in ResultKind]
    return tuple(
        KeptObject(
            kind=ResultKind(one["kind"]),
            sop_class_uid="",
            sop_instance_uid=str(one.get("sop_instance_uid", "")),
            series_instance_uid="",
            sha256=str(one.get("sha256", "")),
            size_bytes=0,
            destinations=None,
            content=None,
            note="deleted",
        )
        for one in named
    )


def _missing(job: Job, kept: Sequence[KeptObject]) -> str:
    gone = [one for one in kept if one.content is None]
    if gone:
        return (
            f"{len(gone)} of {len(kept)} result objects cannot be read any more (retention deletes what is old): "
            "what they said is not on this page, or as the ledger noted it."
        )
    if not kept:
        return f"There are no result objects: the job is {job.state.value}. {job.reason}".strip()
    return ""


def _asked(queries: Queries, job: Job) -> tuple[Asked, ...]:
    return tuple(
        Asked(
            destination=one.destination,
            asked_at=one.requested_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            outcome=one.outcome or "no answer yet",
            transaction_uid=one.transaction_uid,
        )
        for one in queries.commitments(job.job_id)
    )


def _parsed(summary: str | None) -> Mapping[str, Any]:
    found = json.loads(summary) if summary else {}
    return found if isinstance(found, dict) else {}


def _provider(summary: Mapping[str, Any]) -> str:
    model = summary.get("model")
    return str(model.get("provider") or "") if isinstance(model, dict) else ""


def _concluded(conclusion: Conclusion) -> Mapping[str, Any]:
    notes = (*conclusion.volume.notes, *conclusion.notes)
    return {"findings": findings_of(conclusion), "absent": conclusion.absent, "notes": notes}
