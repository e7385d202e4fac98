"""``doctor``: look at every part, and say what to do about each that is not well."""

from __future__ import annotations

import typer
from rich.text import Text

from worker.cli import console
from worker.cli.options import Config, Data, Json, quiet_logs, settings_for
from worker.pipeline.examine import Examined
from worker.wiring.examination import examine


def doctor(config: Config = None, data: Data = None, as_json: Json = False) -> None:
    """Check configuration, folders, broker, database, models, listener, and C-ECHO to each destination."""
    with console.reporting():
        settings = settings_for(config, data)
        quiet_logs()
        found: list[Examined] = []
        for one in examine(settings):
            found.append(one)
            if as_json:
                continue
            mark = Text("well  ", style="green") if one.well else Text("ill   ", style="bold red")
            console.out.print(Text.assemble(mark, Text(one.what, style="bold"), "  ", one.detail))
            if not one.well and one.next_step:
                console.out.print(Text(f"      next: {one.next_step}", style="yellow"))
        if as_json:
            console.print_json(found)
        if not all(one.well for one in found):
            raise typer.Exit(console.EXIT_FAILED)
