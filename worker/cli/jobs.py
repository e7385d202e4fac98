"""``jobs``, ``show``, ``retry``, ``cancel``, ``rerun``: where a study is, why, and what a person may do about it."""

from __future__ import annotations

from typing import Annotated

import typer

from worker.cli import console, render
from worker.cli.options import Config, Data, Json, quiet_logs, settings_for
from worker.domain.job import JobState
from worker.domain.study import StudyInstanceUID
from worker.settings import Settings
from worker.wiring import stores

JobArgument = Annotated[str, typer.Argument(help="Job id, or its first characters.")]


def jobs(
    config: Config = None,
    data: Data = None,
    state: Annotated[list[JobState] | None, typer.Option("--state", help="Only these states; may be repeated.")] = None,
    study: Annotated[str | None, typer.Option("--study", help="Only this Study Instance UID.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """List jobs with state, age, model and reason."""
    with console.reporting():
        settings = _settings(config, data)
        queries = stores.queries(settings)
        found = queries.list_jobs(states=state or None, study=StudyInstanceUID(study) if study else None, limit=limit)
        refused, conflicts = queries.refusals(limit=limit), queries.conflicts(limit=limit)
        if as_json:
            console.print_json({"jobs": found, "refused": refused, "conflicts": conflicts})
            return
        console.out.print(render.jobs_table(found))
        if not found:
            narrowed = bool(state or study)
            console.out.print(
                f"No such jobs in {settings.node.data}."
                if narrowed
                else f"No jobs yet in {settings.node.data}: nothing has been received. "
                "`overread doctor` checks the way in.",
                soft_wrap=True,
            )
        if refused or conflicts:
            console.out.print(render.refusals_table(refused, conflicts))


def show(job: JobArgument, config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """Show one job: its timeline, stage times, findings, gate report and deliveries."""
    with console.reporting():
        settings = _settings(config, data)
        queries = stores.queries(settings)
        found = queries.job(job)
        timeline, stages = queries.timeline(found.job_id), queries.stages(found.job_id)
        deliveries, results = queries.deliveries(found.job_id), queries.results(found.job_id)
        commitments = queries.commitments(found.job_id)
        report, summary = queries.gate_report(found.job_id), queries.summary(found.job_id)
        picture = settings.node.data / "pictures" / f"{found.job_id}.png"
        if as_json:
            console.print_json(
                {
                    "job": found,
                    "timeline": timeline,
                    "stages": stages,
                    "findings": summary,
                    "gate": report,
                    "results": results,
                    "deliveries": deliveries,
                    "commitments": commitments,
                    "picture": picture if picture.exists() else None,
                }
            )
            return
        console.out.print(render.jobs_table([found]))
        console.out.print(render.timeline_table(timeline))
        if stages:
            console.out.print(render.stages_table(stages))
        if summary:
            console.out.print(render.findings_table(summary))
        if report is not None:
            console.out.print(render.gate_table(report))
        if results:
            console.out.print(render.results_table(results))
        if deliveries:
            console.out.print(render.deliveries_table(deliveries))
        if commitments:
            console.out.print(render.commitments_table(commitments))
        if picture.exists():
            console.out.print(f"picture: {picture}", soft_wrap=True)


def retry(job: JobArgument, config: Config = None, data: Data = None) -> None:
    """Run a quarantined or failed job again, or send again what a destination refused."""
    with console.reporting():
        ledger = stores.existing(_settings(config, data))
        found = ledger.queries.job(job)
        state = ledger.operations.retry(found.job_id)
        console.out.print(f"{found.job_id}: {found.state.value} -> {state.value}")


def cancel(job: JobArgument, config: Config = None, data: Data = None) -> None:
    """Stop a job that has not ended; what was delivered stays delivered."""
    with console.reporting():
        ledger = stores.existing(_settings(config, data))
        found = ledger.queries.job(job)
        state = ledger.operations.cancel(found.job_id)
        console.out.print(f"{found.job_id}: {found.state.value} -> {state.value}")


def rerun(
    study: Annotated[str, typer.Argument(help="Study Instance UID.")], config: Config = None, data: Data = None
) -> None:
    """Route a study again, with the models that are installed now; what has not changed is not done again."""
    with console.reporting():
        job_id = stores.existing(_settings(config, data)).operations.rerun(StudyInstanceUID(study.strip()))
        console.out.print(f"{job_id}: ready. `overread jobs --study {study}` shows what becomes of it.", soft_wrap=True)


def _settings(config: Config, data: Data) -> Settings:
    settings = settings_for(config, data)
    quiet_logs()
    return settings
