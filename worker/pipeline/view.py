"""View an analysis: gather what is kept of it, from the ledger or from a run without one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Protocol

from worker.domain.analysis_record import AnalysisRecord, Asked, KeptObject
from worker.domain.commitment import CommitmentRequest
from worker.domain.errors import OverreadError, PermanentError
from worker.domain.evidence import evidence_digest
from worker.domain.findings import Conclusion
from worker.domain.job import Job, JobId, JobKind, StageTime, Transition
from worker.domain.result import Delivery, GateReport, ResultKind
from worker.domain.study import InstanceHeader, StoredInstance
from worker.domain.volume import Volume
from worker.domain.work import PlannedAnalysis
from worker.pipeline.analyse import Analysis
from worker.pipeline.ports import Evidence, SeriesReader, VolumeReader
from worker.pipeline.summary import findings_of

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


class AnalysisLedger(Protocol):
    """What the ledger keeps of an analyse job."""

    def job(self, prefix: str) -> Job:
        """A job by the beginning of its id; PermanentError ``unknown-job`` or ``ambiguous-job``."""

    def summary(self, job_id: JobId) -> str | None:
        """What was found, as JSON; None before there is anything."""

    def kept_objects(self, job_id: JobId) -> tuple[KeptObject, ...]:
        """The result objects with their bytes, as far as they are there, in the order in which they are sent."""

    def gate_report(self, job_id: JobId) -> GateReport | None:
        """What the gate checked; None before there are results."""

    def timeline(self, job_id: JobId) -> tuple[Transition, ...]:
        """Everything that happened, in order."""

    def stages(self, job_id: JobId) -> tuple[StageTime, ...]:
        """How long the stages of the last attempt took."""

    def deliveries(self, job_id: JobId) -> tuple[Delivery, ...]:
        """Where the results stand, by destination."""

    def commitments(self, job_id: JobId) -> tuple[CommitmentRequest, ...]:
        """How often destinations were asked whether they keep the results, in order."""


def record_of_job(
    ledger: AnalysisLedger,
    evidence: Evidence,
    reader: SeriesReader,
    volumes: VolumeReader,
    prefix: str,
    *,
    older_picture: Callable[[JobId], bytes | None],
    burned_in: bool = False,
) -> AnalysisRecord:
    """Gather what the ledger and the spool have of an analyse job.

    What was deleted meanwhile is missing in the record, and its notices say so. Pictures of images that say they have
    text burned in (a name, perhaps) are left out unless ``burned_in``. ``older_picture`` gives the picture that was
    made when the job ran.

    Raises PermanentError ``unknown-job``, ``ambiguous-job`` or ``not-an-analysis``.
    """
    job = ledger.job(prefix)
    if job.kind is not JobKind.ANALYSE or job.model is None:
        raise PermanentError(
            f"Job {job.job_id} routes a study; it draws nothing.",
            next_step=f"`overread jobs --study {job.study_instance_uid}` lists the analyses of that study.",
            code="not-an-analysis",
        )
    summary = _parsed(ledger.summary(job.job_id))
    kept = ledger.kept_objects(job.job_id) or _remembered(summary)
    seen = _evidence(evidence, reader, volumes, job, burned_in=burned_in)
    report = ledger.gate_report(job.job_id)
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
        timeline=ledger.timeline(job.job_id),
        stages=ledger.stages(job.job_id),
        deliveries=ledger.deliveries(job.job_id),
        asked=_asked(ledger.commitments(job.job_id)),
        notices=tuple(text for text in (_missing(job, kept), seen.notice) if text),
        hidden=seen.hidden,
        older_picture=older_picture(job.job_id),
    )


def record_of_run(
    analysis: Analysis,
    planned: PlannedAnalysis,
    stages: Sequence[StageTime],
    reader: SeriesReader,
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
    hidden = not burned_in and _has_text_burned_in(reader.headers(evidence))
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


def _evidence(evidence: Evidence, reader: SeriesReader, volumes: VolumeReader, job: Job, *, burned_in: bool) -> _Seen:
    """The evidence as far as it can be had; an expected failure becomes a notice."""
    instances: tuple[StoredInstance, ...] = ()
    try:
        instances = evidence.of_analysis(job)
        headers = reader.headers(instances)
        if not burned_in and _has_text_burned_in(headers):
            return _Seen(instances=instances, notice=_BURNED_IN, hidden=True)
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


def _asked(requests: Sequence[CommitmentRequest]) -> tuple[Asked, ...]:
    return tuple(
        Asked(
            destination=one.destination,
            asked_at=one.requested_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            outcome=one.outcome or "no answer yet",
            transaction_uid=one.transaction_uid,
        )
        for one in requests
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
