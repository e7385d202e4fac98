"""``models convert``: weights of a package in fewer bits, as a variant that a site can choose."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from worker.cli import console
from worker.cli.options import Config, Json, quiet_logs, settings_for
from worker.domain.errors import ConfigurationError
from worker.inference.development.convert import converted
from worker.wiring import packages


class Target(StrEnum):
    """The precision that weights are converted to."""

    FP16 = "fp16"
    INT8 = "int8"


def convert(
    folder: Annotated[Path, typer.Argument(help="Package folder.")],
    to: Annotated[Target, typer.Option("--to", help="fp16, or int8 (dynamic quantisation).")],
    weights: Annotated[str, typer.Option(help="Id of the weights, where there are several.")] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Write weights in fewer bits beside the others, and print the entry for the manifest. Needs the export extra."""
    with console.reporting():
        settings = settings_for(config)
        quiet_logs()
        package = packages.package_in(folder, settings)
        entries = [e for e in package.manifest.weights if e.variant_of is None and weights in ("", e.id)]
        if len(entries) != 1:
            known = ", ".join(e.id for e in package.manifest.weights if e.variant_of is None)
            raise ConfigurationError(
                f"Which weights? The package has {known}.", next_step="Name one with --weights.", code="which-weights"
            )
        (entry,) = entries
        source = package.weights[entry.id]
        if source.external:
            raise ConfigurationError(
                f"{entry.file} keeps tensors in other files, which the converter would leave behind.",
                next_step="Save it as one file first.",
                code="not-converted",
            )
        content = converted(source.read(), to.value, file=entry.file)
        made = folder / f"{entry.file.removesuffix('.onnx')}-{to.value}.onnx"
        made.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        if as_json:
            console.print_json({"file": made, "sha256": digest, "variant_of": entry.id, "precision": to.value})
            return
        lines = [
            f"{made}: {len(content)} bytes, where {entry.file} has {source.size_bytes}. For the manifest:",
            "",
            "[[weights]]",
            f'id = "{entry.id}-{to.value}"',
            f'file = "{made.relative_to(folder)}"',
            f'sha256 = "{digest}"',
            f'precision = "{to.value}"',
            'precision_note = "WHAT overread models bench MEASURED"',
            f'variant_of = "{entry.id}"',
            "",
            "It changes the package: give it a new version. Then measure what it costs: overread models bench.",
        ]
        console.out.print(Text("\n".join(lines)), soft_wrap=True)
