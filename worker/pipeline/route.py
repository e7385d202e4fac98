"""Route a study: read its headers, decide which model runs on which series, and plan the analyses."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from worker.domain.job import Claim, JobId, JobState
from worker.domain.model import ModelIdentity
from worker.domain.routing import BoundRule, Decision, RoutingTable, Unusable
from worker.domain.study import Digest, SeriesSummary, StoredInstance
from worker.domain.work import PlannedAnalysis
from worker.pipeline.attempt import WAIT_FOR_MODEL_S, AttemptPolicy, Heartbeat, Stopwatch, carry_out
from worker.pipeline.ports import Evidence, Jobs, Routings, SeriesReader
from worker.pipeline.selection import select

log = logging.getLogger(__name__)

ROUTE_DEADLINE_S = 600.0
"""Headers are read, nothing more: what takes longer hangs."""


@dataclass(frozen=True, slots=True)
class RouteStudy:
    """The use-case behind the route job. ``table`` is asked anew for each study: packages change while we run."""

    jobs: Jobs
    evidence: Evidence
    routings: Routings
    reader: SeriesReader
    table: Callable[[], RoutingTable]
    config_digest: Digest
    new_watch: Callable[[], Stopwatch] = Stopwatch
    policy: AttemptPolicy = field(default_factory=lambda: AttemptPolicy(deadline_s=ROUTE_DEADLINE_S))

    def run(self, job_id: JobId, *, worker: str) -> JobState | None:
        """Claim the job and carry it out; None when there was nothing to claim or the lease was lost."""
        claim = self.jobs.claim(job_id, worker=worker)
        if claim is None:
            return None
        watch = self.new_watch()

        def work(heartbeat: Heartbeat[Claim]) -> JobState:
            found = self._plan(claim, watch)
            planned = found.planned
            heartbeat.ensure_held()
            self.jobs.record_stages(claim, watch.stages)
            for one in found.missed:
                log.warning("model-unusable", extra={"job_id": job_id, "model": one.model, "code": one.code})
            waits_for = " ".join(f"waits for model {one.model} ({one.code}: {one.reason})" for one in found.missed)
            new = self.routings.record(
                claim, found.decisions, planned, waits_for=waits_for, again_in_s=WAIT_FOR_MODEL_S
            )
            log.info("study-routed", extra={"job_id": job_id, "planned": len(planned), "new": new})
            if waits_for:
                return JobState.WAITING
            return JobState.ROUTED if planned else JobState.NO_MODEL_APPLIES

        return carry_out(self.jobs, claim, work, self.policy)

    def _plan(self, claim: Claim, watch: Stopwatch) -> Plan:
        with watch.stage("headers"):
            instances = self.evidence.of_route(claim.job)
            headers, unreadable = self.reader.survey(instances)
            series = self.reader.series(headers)
        with watch.stage("select"):
            found = plan_now(self.table(), series, config_digest=self.config_digest)
        if unreadable and not found.planned and not found.missed:
            raise unreadable[0]
        # Else only the analysis of the series that it is in comes to this error: it is planned with all of its objects.
        return found


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study comes to now; ``missed`` are the models that it would have gone to, could they be used."""

    decisions: tuple[Decision, ...]
    planned: tuple[PlannedAnalysis, ...]
    missed: tuple[Unusable, ...] = ()


def plan_now(table: RoutingTable, series: Sequence[SeriesSummary], *, config_digest: Digest) -> Plan:
    """Plan for the models that can be used, and say which of the others the study has to wait for.

    A model whose manifest cannot be read may want any image.
    """
    decisions, planned = plan(table.rules, series, config_digest=config_digest)
    missed: list[Unusable] = []
    for one in table.unusable:
        if one.rule is None:
            if any(each.slice_count for each in series):
                missed.append(one)
            continue
        selection = select([one.rule], series)
        if selection.choices:
            missed.append(one)
        said = f"The model cannot be used now ({one.code}): {one.reason}"
        decisions += tuple(
            replace(decision, chosen=False, reasons=(said, *decision.reasons)) for decision in selection.decisions
        )
    return Plan(decisions, planned, tuple(missed))


def plan(
    rules: Sequence[BoundRule], series: Sequence[SeriesSummary], *, config_digest: Digest
) -> tuple[tuple[Decision, ...], tuple[PlannedAnalysis, ...]]:
    """Decide, and turn each choice into a planned analysis of exactly the instances of the chosen series."""
    bound = {one.rule.name: one for one in rules}
    selection = select([one.rule for one in rules], series)
    planned: dict[Digest, PlannedAnalysis] = {}
    for choice in selection.choices:
        rule, model = bound[choice.rule].rule, bound[choice.rule].model
        # Series after series in the order of the model's inputs: the ledger keeps this order, and the run relies on it.
        instances = tuple(header.instance for one in choice.series for header in one.headers)
        key = analysis_key(instances, model, config_digest)
        # Two rules may choose the same series for the same model: that is one piece of work.
        planned.setdefault(
            key,
            PlannedAnalysis(
                key=key,
                rule=rule.name,
                model=model,
                config_digest=config_digest,
                priority=rule.priority,
                destinations=rule.destinations,
                evidence=instances,
            ),
        )
    return selection.decisions, tuple(planned.values())


def analysis_key(instances: Sequence[StoredInstance], model: ModelIdentity, config_digest: Digest) -> Digest:
    """Derive the name of a piece of work from its evidence, its model and its configuration, and nothing else.

    Of evidence of several series their order counts as well: the same two series in each other's place are other work.
    """
    evidence = sorted((one.sop_instance_uid, one.sha256) for one in instances)
    studies = sorted({one.header.study_instance_uid for one in instances})
    parts: list[object] = [studies, evidence, model.digest, config_digest]
    series = list(dict.fromkeys(one.header.series_instance_uid for one in instances))
    if len(series) > 1:
        parts.append(series)
    text = json.dumps(parts, separators=(",", ":"))
    return Digest(hashlib.sha256(text.encode()).hexdigest())
