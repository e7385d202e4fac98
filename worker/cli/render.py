"""Tables of jobs, decisions, timelines: from the ledger's records to what a person reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.cli import console
from worker.domain.commitment import CommitmentRequest
from worker.domain.job import Job, JobState, StageTime, Transition
from worker.domain.result import Delivery, DeliveryState, GateReport, ResultObject
from worker.domain.routing import Decision
from worker.domain.study import SeriesSummary
from worker.store.reading.views import Conflict, Refusal

_GOOD = {"committed", "delivered", "sent", "routed"}
_BAD = {"quarantined", "failed", "parked"}


def state_text(state: JobState | DeliveryState) -> Text:
    """A state in its colour."""
    style = "green" if state.value in _GOOD else "bold red" if state.value in _BAD else "yellow"
    return Text(state.value, style=style)


def jobs_table(jobs: Sequence[Job]) -> Table:
    """Jobs, newest first: state, age, model, reason."""
    made = console.table("Jobs", "job", "kind", "state", "age", "attempt", "model", "study", "reason")
    for job in jobs:
        made.add_row(
            job.job_id[:12],
            job.kind.value,
            state_text(job.state),
            console.age(job.updated_at),
            str(job.attempt),
            Text(str(job.model) if job.model else "-"),
            Text(f"{job.study_instance_uid} r{job.revision}"),
            Text(job.reason),
        )
    return made


def refusals_table(refused: Sequence[Refusal], conflicts: Sequence[Conflict]) -> Table:
    """What was refused on arrival or kept apart."""
    made = console.table("Refused and kept apart", "time", "what", "from", "detail", "kept in")
    for one in refused:
        at = one.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        made.add_row(at, one.code, Text(one.calling_ae_title), Text(one.detail), str(one.path or "-"))
    for other in conflicts:
        at = other.received_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        what = "identity-conflict" if other.identity_differs else "content-conflict"
        detail = f"{other.sop_instance_uid} came {other.times} time(s) with other content"
        made.add_row(at, what, Text(other.calling_ae_title), Text(detail), str(other.path))
    return made


def decisions_table(decisions: Sequence[Decision], series: Sequence[SeriesSummary] = ()) -> Table:
    """Every pair of model and series, and why."""
    described = {one.series_instance_uid: describe_series(one) for one in series}
    inputs = ("input",) if any(one.input for one in decisions) else ()
    made = console.table("Decisions", "model", *inputs, "series", "chosen", "score", "reasons")
    for decision in sorted(decisions, key=lambda d: (d.model, not d.chosen)):
        uid = decision.series_instance_uid
        made.add_row(
            Text(decision.model),
            *(Text(decision.input) for _ in inputs),
            Text(f"{described[uid]}\n{uid}" if uid in described else uid),
            Text("yes", style="green") if decision.chosen else Text("no", style="dim"),
            "" if decision.score is None else f"{decision.score:g}",
            Text("\n".join(decision.reasons)),
        )
    return made


def describe_series(series: SeriesSummary) -> str:
    """A series in a few words, without the patient."""
    parts = [
        series.modality,
        series.orientation if series.orientation != "unknown" else "",
        f"{series.slice_count} images",
    ]
    if series.slice_spacing_mm:
        parts.append(f"{series.slice_spacing_mm:g} mm")
    return ", ".join(part for part in parts if part)


def timeline_table(timeline: Sequence[Transition]) -> Table:
    """Every step of a job with the time since the step before."""
    made = console.table("Timeline", "time", "after", "state", "attempt", "reason")
    gaps = [timedelta(0), *(later.at - earlier.at for earlier, later in pairwise(timeline))]
    for step, gap in zip(timeline, gaps, strict=True):
        made.add_row(
            step.at.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
            f"{gap.total_seconds():.2f} s",
            state_text(step.after),
            str(step.attempt),
            Text(step.reason),
        )
    return made


def stages_table(stages: Sequence[StageTime], title: str = "Stage times") -> Table:
    """How long each stage took."""
    made = console.table(title, "stage", "seconds")
    for stage in stages:
        made.add_row(stage.stage, f"{stage.seconds:.2f}")
    return made


def findings_table(summary: str) -> RenderableType:
    """Findings of a job from its summary (JSON): what it is, and its measurements or its statement."""
    data = json.loads(summary)
    made = console.table(
        f"Findings of {data['model']['name']} {data['model']['version']}", "finding", "what", "value", "unit"
    )
    for finding in data["findings"]:
        label = Text(str(finding["label"]))
        # Summaries of older versions have neither kind nor statement.
        if finding.get("statement"):
            made.add_row(label, Text(finding.get("kind", "")), Text(str(finding["statement"])), "")
        for measurement in finding["measurements"]:
            value = _number(measurement["value"])
            made.add_row(label, Text(str(measurement["name"])), value, Text(str(measurement["unit"])))
        if not finding["measurements"] and not finding.get("statement"):
            made.add_row(label, Text(finding.get("kind", "found")), "", "")
    for label in data["absent"]:
        made.add_row(Text(label), "not found", "", "")
    notes = [Text(f"note: {note}", style="dim") for note in data["notes"]]
    return Group(made, *notes)


def _number(value: float) -> str:
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"


def deliveries_table(deliveries: Sequence[Delivery]) -> Table:
    """Each object at each destination, with the DIMSE status of its last answer."""
    made = console.table("Deliveries", "destination", "state", "attempt", "object", "status", "reason")
    for delivery in deliveries:
        for item in delivery.items:
            made.add_row(
                Text(delivery.destination),
                state_text(delivery.state),
                str(delivery.attempt),
                f"{item.result.kind.value} {item.result.sop_instance_uid}",
                "-" if item.status is None else f"0x{item.status:04X}",
                Text(delivery.reason),
            )
    return made


def commitments_table(commitments: Sequence[CommitmentRequest]) -> Table:
    """Each time that a destination was asked whether it keeps the results."""
    made = console.table("Safe-keeping", "asked", "destination", "answer after", "outcome", "Transaction UID")
    for one in commitments:
        waited = (one.answered_at - one.requested_at).total_seconds() if one.answered_at else None
        due = one.answer_by.astimezone().strftime("%H:%M:%S")
        made.add_row(
            one.requested_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            Text(one.destination),
            "-" if waited is None else f"{waited:.1f} s",
            Text(one.outcome or f"no answer yet; due until {due}"),
            one.transaction_uid,
        )
    return made


def results_table(results: Sequence[ResultObject]) -> Table:
    """Result objects and where they lie."""
    made = console.table("Result objects", "kind", "SOP Instance UID", "KiB", "file")
    for result in results:
        made.add_row(result.kind.value, result.sop_instance_uid, f"{result.size_bytes / 1024:,.0f}", str(result.path))
    return made


def gate_table(report: GateReport) -> Table:
    """A table of the gate's checks: name, whether it passed, what was seen."""
    made = console.table("Gate", "check", "passed", "detail")
    for check in report.checks:
        passed = Text("yes", style="green") if check.passed else Text("NO", style="bold red")
        made.add_row(check.name, passed, Text(check.detail))
    return made
