"""Import of a trained nnU-Net v2, and its comparison with nnU-Net's own predictor."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.domain.volume import Volume
from worker.importing import package_folder
from worker.importing.labels import read_codes, segments
from worker.importing.nnunet import manifest as described
from worker.importing.nnunet.compare import (
    FRAMEWORK,
    Work,
    check_case,
    compare_case,
    compare_made_up,
    compare_nets,
)
from worker.importing.nnunet.folder import TrainedModel, read_results
from worker.importing.onnx_export import export
from worker.importing.package_folder import Imported, Naming
from worker.importing.parity.itk_images import with_modality
from worker.importing.parity.report import NOTHING_FOUND, require
from worker.importing.ports import Runtime, Said


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a results folder is imported, and how. ``axes``: towards what the training files' axes run.

    ``previous``: the results folder of a cascade's first stage, where it does not lie beside.
    """

    folds: tuple[str, ...] = ()
    checkpoint: str = "checkpoint_final.pth"
    axes: str = "SPL"
    trust: bool = False
    previous: Path | None = None


def import_nnunet(
    results: Path,
    target: Path,
    naming: Naming,
    wanted: Wanted,
    *,
    runtime: Runtime,
    case: Sequence[Volume] = (),
    said: Said = lambda _: None,
) -> Imported:
    """Make the package ``target/naming.name`` of a results folder.

    With ``case``, one volume for each input, both run on it, and the report holds Dice per class; without, and when
    neither finds anything in it, both are compared on made-up volumes.

    Raises
    ------
    ConfigurationError
        What ``read_results``, ``export`` and ``read_codes`` raise; ``folder-exists``, ``case-inputs``;
        ``parity-missed``, ``comparison-failed``.
    NotApplicableError
        The case is none that the package takes.
    """
    said("reading the checkpoints")
    model = read_results(
        results,
        folds=wanted.folds,
        checkpoint=wanted.checkpoint,
        axes=wanted.axes,
        trust=wanted.trust,
        previous=wanted.previous,
    )
    table = {} if naming.codes is None else read_codes(naming.codes, labels=tuple(model.channels.values()))
    outputs = segments(model.channels, table, model.inner)
    modality = described.modalities(model, naming.modality)
    if case:
        check_case(model, case)
    chain = described.steps(model)
    names = _names(model)
    with package_folder.building(target, naming) as folder, tempfile.TemporaryDirectory() as scratch:
        weights = _write_nets(model, names, folder, said)
        manifest = {
            **package_folder.frame(
                naming,
                framework=FRAMEWORK,
                weights=weights,
                memory_mb=described.memory_mb(model),
                per_voxel=16 + 12 * model.heads,
            ),
            **described.contract(model, modality),
            "guards": {"input": [{"guard": "not_constant"}]},
            "preprocessing": chain,
            "inference": described.inference(model, names),
            "postprocessing": [described.decision(model)],
        }
        whole = package_folder.with_segments(manifest, outputs.entries)
        package_folder.write_manifest(folder, whole, comments=_comments(outputs.open_labels))
        told = {**manifest, **described.contract(model, modality, told_apart=False)}
        work = Work(model, names, folder, told, outputs.entries, modality, runtime, said, Path(scratch))
        parity = compare_nets(work)
        notes = []
        if case:
            volumes = [with_modality(one, kind) for one, kind in zip(case, modality, strict=True)]
            parity = compare_case(work, volumes, parity)
            notes += [NOTHING_FOUND] if parity.reached is None else []
        if parity.reached is None:
            parity = compare_made_up(work, parity)
        require(parity)
        todo = (*_todo(model, results, outputs.open_labels), *notes)
        package_folder.write_card(folder, naming, origin=_origin(model), parity=parity, todo=todo)
    return Imported(target / naming.name, runtime.problem(target / naming.name), todo, parity)


def _write_nets(
    model: TrainedModel, names: Sequence[Sequence[str]], folder: Path, said: Said
) -> dict[str, tuple[str, str]]:
    """ONNX files: id to file and SHA-256."""
    weights = {}
    for stage, members in zip(model.stages, names, strict=True):
        for name, parameters in zip(members, stage.parameters, strict=True):
            said(f"writing ONNX of {name}")
            stage.network.load_state_dict(parameters)
            file = f"{name}.onnx"
            weights[name] = (file, export(stage.network, folder / file, shape=described.input_shape(stage)))
    return weights


def _names(model: TrainedModel) -> tuple[tuple[str, ...], ...]:
    """The weights' ids: for each stage, one for each fold."""
    stages = ("",) if model.previous is None else ("first-", "second-")
    return tuple(
        tuple(f"{stage}fold-{fold}" for fold in one.folds) for stage, one in zip(stages, model.stages, strict=True)
    )


def _todo(model: TrainedModel, results: Path, open_labels: Sequence[str]) -> tuple[str, ...]:
    found = []
    if open_labels:
        found.append(f"Codes of {', '.join(open_labels)}: fill in category and type, or import again with --codes.")
    found.append("The words in CAPITALS in manifest.toml: use, training data, licence, manufacturer.")
    found.append("The input contract and the guards: body part, protocol, plausible volumes.")
    if len(model.inputs) > 1:
        found.append(f"What tells the series of the inputs apart ({', '.join(model.inputs)}): inputs.conditions.")
    if not model.axes_known:
        found.append(
            f'The axes of the training files: nnU-Net does not store them; "{model.file_axes}" was taken (--axes).'
        )
    if next(results.parent.rglob("postprocessing.pkl"), None) is not None:
        found.append("nnU-Net's postprocessing.pkl was not carried over; add largest_component where it removes parts.")
    return tuple(found)


def _comments(open_labels: Sequence[str]) -> dict[str, str]:
    comments = {
        "schema_version": "Everything in CAPITALS is to be replaced. `overread models check` explains what is wrong.",
        "input": "TO DO: which series it may run on: body part, protocol, contrast.",
        "inputs": "TO DO: what tells this series from the others; an attribute, and what it must match.",
        "guards.input": "TO DO: further guards, and guards.result with plausible volumes.",
        "preprocessing": "As nnU-Net prepares images; a change here gives other results than in training.",
    }
    if open_labels:
        comments["outputs.segments"] = (
            "TO DO: codes of " + ", ".join(open_labels) + ".\nPS3.16 CID 7150 (category) and 7151 (type)."
        )
    return comments


def _origin(model: TrainedModel) -> str:
    stages = " and then ".join(stage.configuration for stage in model.stages)
    return (
        f"Imported from {FRAMEWORK}: configuration {stages}, folds {', '.join(model.folds)}, trainer "
        f"{model.trainer}. One ONNX file for each fold; the mean of their logits counts."
    )
