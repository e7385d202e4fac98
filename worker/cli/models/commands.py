"""``models``: what is installed, whether it is sound, and how a new one begins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from worker.cli import console
from worker.cli.models import bench, convert, fetch, importing, make
from worker.cli.options import Config, Json, quiet_logs, settings_for
from worker.inference.packages.package import Package
from worker.inference.packages.routing_table import is_offered
from worker.wiring import package_check, packages

app = typer.Typer(help="Model packages: list, check, begin and describe them.", no_args_is_help=True)
app.command("new")(make.new)
app.command("card")(make.card)
app.command("bench")(bench.bench)
app.command("convert")(convert.convert)
app.command("fetch")(fetch.fetch)
app.add_typer(importing.app, name="import")


@app.command("list")
def list_models(config: Config = None, as_json: Json = False) -> None:
    """List the installed model packages, the broken ones with their reasons."""
    with console.reporting():
        settings = settings_for(config)
        quiet_logs()
        registry = packages.registry(settings)
        good, broken = registry.packages, registry.broken
        if as_json:
            console.print_json(
                {
                    "models": [
                        {
                            "model": p.identity,
                            "title": p.manifest.package.title,
                            "folder": p.folder,
                            "experimental": p.manifest.package.experimental,
                            "offered": is_offered(p, settings),
                        }
                        for p in good
                    ],
                    "broken": [{"folder": b.folder, "reason": b.error.message} for b in broken],
                }
            )
            return
        made = console.table("Models", "model", "title", "modality", "state", "digest", "folder")
        for package in good:
            made.add_row(
                str(package.identity),
                Text(package.manifest.package.title),
                ", ".join(package.manifest.reference.modalities),
                _state(package, offered=is_offered(package, settings)),
                package.identity.digest[:12],
                str(package.folder),
            )
        console.out.print(made)
        for one in broken:
            console.out.print(Text(f"broken: {one.folder}: {one.error}", style="red"))


def _state(package: Package, *, offered: bool) -> str:
    if not package.manifest.package.experimental:
        return "offered"
    return "experimental, offered" if offered else "experimental, off"


@app.command("check")
def check(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Package folders; the installed ones by default.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Check manifests, hashes and weights, and run each once on a made-up image; errors name what was expected."""
    with console.reporting():
        settings = settings_for(config)
        quiet_logs()
        reports = package_check.check_packages(settings, folders or [])
        if as_json:
            console.print_json(reports)
        else:
            for report in reports:
                mark = "[green]ok[/]  " if not report.error else "[bold red]bad[/] "
                console.out.print(mark, end="")
                console.out.print(
                    Text(f"{report.folder}  {report.model or f'({report.code}) {report.error}'}"), soft_wrap=True
                )
        if any(report.error for report in reports):
            raise typer.Exit(console.EXIT_DATA)
