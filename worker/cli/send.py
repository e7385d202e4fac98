"""``send``: C-STORE files and folders as a modality would."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from worker.cli import console
from worker.cli.options import Config, Json, parse_destination, quiet_logs, settings_for
from worker.deliver.send_files import FileOutcome, send_files
from worker.domain.errors import ConfigurationError
from worker.domain.result import Destination


def send(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, or folders of them.")],
    to: Annotated[str, typer.Option("--to", help="AET@host:port; the listener of this configuration by default.")] = "",
    aet: Annotated[str, typer.Option("--aet", help="Our calling AE title.")] = "OVERREAD_SEND",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Send files by C-STORE, as they are, and say how each was answered."""
    with console.reporting():
        settings = settings_for(config)
        quiet_logs()
        for path in paths:
            if not path.exists():
                raise ConfigurationError(f"There is no file or folder {path}.", code="file-missing")
        here = Destination("here", settings.node.ae_title, settings.listener.bind, settings.listener.port)
        destination = parse_destination(to) if to else here
        files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
        files = [file for file in files if file.is_file()]
        columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console.err, transient=True) as progress:
            task = progress.add_task("send", total=len(files))

            def advance(outcome: FileOutcome) -> None:
                del outcome
                progress.advance(task)

            report = send_files(files, destination, calling_ae_title=aet, on_progress=advance)
        if as_json:
            console.print_json(report)
        else:
            for failure in report.failures:
                console.out.print(f"[red]not stored[/] {failure.path}: ({failure.code}) {failure.detail}", markup=True)
            console.out.print(f"{report.stored} of {len(report.outcomes)} stored at {destination.ae_title}")
        if report.failures:
            raise typer.Exit(console.EXIT_FAILED)
