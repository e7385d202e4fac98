"""A trained results folder of nnU-Net v2: what ``plans.json``, ``dataset.json`` and the checkpoints say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.importing.checkpoints import load_checkpoint
from worker.importing.frameworks import need, quiet

_READERS = {
    "SimpleITKIO": None, "NibabelIO": None, "SimpleITKIOWithReorient": "SAR", "NibabelIOWithReorient": "SAR",
}  # fmt: skip
"""Reader to the axes of its arrays; None: as the training files were stored, which nothing says."""
_RESAMPLING = ("resample_data_or_seg_to_shape",)
_OURS = ("dynamic_network_architectures.", "torch.nn.")


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What was trained: the framework's own objects, and what they say in plain values.

    ``axes`` are towards what the axes of the net's image run (slice, row, column for "SPL"), after nnU-Net's
    transposition. ``spacing_mm`` has three numbers, or two for 2d. ``channels`` maps the channels of the output to
    labels. ``parameters`` are the weights of each fold. ``inputs`` are the names of the image's channels. Of a cascade,
    ``previous`` is the stage whose labels the net is shown: one more input for each of ``shown``, which are channels of
    the previous stage's output.
    """

    configuration: str
    folds: tuple[str, ...]
    parameters: tuple[Any, ...]
    network: Any
    plans: Any
    settings: Any
    dataset: Mapping[str, Any]
    trainer: str
    mirror: tuple[int, ...]
    file_axes: str
    axes: str
    axes_known: bool
    spacing_mm: tuple[float, ...]
    patch: tuple[int, ...]
    channels: Mapping[int, str]
    has_regions: bool
    heads: int
    inputs: tuple[str, ...]
    shown: tuple[int, ...] = ()
    previous: TrainedModel | None = None

    @property
    def planes(self) -> int:
        """Number of input channels of the net."""
        return len(self.inputs) + len(self.shown)

    @property
    def stages(self) -> tuple[TrainedModel, ...]:
        """What is run one after another."""
        return (self,) if self.previous is None else (self.previous, self)


def read_results(
    folder: Path,
    *,
    folds: Sequence[str] = (),
    checkpoint: str = "checkpoint_final.pth",
    axes: str,
    trust: bool,
    previous: Path | None = None,
) -> TrainedModel:
    """Read and check a results folder (``nnUNetTrainer__nnUNetPlans__3d_fullres``).

    ``previous`` is the folder of a cascade's previous stage; without it, the one beside ``folder`` whose name differs
    in the configuration only.

    Raises
    ------
    ConfigurationError
        ``results-incomplete``; ``nnunet-unsupported`` for what this importer cannot carry over, with the key that says
        so; ``previous-stage-missing``; ``checkpoint-needs-trust``, ``architecture-needs-trust``,
        ``checkpoint-unreadable``, ``checkpoint-does-not-fit``; ``export-extra-missing``.
    """
    dataset, plans_json = _json(folder / "dataset.json"), _json(folder / "plans.json")
    chosen = tuple(folds) or tuple(sorted(path.parent.name[5:] for path in folder.glob(f"fold_*/{checkpoint}")))
    if not chosen:
        raise _incomplete(folder, f"no fold_*/{checkpoint}")
    if not folds and len(chosen) > 1 and "all" in chosen:
        chosen = tuple(fold for fold in chosen if fold != "all")  # as nnU-Net does
    contents = [load_checkpoint(folder / f"fold_{fold}" / checkpoint, trust=trust) for fold in chosen]
    try:
        configuration = str(contents[0]["init_args"]["configuration"])
        trainer = str(contents[0]["trainer_name"])
        parameters = tuple(one["network_weights"] for one in contents)
    except (KeyError, TypeError) as error:
        raise _incomplete(folder, f"a checkpoint without {error}") from error
    mirror = contents[0].get("inference_allowed_mirroring_axes") or ()

    (handler,) = need("nnunetv2.utilities.plans_handling.plans_handler")
    with quiet():
        plans = handler.PlansManager(plans_json)
        settings = plans.get_configuration(configuration)
        labels = plans.get_label_manager(dataset)
    _check(plans, settings, dataset)
    reader = str(plans_json.get("image_reader_writer", "SimpleITKIO"))
    if reader not in _READERS:
        raise _unsupported("image_reader_writer", reader, f"supported are {', '.join(_READERS)}")
    file_axes = _READERS[reader] or axes
    inputs = tuple(str(name) for name in dataset["channel_names"].values())
    channels = _channels(dataset, labels)
    before: TrainedModel | None = None
    shown: tuple[int, ...] = ()
    if settings.previous_stage_name is not None:
        place = previous or _beside(folder, configuration, settings.previous_stage_name)
        before = read_results(place, folds=folds, checkpoint=checkpoint, axes=axes, trust=trust)
        shown = _shown(before, settings, labels, channels)
    planes = len(inputs) + len(shown)
    network = _network(settings, trainer, inputs=planes, heads=labels.num_segmentation_heads, trust=trust)
    try:
        for one in parameters:
            network.load_state_dict(one)
    except RuntimeError as error:
        raise ConfigurationError(
            f"The weights of {folder.name} do not fit the network of its plans.json.",
            next_step="Copy plans.json and checkpoint from the same training.",
            code="checkpoint-does-not-fit",
        ) from error
    return TrainedModel(
        configuration=configuration,
        folds=chosen,
        parameters=parameters,
        network=network,
        plans=plans,
        settings=settings,
        dataset=dataset,
        trainer=trainer,
        mirror=tuple(int(axis) for axis in mirror),
        file_axes=file_axes,
        axes="".join(file_axes[axis] for axis in plans.transpose_forward),
        axes_known=_READERS[reader] is not None,
        spacing_mm=tuple(float(one) for one in settings.spacing),
        patch=tuple(int(one) for one in settings.patch_size),
        channels=channels,
        has_regions=bool(labels.has_regions),
        heads=int(labels.num_segmentation_heads),
        inputs=inputs,
        shown=shown,
        previous=before,
    )


def _beside(folder: Path, configuration: str, previous: str) -> Path:
    """The results folder of another configuration of the same training."""
    here = folder.resolve()
    place = here.with_name(f"{here.name.removesuffix(configuration)}{previous}")
    if not here.name.endswith(f"__{configuration}") or not place.is_dir():
        raise ConfigurationError(
            f"This is the second stage of a cascade; its first, {previous}, is not beside it.",
            next_step=f"Name its results folder (Trainer__Plans__{previous}) with --previous.",
            code="previous-stage-missing",
        )
    return place


def _shown(before: TrainedModel, settings: Any, labels: Any, channels: Mapping[int, str]) -> tuple[int, ...]:
    """The channel of the previous stage's output that each further input of a cascade comes from."""
    if before.configuration != settings.previous_stage_name or dict(before.channels) != dict(channels):
        raise ConfigurationError(
            f"The previous stage ({before.configuration}) is not that of these plans ({settings.previous_stage_name}, "
            "with the same labels).",
            next_step="Name the folder of the first stage of the same training with --previous.",
            code="previous-stage-missing",
        )
    numbers = list(before.dataset["regions_class_order"]) if before.has_regions else None
    if numbers is not None and sorted(numbers) != sorted(labels.foreground_labels):
        raise _unsupported("regions_class_order", numbers, f"a cascade needs one of each of {labels.foreground_labels}")
    return tuple(int(value) if numbers is None else numbers.index(value) for value in labels.foreground_labels)


def _check(plans: Any, settings: Any, dataset: Mapping[str, Any]) -> None:
    """Refuse what would have to be left out."""
    segmentation = settings.configuration["resampling_fn_seg_kwargs"]
    if settings.previous_stage_name is not None and (
        settings.configuration["resampling_fn_seg"] not in _RESAMPLING
        or segmentation.get("order", 3) not in (0, 1)
        or segmentation.get("order_z", 0) != 0
    ):
        raise _unsupported("resampling_fn_seg_kwargs", segmentation, "supported are orders 0 and 1, with order_z 0")
    stated = settings.configuration
    for key in ("resampling_fn_data", "resampling_fn_probabilities"):
        if stated[key] not in _RESAMPLING:
            raise _unsupported(key, stated[key], f"supported is {_RESAMPLING[0]}")
    if settings.preprocessor_name != "DefaultPreprocessor":
        raise _unsupported("preprocessor_name", settings.preprocessor_name, "supported is DefaultPreprocessor")
    back = stated["resampling_fn_probabilities_kwargs"]
    if back.get("order", 3) != 1 or back.get("order_z", 0) not in (0, 1) or back.get("force_separate_z") is True:
        raise _unsupported("resampling_fn_probabilities_kwargs", back, "supported is order 1 with order_z 0 or 1")
    if dataset.get("overwrite_image_reader_writer", "") not in ("", None, *_READERS):
        raise _unsupported("overwrite_image_reader_writer", dataset["overwrite_image_reader_writer"], "a volume reader")
    del plans


def _channels(dataset: Mapping[str, Any], labels: Any) -> dict[int, str]:
    """Channel of the output to label. Of regions the heads stand in the order of the labels."""
    names = [
        (name, value) for name, value in dataset["labels"].items() if name != "ignore" and value not in (0, [0], (0,))
    ]
    if labels.has_regions:
        return {head: name for head, (name, _) in enumerate(names)}
    single = [(name, value[0] if isinstance(value, list) else value) for name, value in names]
    return {int(value): name for name, value in single}


def _network(settings: Any, trainer: str, *, inputs: int, heads: int, trust: bool) -> Any:
    """The network in eval mode, by nnU-Net's own builder; plans may name classes of torch and of nnU-Net only."""
    kwargs = settings.network_arch_init_kwargs
    named = [settings.network_arch_class_name]
    named += [kwargs[key] for key in settings.network_arch_init_kwargs_req_import if kwargs.get(key) is not None]
    foreign = [name for name in named if not str(name).startswith(_OURS)]
    if foreign and not trust:
        raise ConfigurationError(
            f"plans.json names classes that are neither torch's nor nnU-Net's: {', '.join(map(str, foreign))}.",
            next_step="Building them runs their code. If you trust who made it, say so with --trust.",
            code="architecture-needs-trust",
        )
    builder, find = need("nnunetv2.utilities.get_network_from_plans", "nnunetv2.utilities.find_objects")
    with quiet():
        own = trainer != "nnUNetTrainer"
        found = find.recursive_find_trainer_class_by_name(trainer) if own and trust else None
        if own and found is None and not trust and not trainer.startswith("nnUNetTrainer_"):
            raise ConfigurationError(
                f"The model was trained by {trainer}, which may have built another network than its plans say.",
                next_step="If plans.json describes the network, say --trust.",
                code="architecture-needs-trust",
            )
        network = builder.get_network_from_plans(
            settings.network_arch_class_name,
            kwargs,
            settings.network_arch_init_kwargs_req_import,
            inputs,
            heads,
            allow_init=False,
            deep_supervision=False,
        )
    return network.eval()


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _incomplete(path.parent, f"no readable {path.name}") from error
    if not isinstance(found, dict):
        raise _incomplete(path.parent, f"{path.name} is no object")
    return found


def _incomplete(folder: Path, detail: str) -> ConfigurationError:
    return ConfigurationError(
        f"{folder.name} is no trained results folder of nnU-Net v2: {detail}.",
        next_step="Name the folder that holds plans.json, dataset.json and fold_0 (Trainer__Plans__Configuration).",
        code="results-incomplete",
    )


def _unsupported(key: str, found: object, wanted: str) -> ConfigurationError:
    return ConfigurationError(
        f"This model cannot be carried over exactly: {key} is {found}; {wanted}.",
        next_step="Nothing was written: a package that leaves a step out would give other results.",
        code="nnunet-unsupported",
    )
