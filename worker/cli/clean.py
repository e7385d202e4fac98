"""``clean``: delete what is finished and old, now."""

from __future__ import annotations

from typing import Annotated

import typer

from worker.cli import console
from worker.cli.options import Config, Data, Json, quiet_logs, settings_for


def clean(
    config: Config = None,
    data: Data = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    as_json: Json = False,
) -> None:
    """Delete finished studies that are old, or too many. What is unfinished, or promised to be kept, stays."""
    from worker.wiring import retention

    with console.reporting():
        settings = settings_for(config, data)
        quiet_logs()
        done = retention.clean(settings, dry_run=dry_run)
        if as_json:
            console.print_json({"dry_run": dry_run, **console.plain(done.retired), "pictures": done.pictures})
            return
        retired = done.retired
        made = console.table("Would be deleted" if dry_run else "Deleted", "what", "value")
        for what, value in (
            ("studies", f"{len(retired.studies):,}"),
            ("instances", f"{retired.instances:,}"),
            ("MiB", f"{retired.size_bytes / 2**20:,.1f}"),
            ("pictures", f"{done.pictures:,}"),
            ("histories of studies deleted long ago", f"{retired.histories:,}"),
            ("refused files", f"{retired.refusals:,}"),
            ("result files of attempts that died", f"{retired.orphans:,}"),
        ):
            made.add_row(what, value)
        console.out.print(made)
