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
from worker.importing.nnunet.checks import check_plans, unsupported
from worker.importing.nnunet.network import build_network

_READERS = {
    "SimpleITKIO": None, "NibabelIO": None, "SimpleITKIOWithReorient": "SAR", "NibabelIOWithReorient": "SAR",
}  # fmt: skip
"""Reader to the axes of its arrays; None: as the training files were stored, which nothing says."""


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
    def inner(self) -> dict[int, tuple[int, ...]]:
        """Of regions that hold others, which are segments of their own: channel to the channels of those.

        nnU-Net gives each region its label of ``regions_class_order``, and a later one overwrites.
        """
        if not self.has_regions:
            return {}
        order = [int(one) for one in self.dataset["regions_class_order"]]
        found = {}
        for channel, name in self.channels.items():
            held = self.dataset["labels"][name]
            parts = tuple(
                other for other, value in enumerate(order)
                if other > channel and value in (held if isinstance(held, list) else [held])
            )  # fmt: skip
            found.update({channel: parts} if parts else {})
        return found

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

    plans, settings, labels = _managers(folder, plans_json, dataset, configuration)
    check_plans(settings.configuration, dataset, readers=tuple(_READERS), cascade=bool(settings.previous_stage_name))
    reader = str(plans_json.get("image_reader_writer", "SimpleITKIO"))
    if reader not in _READERS:
        raise unsupported("image_reader_writer", reader, f"supported are {', '.join(_READERS)}")
    file_axes = _READERS[reader] or axes
    inputs = _inputs(dataset)
    channels = _channels(dataset, labels)
    before: TrainedModel | None = None
    shown: tuple[int, ...] = ()
    if settings.previous_stage_name is not None:
        place = previous or _beside(folder, configuration, settings.previous_stage_name)
        before = read_results(place, folds=folds, checkpoint=checkpoint, axes=axes, trust=trust)
        shown = _shown(before, settings, labels, channels)
    planes = len(inputs) + len(shown)
    network = build_network(plans, settings, trainer, inputs=planes, heads=labels.num_segmentation_heads, trust=trust)
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


def _managers(
    folder: Path, plans_json: dict[str, Any], dataset: dict[str, Any], configuration: str
) -> tuple[Any, Any, Any]:
    """nnU-Net's own readers of the plans, of a configuration, and of the labels."""
    (handler,) = need("nnunetv2.utilities.plans_handling.plans_handler")
    try:
        with quiet():
            plans = handler.PlansManager(plans_json)
            return plans, plans.get_configuration(configuration), plans.get_label_manager(dataset)
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as error:
        said = (str(error).splitlines() or [""])[0][:200]
        raise _incomplete(folder, f"nnU-Net does not take its plans.json or dataset.json: {said}") from error


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
        raise unsupported("regions_class_order", numbers, f"a cascade needs one of each of {labels.foreground_labels}")
    return tuple(int(value) if numbers is None else numbers.index(value) for value in labels.foreground_labels)


def _inputs(dataset: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the image's channels in the order of their numbers, which are those of the files (_0000, _0001).

    Older data sets call them ``modality``.
    """
    key = "channel_names" if "channel_names" in dataset else "modality"
    stated = dataset.get(key)
    numbered = stated if isinstance(stated, Mapping) else {}
    if sorted(numbered, key=str) != sorted(map(str, range(len(numbered)))) or not numbered:
        raise unsupported(key, stated, "each channel needs its number, from 0, and a name")
    other = dataset.get("modality")
    if isinstance(other, Mapping) and len(other) != len(numbered):  # nnU-Net counts these
        raise unsupported("modality", other, f"there are {len(numbered)} channel_names")
    return tuple(str(numbered[str(channel)]) for channel in range(len(numbered)))


def _channels(dataset: Mapping[str, Any], labels: Any) -> dict[int, str]:
    """Channel of the output to label. Of regions the heads stand in the order of the labels."""
    names = [
        (name, value) for name, value in dataset["labels"].items() if name != "ignore" and value not in (0, [0], (0,))
    ]
    if labels.has_regions:
        return {head: name for head, (name, _) in enumerate(names)}
    single = {int(value[0] if isinstance(value, list) else value): name for name, value in names}
    if sorted(single) != list(range(1, len(names) + 1)):  # the highest channel is the label, so none may be left out
        raise unsupported("labels", dataset["labels"], "each label needs its own number, from 1 without a gap")
    return single


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
