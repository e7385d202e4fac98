"""``models fetch``: bring the weights that packages name by URL. Workers never download."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from worker.cli import console
from worker.cli.options import Config, Json, quiet_logs, settings_for
from worker.domain.errors import OverreadError
from worker.wiring import weights


def fetch(
    model: Annotated[str, typer.Argument(help="Name of an installed model; all of them by default.")] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Fetch weights that packages name by URL, from hosts that `models.fetch_from` lists."""
    with console.reporting():
        settings = settings_for(config)
        quiet_logs()
        wanted = weights.wanted(settings, model)
        fetcher = weights.fetcher(settings)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
                   TimeRemainingColumn())  # fmt: skip
        fetched: list[dict[str, object]] = []
        failed: list[OverreadError] = []
        with Progress(*columns, console=console.err) as progress:
            for one in wanted:
                task = progress.add_task(f"{one.package} {one.file}", total=one.size_bytes)
                try:
                    path = fetcher.fetch(one, partial(_show, progress, task))
                except OverreadError as error:
                    failed.append(error)  # the others are fetched all the same
                    continue
                fetched.append({"model": one.package, "file": one.file, "sha256": one.sha256, "path": path})
        unsound = list(weights.unsound(settings, {str(one["model"]) for one in fetched}))
        if as_json:
            console.print_json({"fetched": fetched, "unsound": unsound})
        else:
            for entry in fetched:
                console.out.print(Text(f"{entry['model']}: {entry['file']} is there, SHA-256 as stated"))
            if not wanted:
                console.out.print("Nothing to fetch: every file of weights is in its package.")
            for report in unsound:
                console.out.print(Text(f"bad: {report.folder}: {report.error}", style="red"), soft_wrap=True)
        for failure in failed:
            console.print_error(failure)
        if failed:
            raise typer.Exit(console.exit_code(failed[0]))
        if unsound:
            raise typer.Exit(console.EXIT_DATA)


def _show(progress: Progress, task: TaskID, count: int) -> None:
    progress.update(task, completed=count)
