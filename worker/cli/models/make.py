"""``models new`` and ``models card``: begin a package, and show one to people."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from worker.cli import console
from worker.cli.options import Config, Json, quiet_logs, settings_for
from worker.domain.errors import ConfigurationError
from worker.domain.model import Family
from worker.inference.development.scaffold import write_package_skeleton
from worker.inference.manifest.card import markdown, page
from worker.inference.packages.package import MANIFEST
from worker.wiring import packages


class Format(StrEnum):
    """How a card is written."""

    MARKDOWN = "markdown"
    HTML = "html"


def new(
    name: Annotated[str, typer.Argument(help="Name of the package: lower-case words joined by hyphens.")],
    family: Annotated[Family, typer.Option(help="What the model does, and on what.")],
    folder: Annotated[Path, typer.Option(help="Where the package's folder is made.")] = Path(),
    weights: Annotated[Path | None, typer.Option(help="ONNX file to copy into it; else it is named later.")] = None,
    as_json: Json = False,
) -> None:
    """Begin a model package: a folder with a manifest of a family, to be filled in."""
    with console.reporting():
        made = write_package_skeleton(folder / name, family, name=_name(name), weights=weights)
        if as_json:
            console.print_json({"folder": made, "manifest": made / MANIFEST})
            return
        console.out.print(Text(f"{made / MANIFEST}"), soft_wrap=True)
        console.out.print(Text("Replace what stands in CAPITALS, put model.onnx beside it with its SHA-256, then run:"))
        console.out.print(Text(f"  overread models check {made}"), soft_wrap=True)


def card(
    model: Annotated[str, typer.Argument(help="Name of an installed model, or a package folder.")],
    to: Annotated[Format, typer.Option("--format", help="markdown, or html: one page that needs nothing else.")] = (
        Format.MARKDOWN
    ),
    output: Annotated[Path | None, typer.Option(help="File to write; else it is printed.")] = None,
    config: Config = None,
) -> None:
    """Show what a model is for, what it was measured to do, and what its limits are."""
    with console.reporting():
        settings = settings_for(config)
        quiet_logs()
        package = packages.package_named(model, settings)
        render = page if to is Format.HTML else markdown
        text = render(package.manifest, digest=package.identity.digest)
        if output is None:
            typer.echo(text)
        else:
            output.write_text(text, encoding="utf-8")


def _name(name: str) -> str:
    allowed = name.replace("-", "").isalnum() and name.islower() and name.isascii() and name[0].isalpha()
    if not allowed or "--" in name or name.endswith("-") or len(name) > 64:
        raise ConfigurationError(
            f'"{name}" is no name of a package.',
            next_step='Write lower-case letters and digits, words joined by hyphens: "lung-nodules-ct".',
            code="name-invalid",
        )
    return name
