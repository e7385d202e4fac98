"""What the demonstration prints: per study what arrived, was decided, found and delivered, and how long it took."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from worker.cli import console, render
from worker.decode.dataset.files import instances_from_folder
from worker.domain.job import Job, JobKind, JobState, StageTime
from worker.domain.result import Destination
from worker.domain.study import StudyInstanceUID
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.store.reading.queries import Queries

RESULT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
    "1.2.840.10008.5.1.4.1.1.88.34": "SR",
}
"""Segmentation Storage and Comprehensive 3D SR Storage (PS3.4 Table B.5-1)."""


def study_of(file: Path) -> StudyInstanceUID:
    """Study Instance UID of a file."""
    (instance,), _ = instances_from_folder(file)
    return instance.header.study_instance_uid


def print_study(queries: Queries, title: str, study: StudyInstanceUID, standing: Sequence[str] | None) -> bool:
    """Print everything about one study; tell whether SEG and SR stand in the PACS and every gate passed."""
    out = console.out
    out.rule(f"[bold]{title}", align="left")
    arrived = queries.study(study)
    jobs = queries.list_jobs(states=None, study=study, limit=50)
    if arrived is None:
        out.print(f"Study {study} did not arrive.", style="bold red")
        return False
    out.print(f"Study {study}: {arrived.instance_count} instances arrived in {arrived.receiving_s:.2f} s\n")
    out.print(render.decisions_table(queries.decisions(study)))
    good = True
    analyses = [job for job in jobs if job.kind is JobKind.ANALYSE]
    for job in analyses:
        out.print()
        summary = queries.summary(job.job_id)
        report = queries.gate_report(job.job_id)
        if summary is None or report is None:
            out.print(Text(f"{job.label}: {job.state.value}: {job.reason}", style="bold red"))
            good = False
            continue
        out.print(render.findings_table(summary))
        out.print()
        out.print(render.deliveries_table(queries.deliveries(job.job_id)))
        passed = sum(check.passed for check in report.checks)
        out.print(f"\ngate: {passed} of {len(report.checks)} checks passed on the encoded objects")
        good &= report.passed and job.state in {JobState.DELIVERED, JobState.COMMITTED}
        out.print()
        out.print(render.stages_table(stage_times(queries, job, jobs)))
    kinds = {RESULT_CLASSES[uid] for uid in standing or () if uid in RESULT_CLASSES}
    if standing is not None:
        out.print(f"\nin the PACS, in the same study: {', '.join(sorted(kinds)) or 'no result'}")
        good &= kinds == set(RESULT_CLASSES.values())
    out.print()
    return good and bool(analyses)


def stage_times(queries: Queries, job: Job, jobs: Sequence[Job]) -> list[StageTime]:
    """All stages from the first instance to the last answer of the PACS, in order."""
    found: list[StageTime] = []
    routes = [one for one in jobs if one.kind is JobKind.ROUTE and one.revision == job.revision]
    for one in (*routes, job):
        name = one.kind.value
        timeline = queries.timeline(one.job_id)
        at = {step.after: step.at for step in reversed(timeline)}
        if one.kind is JobKind.ROUTE:
            first, ready = at.get(JobState.RECEIVED), at.get(JobState.READY)
            if first and ready:
                found.append(StageTime("receive and wait for completeness", (ready - first).total_seconds()))
        if at.get(JobState.READY) and at.get(JobState.RUNNING):
            waited = (at[JobState.RUNNING] - at[JobState.READY]).total_seconds()
            found.append(StageTime(f"{name}: from ready to a worker", waited))
        found.extend(StageTime(f"{name}: {stage.stage}", stage.seconds) for stage in queries.stages(one.job_id))
        if at.get(JobState.PRODUCED) and at.get(JobState.DELIVERED):
            sent = (at[JobState.DELIVERED] - at[JobState.PRODUCED]).total_seconds()
            found.append(StageTime("deliver", sent))
    return found


def copy_pictures(
    queries: Queries, settings: Settings, studies: Mapping[str, StudyInstanceUID], output: Path
) -> list[Path]:
    """Copy the overlay of each analysis to where the person looks for it."""
    output.mkdir(parents=True, exist_ok=True)
    copied = []
    for name, study in studies.items():
        for job in queries.list_jobs(states=None, study=study, limit=50):
            picture = settings.node.data / "pictures" / f"{job.job_id}.png"
            if job.model is not None and picture.exists():
                target = output / f"{name}-{job.model.name}.png"
                shutil.copyfile(picture, target)
                copied.append(target)
    return copied


def print_end(*, good: bool, pictures: Sequence[Path], seconds: float) -> None:
    """Say whether all is well, where the pictures are, and how long it took."""
    for picture in pictures:
        console.out.print(f"picture: {picture}", soft_wrap=True)
    word = "[bold green]done[/]" if good else "[bold red]FAILED[/]"
    console.out.print(f"{word}: {len(pictures)} picture(s), {seconds:.1f} s in all")


def print_addresses(settings: Settings, pacs: Destination, work: Path) -> None:
    """Where everything is that was left running."""
    made = console.table("Left running; Ctrl-C ends it", "what", "where")
    made.add_row("listener", f"{settings.node.ae_title}@{settings.listener.bind}:{settings.listener.port}")
    made.add_row("PACS", f"{pacs.ae_title}@{pacs.host}:{pacs.port}")
    made.add_row("Flower", f"http://{settings.flower.bind}:{settings.flower.port} (user {settings.flower.user})")
    made.add_row("Flower's password", str(settings.node.data / "flower-password"))
    made.add_row("jobs", f"overread jobs --data {settings.node.data}")
    made.add_row("logs", str(work / "logs"))
    console.out.print(made)
