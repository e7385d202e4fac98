"""Importers of models, with the worker's own inference to compare with."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.decode.dataset.files import instances_from_folder
from worker.decode.series.headers import HeaderReader
from worker.decode.series.volumes import VolumeReader
from worker.domain.errors import ConfigurationError, NotApplicableError
from worker.domain.volume import Volume
from worker.importing import package_folder
from worker.importing.onnx_export import sha256_of
from worker.importing.package_folder import Imported, Naming, add_report
from worker.importing.parity.itk_images import read_nifti
from worker.importing.parity.net import answers_of_torch, compare_weights
from worker.importing.ports import Runtime
from worker.importing.vision import vision_to_onnx
from worker.importing.weights_alone import guided, one_file, parse_shape, script_to_onnx, tensors_of
from worker.inference.development.package_runtime import PackageRuntime
from worker.inference.development.scaffold import WEIGHTS, Family, write_package_skeleton
from worker.inference.packages.onnx_file import summarize
from worker.inference.packages.package import MANIFEST
from worker.inference.runtime.session import run_file
from worker.settings import Settings
from worker.wiring import package_check

Answering = Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]]
"""What a framework says of a batch: every output."""


def runtime() -> Runtime:
    """The worker's own inference."""
    return PackageRuntime(_problem)


def _problem(folder: Path) -> str:
    return package_check.check_packages(Settings(), [folder])[0].error


def package_of_onnx(
    file: Path,
    target: Path,
    naming: Naming,
    family: Family,
    *,
    output: str = "",
    framework: str = "",
    theirs: Answering | None = None,
) -> Imported:
    """A package of a family with these weights; names, types and shapes of the net are those of the file.

    ``output`` names the output that is used, where the file has several. All are compared with the ``framework`` that
    they were written by (``theirs`` is what it says of a batch), else with what ONNX Runtime says when it changes
    nothing of the graph.

    Raises ConfigurationError: what ``tensors_of``, ``one_file``, ``run_file`` and ``compare_weights`` raise,
    ``folder-exists``.
    """
    tensors = tensors_of(file, output=output, several=family is Family.BOXES)
    with package_folder.building(target, naming) as made:
        weights = made.parent / WEIGHTS
        summary = summarize(file.read_bytes())
        beside = one_file(file, weights, elsewhere=summary.locations if summary.external else ())
        parity = compare_weights(
            framework or "ONNX Runtime without optimisation",
            theirs or (lambda batch: [*run_file(weights, batch, optimised=False).values()]),
            lambda batch: run_file(weights, batch),
            shape=tensors.input.shape,
            libraries=("onnxruntime", *(("torch",) if theirs else ())),
        )
        made.rmdir()  # the skeleton makes its folder itself
        write_package_skeleton(made, family, name=naming.name, weights=weights)
        external = {one.name: sha256_of(one) for one in beside}
        for one in beside:
            one.rename(made / one.name)
        path = made / MANIFEST
        path.write_text(guided(path.read_text(encoding="utf-8"), tensors, external=external), encoding="utf-8")
        add_report(made, parity)
        problem = _problem(made)
    todo = (
        "Everything in CAPITALS in manifest.toml.",
        "Preprocessing, as in training; what the outputs mean, with their codes; the input contract and the guards.",
        "A parity test and a golden case of your own: weights alone say nothing about what must happen before them.",
    )
    return Imported(target / naming.name, problem, todo, parity)


def package_of_script(
    file: Path, target: Path, naming: Naming, family: Family, *, shape: str, output: str = ""
) -> Imported:
    """The same of a TorchScript file; ``shape`` is that of its input ("N,1,96,96,96")."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        net = script_to_onnx(file, path, shape=parse_shape(shape))
        theirs = answers_of_torch(net)
        return package_of_onnx(path, target, naming, family, output=output, framework="TorchScript", theirs=theirs)


def package_of_vision(
    net: str,
    target: Path,
    naming: Naming,
    family: Family,
    *,
    weights: Path,
    classes: int,
    shape: str,
    trust: bool,
) -> Imported:
    """The same of a net of torchvision with weights of one's own."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        built = vision_to_onnx(net, path, weights=weights, classes=classes, shape=parse_shape(shape), trust=trust)
        return package_of_onnx(path, target, naming, family, framework="torchvision", theirs=answers_of_torch(built))


def read_case(path: Path, *, modality: str) -> Volume:
    """A case to compare on: a folder of DICOM files (its largest series), or a NIfTI file.

    Raises ConfigurationError (``case-missing``, ``case-unreadable``), and what reading a series raises.
    """
    if path.is_file() and not path.name.lower().endswith(".dcm"):
        return read_nifti(path, modality=modality)
    if not path.exists():
        raise ConfigurationError(f"There is no {path}.", next_step="Name a folder or a file.", code="case-missing")
    instances, _ = instances_from_folder(path)
    reader = HeaderReader()
    series = reader.series(reader.headers(instances))
    if not series:
        raise NotApplicableError(f"{path} has no DICOM images.", next_step="Name another folder.", code="no-images")
    return VolumeReader().volume(max(series, key=lambda one: one.slice_count))
