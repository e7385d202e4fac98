"""``explain``: which series went to which model, and why the others did not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from worker.cli import console, render
from worker.cli.options import Config, Data, Json, quiet_logs, settings_for
from worker.domain.errors import ConfigurationError
from worker.domain.study import StudyInstanceUID
from worker.pipeline.route import plan_now
from worker.wiring import packages, reading, stores


def explain(
    study: Annotated[str | None, typer.Argument(help="Study Instance UID.")] = None,
    files: Annotated[
        Path | None, typer.Option("--files", help="Decide for DICOM files in this folder, without running anything.")
    ] = None,
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Print every routing decision for a study, with its reasons."""
    with console.reporting():
        settings = settings_for(config, data)
        quiet_logs()
        if (study is None) == (files is None):
            raise ConfigurationError(
                "Name a study or a folder.",
                next_step="`overread explain STUDY` or `overread explain --files DIR`.",
                code="usage",
            )
        if files is not None:
            reader = reading.reader(settings)
            instances, skipped = reading.instances_in(files)
            series = reader.series(reader.survey(instances)[0])
            found = plan_now(packages.table_of(settings), series, config_digest=settings.result_digest)
            decisions = found.decisions
            if as_json:
                console.print_json({"decisions": decisions, "skipped": skipped})
                return
            for one in skipped:
                console.out.print(Text(f"left out {one.path.name}: {one.reason}", style="dim"))
            for missed in found.missed:
                console.out.print(Text(f"{missed.model} cannot be used ({missed.code}): {missed.reason}"))
            console.out.print(render.decisions_table(decisions, series))
            return
        assert study is not None  # noqa: S101 - checked above
        queries = stores.queries(settings)
        uid = StudyInstanceUID(study)
        jobs = queries.list_jobs(states=None, study=uid, limit=100)
        if not jobs:
            raise ConfigurationError(
                f"Nothing is known of the study {study}.",
                next_step="`overread jobs` lists what was received.",
                code="study-unknown",
            )
        recorded = queries.decisions(uid)
        if as_json:
            console.print_json({"jobs": jobs, "decisions": recorded})
            return
        console.out.print(render.jobs_table(jobs))
        if recorded:
            console.out.print(render.decisions_table(recorded))
        else:
            console.out.print("Nothing has been decided yet; the reason of the route job above says why.")
