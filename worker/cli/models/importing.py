"""``models import``: from a trained model of a framework to a model package."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from worker.cli import console
from worker.cli.options import Json, quiet_logs
from worker.domain.model import Family
from worker.importing.package_folder import Imported, Naming
from worker.importing.parity.report import ALONE, STAND_IN, Parity
from worker.importing.ports import Said

app = typer.Typer(help="Make a package of a trained model (needs the export extra).", no_args_is_help=True)

Name = Annotated[str, typer.Option("--name", help="Name of the package: lower-case words joined by hyphens.")]
Into = Annotated[Path, typer.Option("--folder", help="Where the package's folder is made.")]
Version = Annotated[str, typer.Option("--package-version", help="Version of the package.")]
Title = Annotated[str, typer.Option("--title", help="What people read; else the name.")]
Modality = Annotated[
    str, typer.Option("--modality", help="CT, MR, PT ...; where the model does not say. PT,CT: one for each input.")
]
Codes = Annotated[Path | None, typer.Option("--codes", help="TOML file with the codes of the labels.")]
Case = Annotated[Path | None, typer.Option("--case", help="Case to compare on: DICOM folder, or NIfTI file.")]
Trust = Annotated[bool, typer.Option("--trust", help="Run code that comes with the model. Only if you know its maker.")]
FamilyOption = Annotated[Family, typer.Option("--family", help="What the model does, and on what.")]
Output = Annotated[str, typer.Option("--output", help="Name of the output that is used, where the net has several.")]
ShapeOption = Annotated[str, typer.Option("--shape", help="Of the input: N,1,96,96,96 or N,3,224,224; N varies.")]


@app.command("nnunet")
def nnunet(  # noqa: PLR0917  Typer reads options from the signature
    results: Annotated[Path, typer.Argument(help="Results folder: plans.json, dataset.json, fold_*.")],
    name: Name,
    folder: Into = Path(),
    version: Version = "0.1.0",
    title: Title = "",
    modality: Modality = "",
    codes: Codes = None,
    case: Annotated[
        list[Path] | None, typer.Option("--case", help="Case to compare on; of several inputs one for each, in order.")
    ] = None,
    fold: Annotated[list[str] | None, typer.Option("--fold", help="Only these folds; repeat it.")] = None,
    checkpoint: Annotated[str, typer.Option(help="File in each fold's folder.")] = "checkpoint_final.pth",
    axes: Annotated[str, typer.Option(help="Towards what slices, rows, columns of the training files run.")] = "SPL",
    previous: Annotated[
        Path | None, typer.Option(help="Results folder of a cascade's first stage; else the one beside.")
    ] = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Import a trained nnU-Net v2 (2d, 3d_fullres, 3d_lowres, cascade), and compare it with nnU-Net's own predictor."""

    def make(said: Said) -> Imported:
        from worker.importing.nnunet.importer import Wanted, import_nnunet
        from worker.wiring.importing import read_case, runtime

        naming = Naming(name, version, title, modality, codes)
        wanted = Wanted(tuple(fold or ()), checkpoint, axes, trust, previous)
        volumes = [read_case(path, modality="") for path in case or ()]
        return import_nnunet(results, folder, naming, wanted, runtime=runtime(), case=volumes, said=said)

    _import(make, as_json=as_json)


@app.command("monai")
def monai(  # noqa: PLR0917  Typer reads options from the signature
    bundle: Annotated[Path, typer.Argument(help="Bundle folder: configs and models.")],
    name: Name,
    folder: Into = Path(),
    version: Version = "0.1.0",
    title: Title = "",
    modality: Modality = "",
    codes: Codes = None,
    case: Case = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Import a MONAI bundle, and compare it with MONAI's own run."""

    def make(said: Said) -> Imported:
        from worker.importing.monai.importer import import_monai
        from worker.wiring.importing import read_case, runtime

        naming = Naming(name, version, title, modality, codes)
        volume = None if case is None else read_case(case, modality=modality)
        return import_monai(bundle, folder, naming, trust=trust, runtime=runtime(), case=volume, said=said)

    _import(make, as_json=as_json)


@app.command("onnx")
def onnx(
    file: Annotated[Path, typer.Argument(help="ONNX file.")],
    name: Name,
    family: FamilyOption,
    output: Output = "",
    folder: Into = Path(),
    as_json: Json = False,
) -> None:
    """Make a package of an ONNX file; its manifest is to be filled in."""

    def make(_: Said) -> Imported:
        from worker.importing.weights_importer import import_onnx
        from worker.wiring.importing import runtime

        return import_onnx(file, folder, Naming(name), family, runtime=runtime(), output=output)

    _import(make, as_json=as_json)


@app.command("torchscript")
def torchscript(
    file: Annotated[Path, typer.Argument(help="TorchScript file.")],
    name: Name,
    family: FamilyOption,
    shape: ShapeOption,
    output: Output = "",
    folder: Into = Path(),
    as_json: Json = False,
) -> None:
    """Make a package of a TorchScript file; its manifest is to be filled in."""

    def make(_: Said) -> Imported:
        from worker.importing.weights_importer import import_torchscript
        from worker.wiring.importing import runtime

        return import_torchscript(file, folder, Naming(name), family, runtime=runtime(), shape=shape, output=output)

    _import(make, as_json=as_json)


@app.command("torchvision")
def torchvision(  # noqa: PLR0917  Typer reads options from the signature
    net: Annotated[str, typer.Argument(help="Name of the net in torchvision.models, such as resnet18.")],
    weights: Annotated[Path, typer.Option(help="Its trained weights: a state dict.")],
    classes: Annotated[int, typer.Option(help="Number of outputs.")],
    name: Name,
    family: FamilyOption,
    shape: ShapeOption = "N,3,224,224",
    folder: Into = Path(),
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Make a package of a net of torchvision with weights of your own; its manifest is to be filled in."""

    def make(_: Said) -> Imported:
        from worker.importing.weights_importer import TorchvisionNet, import_torchvision
        from worker.wiring.importing import runtime

        described = TorchvisionNet(net, weights, classes, shape)
        return import_torchvision(described, folder, Naming(name), family, runtime=runtime(), trust=trust)

    _import(make, as_json=as_json)


def _import(make: Callable[[Said], Imported], *, as_json: bool) -> None:
    """Make a package, say meanwhile what is being done, and show what was made."""
    with console.reporting():
        quiet_logs()
        with _progress() as said:
            made = make(said)
        _show(made, as_json=as_json)


@contextmanager
def _progress() -> Iterator[Said]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console.err, transient=True) as progress:
        step = progress.add_task("reading", total=None)
        yield lambda text: progress.update(step, description=text)


def _show(made: Imported, *, as_json: bool) -> None:
    """Print where the package was made, what is left to do, and how far it is from the framework's own run."""
    if as_json:
        console.print_json(made)
    else:
        console.out.print(Text(f"{made.folder}"), soft_wrap=True)
        if made.parity is not None:
            _show_parity(made.parity)
        for one in made.todo:
            console.out.print(Text(f"to do: {one}"), soft_wrap=True)
        if made.problem:
            console.out.print(Text(f"not usable yet: {made.problem}", style="yellow"), soft_wrap=True)
            console.out.print(Text(f"then run: overread models check {made.folder}"), soft_wrap=True)


def _show_parity(parity: Parity) -> None:
    nets = console.table(f"Nets against {parity.framework}", "weights", "channel", "largest difference", "value")
    for net in parity.nets:
        nets.add_row(net.weights, str(net.channel), f"{net.largest_difference:.2e}", f"{net.largest_score:.3g}")
    console.out.print(nets)
    if not parity.classes:
        console.out.print(Text(f"Compared on a part of a made-up volume. {ALONE}"), soft_wrap=True)
    if parity.classes:
        made = console.table(f"On {parity.where}", "class", "voxels, framework", "voxels, package", "different", "Dice")
        for one in parity.classes:
            made.add_row(
                one.label, str(one.voxels_framework), str(one.voxels_package), str(one.voxels_different),
                f"{one.dice:.6f}",
            )  # fmt: skip
        console.out.print(made)
        console.out.print(Text(parity.costs or STAND_IN), soft_wrap=True)
