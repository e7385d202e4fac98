"""Analyse a series, or several together: decode, infer, encode, pass the gate, keep. Delivery is another job's work."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from worker.domain.errors import NotApplicableError, OverreadError, PermanentError
from worker.domain.findings import Conclusion, Refusal
from worker.domain.job import Claim, JobId, JobState
from worker.domain.model import ModelIdentity
from worker.domain.result import EncodedObject, GateReport, ResultContext, ResultKind, ResultObject
from worker.domain.study import SeriesInstanceUID, SeriesSummary, StoredInstance
from worker.pipeline.attempt import AttemptPolicy, Heartbeat, Stopwatch, carry_out
from worker.pipeline.ports import (
    Encoder,
    Evidence,
    Gate,
    Jobs,
    Predictor,
    Products,
    SeriesReader,
    VolumeReader,
)
from worker.pipeline.summary import findings_of

log = logging.getLogger(__name__)


class Illustrator(Protocol):
    """Makes a picture of a conclusion for people at the console; not part of the result."""

    def illustrate(self, job_id: JobId, conclusion: Conclusion) -> None:
        """Write the picture where ``overread show`` looks for it."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What an analysis gave, before anything is stored.

    ``inputs`` are the series by the model's name for them, when it has several.
    """

    conclusion: Conclusion
    objects: tuple[EncodedObject, ...]
    report: GateReport
    context: ResultContext
    inputs: tuple[tuple[str, SeriesInstanceUID], ...] = ()


@dataclass(frozen=True, slots=True)
class Declined:
    """A series that was not analysed, and the objects that say so."""

    refusal: Refusal
    objects: tuple[EncodedObject, ...]
    report: GateReport
    context: ResultContext


@dataclass(frozen=True, slots=True)
class Analyser:
    """From stored instances to gated objects: the part that ``overread run`` shares with the worker."""

    reader: SeriesReader
    volumes: VolumeReader
    predictor: Predictor
    encoder: Encoder
    gate: Gate

    def analyse(
        self, model: ModelIdentity, instances: Sequence[StoredInstance], context: ResultContext, watch: Stopwatch
    ) -> Analysis:
        """Run the model on its series, which ``instances`` has one after another in the order of the model's inputs.

        Raises PermanentError, TransientError or ConfigurationError.
        """
        with watch.stage("headers"):
            names = self.predictor.inputs(model)
            series = self._series(instances, count=len(names))
        with watch.stage("identity"):
            notes = self.encoder.examine(instances, context)
        with watch.stage("decode"):
            volume, *further = [self.volumes.volume(one) for one in series]
        with watch.stage("inference"):
            conclusion = self.predictor.predict(model, volume, *further)
        del further
        if notes:
            conclusion = replace(conclusion, notes=(*conclusion.notes, *notes))
        with watch.stage("encode"):
            objects = self.encoder.encode(conclusion, instances, context)
        with watch.stage("gate"):
            report = self.gate.check(objects, conclusion, instances, context)
        inputs = tuple(zip(names, (one.series_instance_uid for one in series), strict=True)) if len(series) > 1 else ()
        return Analysis(conclusion, objects, report, context, inputs)

    def beside(self, neighbours: Sequence[StoredInstance], context: ResultContext) -> ResultContext:
        """The context of results that stand beside these series of the study, given by one instance each."""
        found: set[int] = set()
        for one in neighbours:
            with suppress(OverreadError, ValueError):  # one that cannot be read keeps nobody from a result
                found.add(int(self.reader.headers([one])[0].first("SeriesNumber")))
        return replace(context, series_numbers=frozenset(found))

    def refuse(
        self,
        model: ModelIdentity,
        instances: Sequence[StoredInstance],
        context: ResultContext,
        error: NotApplicableError,
        watch: Stopwatch,
    ) -> Declined | None:
        """Say in the study that the series was not analysed; None when no destination wants to be told."""
        series = self._series(instances, count=len(self.predictor.inputs(model)))[0]
        refusal = Refusal(
            algorithm=self.predictor.algorithm(model),
            series_instance_uid=series.series_instance_uid,
            modality=series.modality,
            code=error.code,
            reason=error.message,
        )
        with watch.stage("encode"):
            objects = self.encoder.refuse(refusal, instances, context)
        if not any(one.kind is not ResultKind.KOS for one in objects):
            return None
        with watch.stage("gate"):
            report = self.gate.check_refusal(objects, refusal, instances, context)
        return Declined(refusal, objects, report, context)

    def _series(self, instances: Sequence[StoredInstance], *, count: int) -> tuple[SeriesSummary, ...]:
        """The series of the evidence in its order: the reference first."""
        found = {one.series_instance_uid: one for one in self.reader.series(self.reader.headers(instances))}
        if len(found) != count:
            expected = "one was" if count == 1 else f"{count} were"
            raise PermanentError(
                f"The evidence of one analysis spans {len(found)} series; exactly {expected} expected.",
                code="evidence-not-one-series" if count == 1 else "evidence-not-its-series",
            )
        return tuple(found[uid] for uid in dict.fromkeys(one.header.series_instance_uid for one in instances))


@dataclass(frozen=True, slots=True)
class AnalyseSeries:
    """The use-case behind the analyse job."""

    jobs: Jobs
    evidence: Evidence
    products: Products
    analyser: Analyser
    illustrator: Illustrator | None = None
    new_watch: Callable[[], Stopwatch] = Stopwatch
    policy: AttemptPolicy = field(default_factory=AttemptPolicy)

    def run(self, job_id: JobId, *, worker: str) -> JobState | None:
        """Claim the job and carry it out; None when there was nothing to claim or the lease was lost."""
        claim = self.jobs.claim(job_id, worker=worker)
        if claim is None:
            return None
        watch = self.new_watch()
        concluded: list[Conclusion] = []

        def work(heartbeat: Heartbeat[Claim]) -> JobState:
            analysis = self._analyse(claim, watch)
            heartbeat.ensure_held()
            with watch.stage("keep"):
                results = self.products.keep(analysis.objects)
            self.jobs.record_stages(claim, watch.stages)
            self.products.produce(
                claim,
                results,
                analysis.report,
                summarize(analysis, claim, results),
                withdrawals=analysis.context.withdrawals,
                reason=_reason(analysis),
            )
            log.info("results-produced", extra={"job_id": job_id, "results": len(results)})
            if isinstance(analysis, Analysis):
                concluded.append(analysis.conclusion)
            return JobState.PRODUCED

        state = carry_out(self.jobs, claim, work, self.policy)
        # Beside the job: it has ended, and its delivery need not wait for a picture.
        if self.illustrator is not None:
            for conclusion in concluded:
                self.illustrator.illustrate(job_id, conclusion)
        return state

    def _analyse(self, claim: Claim, watch: Stopwatch) -> Analysis | Declined:
        job = claim.job
        if job.model is None:
            raise PermanentError("The job names no model.", code="no-model")
        instances = self.evidence.of_analysis(job)
        neighbours = self.evidence.of_each_series(job)
        context = self.analyser.beside(neighbours, self.products.context(job))
        analysis: Analysis | Declined
        try:
            analysis = self.analyser.analyse(job.model, instances, context, watch)
        except NotApplicableError as error:
            refused = self.analyser.refuse(job.model, instances, context, error, watch)
            if refused is None:
                raise
            analysis = refused
        refuse_unless_passed(analysis.report)
        return analysis


def _reason(analysis: Analysis | Declined) -> str:
    count = f"{len(analysis.objects)} result object(s)"
    match analysis:
        case Analysis():
            return count
        case Declined(refusal=refusal):
            return f"not analysed, {refusal.code}: {refusal.reason} Said in {count}."


def refuse_unless_passed(report: GateReport) -> None:
    """Raise PermanentError naming every failed check: what fails the gate never leaves."""
    if report.passed:
        return
    found = "; ".join(f"{check.name}: {check.detail}" for check in report.failures)
    raise PermanentError(
        f"The gate refused the result objects: {found}.",
        next_step="Nothing was sent. Report this with the job's timeline; `overread retry` runs it again.",
        code="gate-refused",
    )


def summarize(analysis: Analysis | Declined, claim: Claim, results: Sequence[ResultObject]) -> str:
    """Say in JSON what was found, by what, from what: without PHI, for `overread show` and the audit trail."""
    said: dict[str, Any]
    match analysis:
        case Analysis(conclusion=conclusion):
            algorithm = conclusion.algorithm
            said = {
                "series_instance_uid": conclusion.volume.series_instance_uid,
                **({"inputs": dict(analysis.inputs)} if analysis.inputs else {}),
                "slices": len(conclusion.volume.slices),
                "findings": findings_of(conclusion),
                "absent": list(conclusion.absent),
                "notes": [*conclusion.volume.notes, *conclusion.notes],
            }
        case Declined(refusal=refusal):
            algorithm = refusal.algorithm
            said = {
                "series_instance_uid": refusal.series_instance_uid,
                "refused": {"code": refusal.code, "reason": refusal.reason},
                "findings": [],
                "absent": [],
                "notes": [f"Not analysed: {refusal.reason}"],
            }
    return json.dumps(
        {
            "model": {
                "name": algorithm.model.name,
                "version": algorithm.model.version,
                "digest": algorithm.model.digest,
                "provider": algorithm.provider,
            },
            "attempt": claim.attempt,
            **said,
            "results": [
                {"kind": r.kind.value, "sop_instance_uid": r.sop_instance_uid, "sha256": r.sha256} for r in results
            ],
        }
    )
