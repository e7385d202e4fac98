"""``view``: one analysis as a page with pictures, for a browser."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from worker.cli import console
from worker.cli.options import Config, Data, quiet_logs, settings_for
from worker.domain.analysis_record import AnalysisRecord
from worker.domain.errors import ConfigurationError
from worker.pictures.page import page_of
from worker.wiring import viewing

BurnedIn = Annotated[
    bool, typer.Option("--burned-in", help="Draw images even when they say that they have text burned in.")
]


def view(
    job: Annotated[str, typer.Argument(help="Job id, or its first characters.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write (HTML).", show_default="overread-view-JOB.html")
    ] = None,
    config: Config = None,
    data: Data = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    burned_in: BurnedIn = False,
) -> None:
    """Write a page on one analysis: what was found, pictures of it, where it went, and what it was made from."""
    with console.reporting():
        settings = settings_for(config, data)
        quiet_logs()
        record = viewing.record_of_job(settings, job, burned_in=burned_in)
        name = record.job.job_id[:8] if record.job else "run"
        path = write_page(record, output or Path(f"overread-view-{name}.html"))
        console.out.print(f"wrote {path}", soft_wrap=True)
        if open_ and not webbrowser.open(path.absolute().as_uri()):
            console.err.print("No browser could be opened; the file is above.")


def write_page(record: AnalysisRecord, path: Path) -> Path:
    """Write the page, readable by its owner only: it has a patient's images."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror or type(error).__name__}.",
            next_step="Name another file with --output.",
            code="output-not-writable",
        ) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(page_of(record))
    return path
