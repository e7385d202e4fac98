"""MONAI's transforms as steps of a manifest. What is not here, or not in this form, is listed and refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

Arguments = Mapping[str, Any]
Steps = list[dict[str, Any]]


_LARGEST = "KeepLargestConnectedComponentd"
_CONNECTIVITY = {1: 6, 2: 18, 3: 26}


class NotMappedError(Exception):
    """A transform, or one of its arguments, that has no equal step."""


@dataclass(slots=True)
class Mapped:
    """The two chains, what has no equal, and what a person should know of the rest: one sentence each."""

    preprocessing: Steps = field(default_factory=list)
    postprocessing: Steps = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def map_transforms(
    pre: list[tuple[str, Arguments]], post: list[tuple[str, Arguments]], *, labels: Collection[int]
) -> Mapped:
    """Both chains of a bundle. ``labels`` are the channels of the output that are no background."""
    found = Mapped()
    for name, arguments in pre:
        try:
            found.preprocessing += _looked_up(_PRE, name)(arguments)
        except NotMappedError as error:
            found.missing.append(f"preprocessing: {name}: {error}")
    if not any(step["step"] == "reorient" for step in found.preprocessing):
        found.missing.append("preprocessing: without Orientationd the axes are those of the file, which differ")
    _map_post(post, found, labels)
    return found


def inferer_of(part: Any, *, net: Mapping[str, Any]) -> dict[str, Any]:
    """The inference mode. Raises NotMappedError."""
    if not isinstance(part, Mapping):
        raise NotMappedError("there is no inferer")
    name = str(part.get("_target_", "")).rpartition(".")[2]
    if name == "SimpleInferer":
        return {"mode": "volume", "net": dict(net)}
    if name != "SlidingWindowInferer":
        raise NotMappedError(f"{name} is not known")
    _only(part, padding_mode=("constant",), cval=(0, 0.0), process_fn=(None,))
    overlap = part.get("overlap", 0.25)
    roi = part["roi_size"]
    if not isinstance(overlap, float | int) or not isinstance(roi, list) or min(roi) < 1:
        raise NotMappedError("roi_size needs fixed numbers and overlap one number")
    return {
        "mode": "sliding_window",
        "window": [int(size) for size in roi],
        "overlap": float(overlap),
        "placement": "fixed_step",
        "weighting": str(part.get("mode", "constant")),
        "sigma": float(part.get("sigma_scale", 0.125)),
        "batch": int(part.get("sw_batch_size", 1)),
        "net": dict(net),
    }


def _map_post(post: list[tuple[str, Arguments]], found: Mapped, labels: Collection[int]) -> None:
    names = [name for name, _ in post]
    back = names.index("Invertd") if "Invertd" in names else len(names)
    labels_first = "AsDiscreted" in names[:back]
    for name, arguments in post:
        try:
            found.postprocessing += _post_step(name, arguments, labels_first=labels_first, labels=labels)
        except NotMappedError as error:
            found.missing.append(f"postprocessing: {name}: {error}")
    if labels_first:
        found.notes.append(
            "AsDiscreted before Invertd: labels are brought back by the nearest voxel. Where two are equally near, "
            "MONAI's choice follows its rounding and may differ; with AsDiscreted after Invertd there is no choice."
        )
    if _LARGEST in names[:back]:
        found.missing.append(f"postprocessing: {_LARGEST} must come after Invertd: here parts are those of the source")
    if "AsDiscreted" not in names:
        found.missing.append("postprocessing: no AsDiscreted says how scores become labels")


def _post_step(name: str, arguments: Arguments, *, labels_first: bool, labels: Collection[int]) -> Steps:
    """One transform. ``labels_first``: labels, not scores, are brought back to the source."""
    match name:
        case "Activationsd" if _first(arguments.get("softmax")):
            return [{"step": "softmax"}]
        case "Activationsd" if _first(arguments.get("sigmoid")):
            return [{"step": "sigmoid"}]
        case "AsDiscreted":
            return [{**_decision(arguments, labels), "interpolation": "nearest" if labels_first else "linear"}]
        case "Invertd":
            if bool(_first(arguments.get("nearest_interp", True))) is not labels_first:
                raise NotMappedError("nearest_interp must be true for labels and false for scores")
            return []
        case "KeepLargestConnectedComponentd":
            return _largest(arguments, labels)
        case "SaveImaged" | "EnsureTyped" | "ToTensord":
            return []
        case _:
            raise NotMappedError("there is no such step")


def _largest(arguments: Arguments, labels: Collection[int]) -> Steps:
    _only(arguments, independent=(None, True), num_components=(None, 1), connectivity=(None, *_CONNECTIVITY))
    applied = arguments.get("applied_labels")
    stated = labels if applied is None else [applied] if isinstance(applied, int) else applied
    if {*stated} != {*labels}:
        raise NotMappedError(f"applied_labels is {applied}, which are not all of {sorted(labels)}")
    return [{"step": "largest_component", "connectivity": _CONNECTIVITY[arguments.get("connectivity") or 3]}]


def _decision(arguments: Arguments, labels: Collection[int]) -> dict[str, Any]:
    _only(arguments, rounding=(None,))
    if _first(arguments.get("argmax")):
        return {"step": "argmax"}
    threshold = _first(arguments.get("threshold"))
    if threshold is None:
        raise NotMappedError("neither argmax nor threshold")
    if len(labels) > 1:
        raise NotMappedError("threshold with several labels: they may lie inside each other, segments cannot")
    # MONAI keeps what is equal to the threshold as well; a float32 score is never equal in practice.
    return {"step": "threshold", "value": float(threshold)}


def _nothing(arguments: Arguments) -> Steps:
    del arguments
    return []


def _orientation(arguments: Arguments) -> Steps:
    if not isinstance(arguments.get("axcodes"), str):
        raise NotMappedError("axcodes is needed")
    return [{"step": "reorient", "axes": arguments["axcodes"]}]


def _spacing(arguments: Arguments) -> Steps:
    _only(arguments, diagonal=(None, False), scale_extent=(None, False), min_pixdim=(None,), max_pixdim=(None,),
          ensure_same_shape=(None, True, False), align_corners=(None, False))  # fmt: skip
    if _first(arguments.get("padding_mode", "border")) != "border":
        raise NotMappedError("padding_mode must be border")
    mode = {"bilinear": "linear", "nearest": "nearest"}.get(str(_first(arguments.get("mode", "bilinear"))))
    spacing = arguments.get("pixdim")
    if mode is None or not isinstance(spacing, list) or len(spacing) != 3 or min(spacing) <= 0:
        raise NotMappedError("mode bilinear or nearest and three numbers for pixdim are needed")
    return [{
        "step": "resample_to_spacing", "spacing_mm": [float(one) for one in spacing], "interpolation": mode,
        "alignment": "first_and_last",
    }]  # fmt: skip


def _scale_range(arguments: Arguments) -> Steps:
    low, high = float(arguments["a_min"]), float(arguments["a_max"])
    to_low, to_high = arguments.get("b_min"), arguments.get("b_max")
    if high <= low or to_low is None or to_high is None:
        raise NotMappedError("a_min below a_max and both b_min and b_max are needed")
    if arguments.get("clip", False):
        return [{"step": "window", "centre": (low + high) / 2, "width": high - low, "low": float(to_low),
                 "high": float(to_high)}]  # fmt: skip
    scale = (float(to_high) - float(to_low)) / (high - low)
    return [{"step": "scale_shift", "scale": scale, "shift": float(to_low) - low * scale}]


def _scale(arguments: Arguments) -> Steps:
    _only(arguments, factor=(None,), channel_wise=(None, False))
    return [{"step": "scale_percentiles", "lower": 0.0, "upper": 100.0, "low": float(arguments.get("minv", 0.0)),
             "high": float(arguments.get("maxv", 1.0))}]  # fmt: skip


def _scale_percentiles(arguments: Arguments) -> Steps:
    _only(arguments, relative=(None, False))
    low, high = arguments.get("b_min"), arguments.get("b_max")
    if low is None or high is None:
        raise NotMappedError("both b_min and b_max are needed")
    return [{"step": "scale_percentiles", "lower": float(arguments["lower"]), "upper": float(arguments["upper"]),
             "low": float(low), "high": float(high), "clip": bool(arguments.get("clip", False))}]  # fmt: skip


def _normalise(arguments: Arguments) -> Steps:
    mean, deviation = arguments.get("subtrahend"), arguments.get("divisor")
    if mean is None and deviation is None:
        return [{"step": "z_score", **({"over": "nonzero_alone"} if arguments.get("nonzero") else {})}]
    _only(arguments, nonzero=(None, False))
    if isinstance(mean, float | int) and isinstance(deviation, float | int) and deviation:
        return [{"step": "scale_shift", "scale": 1 / deviation, "shift": -mean / deviation}]
    raise NotMappedError("both subtrahend and divisor are needed, one number each")


def _crop_foreground(arguments: Arguments) -> Steps:
    _only(arguments, select_fn=(None,), margin=(None, 0), k_divisible=(None, 1), channel_indices=(None,))
    return [{"step": "crop_to_foreground", "above": 0.0}]


def _resize(arguments: Arguments) -> Steps:
    _only(arguments, size_mode=(None, "all"), anti_aliasing=(None, False), align_corners=(None, False))
    mode = {"trilinear": "linear", "nearest-exact": "nearest"}.get(str(_first(arguments.get("mode", "area"))))
    size = arguments.get("spatial_size")
    if mode is None or not isinstance(size, list) or len(size) != 3:
        raise NotMappedError("mode trilinear or nearest-exact and three sizes are needed")
    return [{"step": "resample_to_shape", "shape": [int(one) for one in size], "interpolation": mode}]


def _divisible(arguments: Arguments) -> Steps:
    _only(arguments, mode=(None, "constant"), method=(None, "symmetric"))
    multiple = arguments["k"]
    listed = multiple if isinstance(multiple, list) else [multiple] * 3
    return [{"step": "pad_to_multiple", "multiple": [int(one) for one in listed], "outside": 0.0}]


_PRE: dict[str, Callable[[Arguments], Steps]] = {
    "LoadImaged": _nothing,
    "EnsureChannelFirstd": _nothing,
    "EnsureTyped": _nothing,
    "ToTensord": _nothing,
    "CastToTyped": _nothing,
    "Orientationd": _orientation,
    "Spacingd": _spacing,
    "ScaleIntensityRanged": _scale_range,
    "ScaleIntensityRangePercentilesd": _scale_percentiles,
    "ScaleIntensityd": _scale,
    "NormalizeIntensityd": _normalise,
    "CropForegroundd": _crop_foreground,
    "Resized": _resize,
    "DivisiblePadd": _divisible,
}


def _looked_up(table: Mapping[str, Callable[[Arguments], Steps]], name: str) -> Callable[[Arguments], Steps]:
    if name not in table:
        raise NotMappedError("there is no such step")
    return table[name]


def _only(arguments: Arguments, **allowed: tuple[object, ...]) -> None:
    for key, values in allowed.items():
        if key in arguments and _first(arguments[key]) not in values:
            raise NotMappedError(f"{key} is {arguments[key]}")


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value
