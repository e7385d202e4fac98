"""A trained nnU-Net as the keys of a manifest: the same chain, the same windows, the same way back."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.importing.nnunet.checks import ANISOTROPY_THRESHOLD, resampling
from worker.importing.nnunet.folder import TrainedModel
from worker.importing.onnx_export import INPUT, OUTPUT

_EPSILON = 1e-8
_SEPARATE = {None: "auto", True: "always", False: "never"}
_SEQUENCES = ("T1", "T2", "FLAIR", "DWI", "ADC", "PD")
_MODALITIES = {"CT": "CT", "MR": "MR", "MRI": "MR", "PET": "PT"}


def steps(model: TrainedModel) -> list[dict[str, Any]]:
    """Preprocessing: turn, crop to what is not 0, normalise, resample (``DefaultPreprocessor.run_case_npy``).

    Of a cascade only what both stages share: turning and cropping.
    """
    common: list[dict[str, Any]] = [{"step": "reorient", "axes": model.axes}, {"step": "crop_to_foreground"}]
    return common if model.previous is not None else [*common, *_own_steps(model)]


def inference(model: TrainedModel, weights: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Windows with even steps and Gaussian weights, mirrored as in training; folds by the mean of their logits.

    ``weights`` are those of each stage's folds.
    """
    if model.previous is None:
        return _windows(model, weights[0])
    how = resampling(model.settings.configuration, "seg")
    return {
        "mode": "nnunet_cascade",
        "first": {
            "preprocessing": _own_steps(model.previous),
            "inference": _windows(model.previous, weights[0]),
            "decision": decision(model.previous),
            "channels": list(model.shown),
        },
        "second": {
            "preprocessing": _own_steps(model),
            "inference": _windows(model, weights[1]),
            "labels": {
                "spacing_mm": _spacing_mm(model),
                "order": int(how["order"]),
                "separate": _SEPARATE[how["force_separate_z"]],
            },
        },
    }


def _own_steps(model: TrainedModel) -> list[dict[str, Any]]:
    return [*_normalisation(model), _resampling(model)]


def _windows(model: TrainedModel, weights: Sequence[str]) -> dict[str, Any]:
    flat = len(model.patch) == 2
    window = {
        "mode": "sliding_window",
        "window": list(model.patch),
        "overlap": 0.5,
        "placement": "even_step",
        "weighting": "gaussian_filter",
        "batch": 4 if flat else 1,
        "mirror": list(model.mirror),
        "net": {
            "weights": weights[0],
            "input": {"name": INPUT, "shape": input_shape(model)},
            "output": {"name": OUTPUT, "shape": [input_shape(model)[0], model.heads, *model.patch]},
        },
    }
    if len(weights) == 1:
        return window
    return {"mode": "ensemble", "weights": list(weights), "activation": "none", "of": window}


def input_shape(model: TrainedModel) -> list[int | str]:
    """Shape of the input that the net is exported with: (batch, channel, ...); slices may come in any number."""
    return ["N" if len(model.patch) == 2 else 1, model.planes, *model.patch]


def decision(model: TrainedModel) -> dict[str, Any]:
    """From logits to labels on the source (``convert_predicted_logits_to_segmentation_with_correct_shape``)."""
    how = resampling(model.settings.configuration, "probabilities")
    apart = how["force_separate_z"] is None and how["order_z"] == 0
    nearest = {"nearest_axis": _spacing_mm(model)} if apart else {}
    if model.has_regions:  # a probability of one half is a logit of 0
        return {"step": "last_above", "value": 0.0, "interpolation": "linear", **nearest}
    return {"step": "argmax", "interpolation": "linear", **nearest}


def modalities(model: TrainedModel, stated: str = "") -> tuple[str, ...]:
    """The modality of each input: as stated (one, or one for each with commas between), or by the channel's name.

    Raises ConfigurationError (``modality-unknown``) when neither says it.
    """
    parts = [one.strip() for one in stated.split(",")] if stated else [_modality(name) for name in model.inputs]
    found = tuple(parts * len(model.inputs) if len(parts) == 1 else parts)
    if len(found) != len(model.inputs) or not all(found):
        raise ConfigurationError(
            f'The modality of each channel ({", ".join(model.inputs)}) is not known: "{", ".join(found)}".',
            next_step="Say it with --modality: CT, MR, PT; of several channels one for each (PT,CT) or one for all.",
            code="modality-unknown",
        )
    return found


def _modality(channel: str) -> str:
    name = channel.upper()
    return _MODALITIES.get(name, "MR" if name.startswith(_SEQUENCES) else "")


def contract(model: TrainedModel, modality: Sequence[str], *, told_apart: bool = True) -> dict[str, Any]:
    """``input``, or ``inputs`` for several channels.

    Of several series of one modality nothing in nnU-Net's files says which is which: each gets a condition without an
    attribute, which ``models check`` refuses until a person has filled it in (left out where not ``told_apart``).
    """
    shared = {"slices": {"minimum": 8}, "slice_spacing_mm": {"maximum": largest_slice_spacing_mm(model)}}
    if len(modality) == 1:
        return {"input": {"modality": modality[0], **shared}}
    same = len(set(modality)) < len(modality) and told_apart
    entries = [
        {"name": name, "modality": one, **shared} for name, one in zip(input_names(model.inputs), modality, strict=True)
    ]
    if same:
        for entry, channel in zip(entries, model.inputs, strict=True):
            entry["conditions"] = [{"attribute": "", "matches": channel}]
    return {"inputs": entries}


def input_names(channels: Sequence[str]) -> list[str]:
    """Names of channels as the manifest writes names; by number where that would not be one, or twice the same."""
    found: list[str] = []
    for number, channel in enumerate(channels, start=1):
        name = "-".join(re.findall("[a-z0-9]+", channel.lower()))
        sound = name[:1].isalpha() and len(name) <= 64 and name not in found
        found.append(name if sound else f"channel-{number}")
    return found


def largest_slice_spacing_mm(model: TrainedModel) -> float:
    """Twice the median slice spacing of the training images, rounded up: a cautious limit for the input contract."""
    spacing = model.plans.plans.get("original_median_spacing_after_transp") or model.spacing_mm
    first = model.plans.transpose_backward[0]
    return float(math.ceil(2 * float(spacing[first])))


def memory_mb(model: TrainedModel) -> int:
    """A cautious estimate of what a run needs beside the image: weights twice, and the activations of one batch."""
    weights = 8 * sum(int(one.numel()) for stage in model.stages for one in stage.network.parameters())
    return 400 + (weights + max(_activations_bytes(stage) for stage in model.stages) >> 20)


def _activations_bytes(model: TrainedModel) -> int:
    features = model.settings.network_arch_init_kwargs.get("features_per_stage", [32])[0]
    batch = 4 if len(model.patch) == 2 else 1
    return math.prod(model.patch) * int(features) * 4 * batch * 8


def _normalisation(model: TrainedModel) -> list[dict[str, Any]]:
    """Each channel by its scheme. Those over what is not 0 come first: others make everything something else than 0."""
    count = len(model.inputs)
    masked = [channel for channel in range(count) if _over_foreground(model, channel)]
    if count > 1 and len(masked) == count:
        return [{"step": "z_score", "over": "foreground", "each_channel": True}]
    order = [*masked, *(channel for channel in range(count) if channel not in masked)]
    return [
        step if count == 1 else {**step, "channel": channel} for channel in order for step in _by_scheme(model, channel)
    ]


def _over_foreground(model: TrainedModel, channel: int) -> bool:
    scheme = model.settings.normalization_schemes[channel]
    return bool(scheme == "ZScoreNormalization" and model.settings.use_mask_for_norm[channel])


def _by_scheme(model: TrainedModel, channel: int) -> list[dict[str, Any]]:
    scheme = model.settings.normalization_schemes[channel]
    match scheme:
        case "CTNormalization":
            known: Mapping[str, float] = model.plans.foreground_intensity_properties_per_channel[str(channel)]
            deviation = max(float(known["std"]), _EPSILON)
            return [
                {"step": "clip", "lower": float(known["percentile_00_5"]), "upper": float(known["percentile_99_5"])},
                {"step": "scale_shift", "scale": 1.0 / deviation, "shift": -float(known["mean"]) / deviation},
            ]
        case "ZScoreNormalization":
            return [{"step": "z_score", "over": "foreground" if _over_foreground(model, channel) else "all"}]
        case "NoNormalization":
            return []
        case "RescaleTo01Normalization":
            return [{"step": "scale_percentiles", "lower": 0.0, "upper": 100.0}]
        case _:
            raise ConfigurationError(
                f"This model cannot be carried over exactly: normalization_schemes is {scheme}.",
                next_step="Supported are CTNormalization, ZScoreNormalization, RescaleTo01Normalization and none.",
                code="nnunet-unsupported",
            )


def _resampling(model: TrainedModel) -> dict[str, Any]:
    how = resampling(model.settings.configuration, "data")
    threshold = float(how["separate_z_anisotropy_threshold"])
    return {
        "step": "resample_nnunet",
        "spacing_mm": _spacing_mm(model),
        "order": int(how["order"]),
        "order_z": int(how["order_z"]),
        "separate": _SEPARATE[how["force_separate_z"]],
        **({} if threshold == ANISOTROPY_THRESHOLD else {"anisotropy_threshold": threshold}),
    }


def _spacing_mm(model: TrainedModel) -> list[float | str]:
    """Of the net's grid; the 2d configuration keeps the slices as they are."""
    return list(model.spacing_mm) if len(model.spacing_mm) == 3 else ["keep", *model.spacing_mm]
