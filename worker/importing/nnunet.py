"""Import of a trained nnU-Net v2, and its comparison with nnU-Net's own predictor."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import ConfigurationError, NotApplicableError
from worker.domain.findings import Conclusion
from worker.domain.volume import Geometry, Volume
from worker.importing import nnunet_manifest, package_folder
from worker.importing.cost import measured
from worker.importing.frameworks import need, quiet
from worker.importing.images import axes_of, labels_back, oriented, to_itk, with_modality
from worker.importing.labels import read_codes, segments
from worker.importing.nnunet_folder import TrainedModel, read_results
from worker.importing.onnx_export import export
from worker.importing.package_folder import Imported, Naming
from worker.importing.parity import NetParity, Parity, compare_labels, compare_scores
from worker.importing.ports import Runtime, Said

FRAMEWORK = "nnU-Net v2"


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

    With ``case``, one volume for each input, both run on it, and the report holds Dice per class; without, only the
    nets are compared.

    Raises
    ------
    ConfigurationError
        What ``read_results``, ``export`` and ``read_codes`` raise; ``folder-exists``, ``case-inputs``.
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
    outputs = segments(model.channels, table)
    modality = nnunet_manifest.modalities(model, naming.modality)
    if case:
        _check_case(model, case)
    chain = nnunet_manifest.steps(model)
    folder = package_folder.new_folder(target, naming)
    names = _names(model)
    weights = {}
    for stage, members in zip(model.stages, names, strict=True):
        for name, parameters in zip(members, stage.parameters, strict=True):
            said(f"writing ONNX of {name}")
            stage.network.load_state_dict(parameters)
            file = f"{name}.onnx"
            digest = export(stage.network, folder / file, shape=nnunet_manifest.input_shape(stage))
            weights[name] = (file, digest)
    manifest = {
        **package_folder.frame(
            naming,
            framework=FRAMEWORK,
            weights=weights,
            memory_mb=nnunet_manifest.memory_mb(model),
            per_voxel=16 + 12 * model.heads,
        ),
        **nnunet_manifest.contract(model, modality),
        "guards": {"input": [{"guard": "not_constant"}]},
        "preprocessing": chain,
        "inference": nnunet_manifest.inference(model, names),
        "postprocessing": [nnunet_manifest.decision(model)],
    }
    todo = _todo(model, results, outputs.open_labels)
    package_folder.write_manifest(
        folder, package_folder.with_segments(manifest, outputs.entries), comments=_comments(outputs.open_labels)
    )
    with tempfile.TemporaryDirectory() as scratch:
        told = {**manifest, **nnunet_manifest.contract(model, modality, told_apart=False)}
        runnable = package_folder.provisional_copy(folder, Path(scratch) / naming.name, told, outputs.entries)
        nets = _compare_nets(model, names, runnable, runtime, said)
        parity = Parity(FRAMEWORK, _versions(), tuple(nets))
        if case:
            volumes = [with_modality(one, kind) for one, kind in zip(case, modality, strict=True)]
            parity = _compare_case(model, volumes, runnable, parity, runtime, said, Path(scratch))
    package_folder.write_card(folder, naming, origin=_origin(model), parity=parity, todo=todo)
    return Imported(folder, runtime.problem(folder), todo, parity)


def _names(model: TrainedModel) -> tuple[tuple[str, ...], ...]:
    """The weights' ids: for each stage, one for each fold."""
    stages = ("",) if model.previous is None else ("first-", "second-")
    return tuple(
        tuple(f"{stage}fold-{fold}" for fold in one.folds) for stage, one in zip(stages, model.stages, strict=True)
    )


def _compare_nets(
    model: TrainedModel, names: Sequence[Sequence[str]], folder: Path, runtime: Runtime, said: Said
) -> list[NetParity]:
    (torch,) = need("torch")
    found = []
    for stage, members in zip(model.stages, names, strict=True):
        batch = np.random.default_rng(0).normal(size=(1, stage.planes, *stage.patch)).astype(np.float32)
        for name, parameters in zip(members, stage.parameters, strict=True):
            said(f"comparing {name} with torch")
            stage.network.load_state_dict(parameters)
            with torch.no_grad():
                framework = stage.network(torch.from_numpy(batch)).numpy()
            found += compare_scores(framework, runtime.scores(folder, name, batch), weights=name)
    return found


def _compare_case(
    model: TrainedModel,
    case: Sequence[Volume],
    folder: Path,
    parity: Parity,
    runtime: Runtime,
    said: Said,
    scratch: Path,
) -> Parity:
    need("nnunetv2.inference.predict_from_raw_data")  # loaded before the clock runs
    said("running the package on the case")
    numbers = {number: label for number, (_, label) in enumerate(sorted(model.channels.items()), start=1)}
    conclusion, package_cost = measured(lambda: runtime.conclude(folder, *case))
    said("running nnU-Net on the case")
    found, framework_cost = measured(lambda: nnunet_labels(model, case, scratch))
    classes = compare_labels(_by_segment(model, found), labels_of(conclusion, numbers), labels=numbers)
    return Parity(
        parity.framework,
        parity.versions,
        parity.nets,
        case[0].geometry.shape,
        tuple(round(one, 4) for one in case[0].geometry.spacing_mm),
        tuple(classes),
        framework_cost,
        package_cost,
    )


def labels_of(conclusion: Conclusion, numbers: Mapping[int, str]) -> NDArray[np.integer[Any]]:
    """The label map of a conclusion with the manifest's numbers (a conclusion counts only what it found)."""
    by_title = {" ".join(label.replace("_", " ").split()).capitalize()[:60]: n for n, label in numbers.items()}
    labels: NDArray[np.integer[Any]] = np.zeros(conclusion.volume.geometry.shape, np.int32)
    for segmentation in conclusion.segmentations:
        for segment in segmentation.segments:
            tracked = segment.tracking_identifier.removeprefix("AI ")
            labels[segmentation.labels == segment.number] = by_title.get(segment.label) or by_title[tracked]
    return labels


def nnunet_labels(model: TrainedModel, case: Sequence[Volume], scratch: Path) -> NDArray[np.integer[Any]]:
    """What nnU-Net's own predictor says, reader and export included, on the grid of the case."""
    (sitk,) = need("SimpleITK")
    source = to_itk(case[0])
    turned = oriented(source, model.file_axes)
    paths = [str(scratch / f"case_{channel:04d}.nii.gz") for channel in range(len(case))]
    for one, path in zip(case, paths, strict=True):
        sitk.WriteImage(oriented(to_itk(one), model.file_axes), path)
    found: NDArray[np.integer[Any]] | None = None
    with quiet():
        for stage in model.stages:
            reader = stage.plans.image_reader_writer_class()
            values, properties = reader.read_images(paths)
            shown = None
            if found is not None:  # as a file, as nnU-Net hands it from stage to stage
                reader.write_seg(found, str(scratch / "previous.nii.gz"), properties)
                shown, _ = reader.read_seg(str(scratch / "previous.nii.gz"))
            found = np.asarray(_predictor(stage).predict_single_npy_array(values, properties, shown))
    return labels_back(np.asarray(found).astype(np.uint16), turned, axes_of(source))


def _check_case(model: TrainedModel, case: Sequence[Volume]) -> None:
    """Raise ConfigurationError (``case-inputs``) or NotApplicableError (``grids-differ``, ``sheared``)."""
    if len(case) != len(model.inputs):
        raise ConfigurationError(
            f"The model takes {len(model.inputs)} images ({', '.join(model.inputs)}), the case has {len(case)}.",
            next_step="Give --case once for each, in this order.",
            code="case-inputs",
        )
    if any(not _same_grid(one.geometry, case[0].geometry) for one in case[1:]):
        raise NotApplicableError(
            "The images of this case lie on different grids: nnU-Net cannot read them together.",
            next_step="Bring them onto one grid first, as for the training.",
            code="grids-differ",
        )
    to_itk(case[0])


def _same_grid(one: Geometry, other: Geometry) -> bool:
    return one.shape == other.shape and np.allclose(one.affine_lps, other.affine_lps, atol=1e-3)


def _predictor(model: TrainedModel) -> Any:
    torch, predict = need("torch", "nnunetv2.inference.predict_from_raw_data")
    predictor = predict.nnUNetPredictor(
        tile_step_size=0.5, use_gaussian=True, use_mirroring=bool(model.mirror), device=torch.device("cpu"),
        perform_everything_on_device=False, allow_tqdm=False,
    )  # fmt: skip
    predictor.manual_initialization(
        model.network, model.plans, model.settings, list(model.parameters), dict(model.dataset), model.trainer,
        model.mirror or None,
    )  # fmt: skip
    return predictor


def _by_segment(model: TrainedModel, found: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """nnU-Net's numbers as those of the segments: of regions the order in which they are written."""
    channels = sorted(model.channels)
    values = list(model.dataset["regions_class_order"]) if model.has_regions else channels
    numbers: NDArray[np.integer[Any]] = np.zeros_like(found)
    for number, value in enumerate(values, start=1):
        numbers[found == value] = number
    return numbers


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
    if model.has_regions:
        found.append("Regions lie inside each other: each segment is a region without those that are written after it.")
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


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("nnunetv2", "torch", "onnxruntime")}
