"""``models bench``: what each precision and each provider costs and gives, measured on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from worker.cli import console
from worker.cli.options import Config, Json, quiet_logs, settings_for
from worker.inference.development.bench import Measured, golden_sample
from worker.inference.packages.package import Package
from worker.wiring import benching, packages


def bench(
    model: Annotated[str, typer.Argument(help="Name of an installed model, or a package folder.")],
    case: Annotated[
        Path | None,
        typer.Option("--case", help="Folder with DICOM images; else the sample study that the package names."),
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option("--precision", help="fp32, fp16 or int8, repeatable; else all that it offers.")
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option("--provider", help="Execution provider or triton, repeatable; else all that are here."),
    ] = None,
    repeat: Annotated[int, typer.Option(min=0, max=100, help="Runs after the first, of which the median is told.")] = 3,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Measure seconds, peak memory and the difference to fp32 on the CPU, by precision and provider.

    Of the columns: "first" is a whole run with the loading, "run" the median of those after it, "net" the inference of
    these alone, "MiB" the highest memory of the process, "Dice" the lowest of the structures, and "diff." the largest
    difference of what the net answered.
    """
    with console.reporting():
        settings = settings_for(config)
        quiet_logs()
        package = packages.package_named(model, settings)
        todo = benching.settings_of(package, settings, precision or (), provider or ())
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console.err, transient=True) as progress:
            step = progress.add_task("images", total=None)
            folder = case if case is not None else _sample(package)
            measured = list(
                benching.bench(
                    package,
                    settings,
                    folder,
                    todo,
                    repeat=repeat,
                    say=lambda what: progress.update(step, description=what),
                )
            )
        if as_json:
            console.print_json({"model": package.identity, "case": folder.name, "repeat": repeat, "runs": measured})
        else:
            _show(package, folder, measured)
        if any(one.error for one in measured):
            raise typer.Exit(console.EXIT_DATA)


def _sample(package: Package) -> Path:
    from worker import samples

    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "overread" / "samples"
    return samples.fetch(golden_sample(package), home)


def _show(package: Package, case: Path, measured: Sequence[Measured]) -> None:
    columns = ("weights", "on", "load s", "first s", "run s", "net s", "MiB", "Dice", "diff.")
    made = console.table(f"{package.identity} on {case.name}", *columns)
    for one in measured:
        setting = one.setting
        if one.times is None:
            made.add_row(setting.precision, setting.provider, *["-"] * 7)
            continue
        times = one.times
        made.add_row(
            setting.precision,
            one.provider_used.replace("ExecutionProvider", ""),
            *(f"{value:.2f}" for value in (times.load_s, times.first_s, times.run_s, times.inference_s)),
            str(one.peak_mb),
            *_compared(one),
        )
    console.out.print(made)
    for one in measured:
        what = f"{one.setting.precision} on {one.setting.provider}"
        for line in [one.error] if one.error else _lines(one):
            console.out.print(Text(f"{what}: {line}"), soft_wrap=True)


def _lines(one: Measured) -> list[str]:
    """What a setting changes in the result, a line for each structure and each value."""
    if one.differences is None:
        return []
    segments = [
        f"{each.label}: Dice {each.dice:.5f}, {each.voxels_different} voxels differ of {each.voxels}"
        for each in one.differences.segments
    ]
    values = [
        f"{each.what}: {_number(each.value)}, reference {_number(each.reference)}" for each in one.differences.values
    ]
    return [*segments, *values]


def _compared(one: Measured) -> tuple[str, str]:
    found = one.differences
    if found is None:
        return "ref.", "ref."
    dice = "-" if found.lowest_dice is None else f"{found.lowest_dice:.5f}"
    return dice, "-" if found.largest_difference is None else f"{found.largest_difference:.2g}"


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.6g}"
