"""Packages of weights that come without a description: ONNX, TorchScript, nets of torchvision."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.model import Family
from worker.importing.onnx_export import sha256_of
from worker.importing.package_folder import Imported, Naming, add_report, building
from worker.importing.parity.net import answers_of_torch, compare_weights
from worker.importing.ports import Runtime
from worker.importing.vision import vision_to_onnx
from worker.importing.weights_alone import guided, one_file, parse_shape, script_to_onnx, tensors_of

Answering = Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]]
"""What a framework says of a batch: every output."""

_WEIGHTS = "model.onnx"
_TODO = (
    "Everything in CAPITALS in manifest.toml.",
    "Preprocessing, as in training; what the outputs mean, with their codes; the input contract and the guards.",
    "A parity test and a golden case of your own: weights alone say nothing about what must happen before them.",
)


@dataclass(frozen=True, slots=True)
class TorchvisionNet:
    """A net by its name in ``torchvision.models``, its trained weights, and the shape of its input ("N,3,224,224")."""

    name: str
    weights: Path
    classes: int
    shape: str


def import_onnx(
    file: Path,
    target: Path,
    naming: Naming,
    family: Family,
    *,
    runtime: Runtime,
    output: str = "",
    framework: str = "",
    theirs: Answering | None = None,
) -> Imported:
    """A package of a family with these weights; names, types and shapes of the net are those of the file.

    ``output`` names the output that is used, where the file has several. All are compared with the ``framework`` that
    they were written by (``theirs`` is what it says of a batch), else with what ONNX Runtime says when it changes
    nothing of the graph.

    Raises ConfigurationError: what ``tensors_of``, ``one_file``, ``compare_weights`` and the runtime raise,
    ``folder-exists``.
    """
    tensors = tensors_of(file, output=output, several=family is Family.BOXES)
    with building(target, naming) as made:
        weights = made.parent / _WEIGHTS
        beside = one_file(file, weights, elsewhere=runtime.outside(file))
        parity = compare_weights(
            framework or "ONNX Runtime without optimisation",
            theirs or (lambda batch: [*runtime.outputs(weights, batch, optimised=False).values()]),
            lambda batch: runtime.outputs(weights, batch),
            shape=tensors.input.shape,
            libraries=("onnxruntime", *(("torch",) if theirs else ())),
        )
        made.rmdir()  # the skeleton makes its folder itself
        manifest = runtime.skeleton(made, family, name=naming.name, weights=weights)
        external = {one.name: sha256_of(one) for one in beside}
        for one in beside:
            one.rename(made / one.name)
        manifest.write_text(guided(manifest.read_text(encoding="utf-8"), tensors, external=external), encoding="utf-8")
        add_report(made, parity)
        problem = runtime.problem(made)
    return Imported(target / naming.name, problem, _TODO, parity)


def import_torchscript(
    file: Path, target: Path, naming: Naming, family: Family, *, runtime: Runtime, shape: str, output: str = ""
) -> Imported:
    """The same of a TorchScript file; ``shape`` is that of its input ("N,1,96,96,96")."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / _WEIGHTS
        net = script_to_onnx(file, path, shape=parse_shape(shape))
        theirs = answers_of_torch(net)
        return import_onnx(
            path, target, naming, family, runtime=runtime, output=output, framework="TorchScript", theirs=theirs
        )


def import_torchvision(
    net: TorchvisionNet,
    target: Path,
    naming: Naming,
    family: Family,
    *,
    runtime: Runtime,
    trust: bool,
) -> Imported:
    """The same of a net of torchvision with weights of one's own; ``trust`` as of ``load_checkpoint``."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / _WEIGHTS
        shape = parse_shape(net.shape)
        built = vision_to_onnx(net.name, path, weights=net.weights, classes=net.classes, shape=shape, trust=trust)
        theirs = answers_of_torch(built)
        return import_onnx(path, target, naming, family, runtime=runtime, framework="torchvision", theirs=theirs)
