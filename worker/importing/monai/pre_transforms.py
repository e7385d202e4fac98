"""MONAI's transforms before the net as steps of a manifest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worker.importing.monai.arguments import (
    FLOAT32,
    Arguments,
    NotMappedError,
    declare,
    number,
    numbers,
    truth,
)

Steps = list[dict[str, Any]]

_READERS = ("ITKReader", "NibabelReader", "PydicomReader", "itkreader", "nibabelreader", "pydicomreader")
_RAS = [["L", "R"], ["P", "A"], ["I", "S"]]
_LAZY: dict[str, tuple[object, ...]] = {"lazy": (False, None)}
_RESAMPLING = ("resample_to_spacing", "resample_to_shape")
_EXTENT = ("crop_to_foreground", "pad_to_multiple")
_BY_AXIS = ("multiple", "shape", "spacing_mm")


class Chain:
    """The steps so far for the image of a key. What they have made of its axes says what may come next.

    ``turned``: the axes are those of an Orientationd. ``resampled`` names the transform that interpolates, and
    ``nearest`` says that it takes the nearest voxel.
    """

    def __init__(self, key: str) -> None:
        self.steps: Steps = []
        self.turned = False
        self.resampled = ""
        self.nearest = False
        self._mappers = {**_MAPPERS, "CropForegroundd": _crop_foreground(key)}

    def add(self, name: str, arguments: Arguments) -> None:
        """Append a transform of the image. Raises NotMappedError for what is not understood, or not at this place."""
        if name not in self._mappers:
            raise NotMappedError("there is no such step")
        for step in self._mappers[name](arguments):
            kind = step["step"]
            if self.resampled and kind in _RESAMPLING:
                raise NotMappedError(
                    f"it comes after {self.resampled}: MONAI interpolates twice on the way back, the worker once"
                )
            if self.resampled and kind in _EXTENT:
                raise NotMappedError(
                    f"it comes after {self.resampled}: on the way back MONAI's answer at the border is another; "
                    "before it both are the same"
                )
            if kind in _RESAMPLING:
                self.resampled, self.nearest = name, step["interpolation"] == "nearest"
            self.turned = self.turned or kind == "reorient"
            # As it is read, MONAI's array is (column, row, slice): the reverse of the worker's.
            back = {} if self.turned else {name: step[name][::-1] for name in _BY_AXIS if name in step}
            self.steps.append({**step, **back})


def _load(arguments: Arguments) -> Steps:
    declare(
        arguments,
        same={"dtype": FLOAT32, "reader": (None, *_READERS)},
        free=("ensure_channel_first", "expanduser", "image_only", "meta_key_postfix", "meta_keys", "overwriting",
              "prune_meta_pattern", "prune_meta_sep", "simple_keys"),
    )  # fmt: skip
    return []


def _channel_first(arguments: Arguments) -> Steps:
    declare(arguments, same={"channel_dim": (None, "no_channel")}, free=("strict_check",))
    return []


def typed(arguments: Arguments) -> Steps:
    """EnsureTyped and its like: nothing, as long as it stays a float32 tensor that knows where it lies."""
    declare(
        arguments,
        same={"data_type": ("tensor",), "dtype": FLOAT32, "track_meta": (None, True)},
        free=("device", "wrap_sequence"),
    )
    return []


def _orientation(arguments: Arguments) -> Steps:
    declare(
        arguments, used=("axcodes",), same={"as_closest_canonical": (False,), "labels": (None, _RAS), **_LAZY}
    )  # fmt: skip
    axes = arguments.get("axcodes")
    if not isinstance(axes, str) or sorted(_PAIRS.get(letter, "?") for letter in axes) != ["A", "R", "S"]:
        raise NotMappedError(f"axcodes is {axes}, and three letters such as RAS are needed")
    return [{"step": "reorient", "axes": axes}]


_PAIRS = {"R": "R", "L": "R", "A": "A", "P": "A", "S": "S", "I": "S"}


def _spacing(arguments: Arguments) -> Steps:
    declare(
        arguments,
        used=("mode", "pixdim"),
        same={
            "align_corners": (False, None), "diagonal": (False,), "dtype": ("float64",), "max_pixdim": (None,),
            "min_pixdim": (None,), "padding_mode": ("border",), "recompute_affine": (False,),
            "scale_extent": (False,), **_LAZY,
        },
        free=("ensure_same_shape",),
    )  # fmt: skip
    mode = {"bilinear": "linear", "nearest": "nearest"}.get(str(arguments.get("mode", "bilinear")))
    if mode is None:
        raise NotMappedError(f"mode is {arguments['mode']}; bilinear and nearest are supported")
    wished = [one if one > 0 else "keep" for one in numbers(arguments.get("pixdim"), "pixdim")]
    return [{
        "step": "resample_to_spacing", "spacing_mm": wished, "interpolation": mode,
        "alignment": "first_and_last",
    }]  # fmt: skip


def _scale_range(arguments: Arguments) -> Steps:
    declare(arguments, used=("a_max", "a_min", "b_max", "b_min", "clip"), same={"dtype": FLOAT32})
    low, high = number(arguments, "a_min"), number(arguments, "a_max")
    to_low, to_high = number(arguments, "b_min"), number(arguments, "b_max")
    clipped = truth(arguments, "clip")
    if high <= low or (clipped and to_high <= to_low):
        raise NotMappedError("a_min below a_max, and with clip b_min below b_max, are needed")
    if clipped:
        return [{"step": "window", "centre": (low + high) / 2, "width": high - low, "low": to_low, "high": to_high}]
    scale = (to_high - to_low) / (high - low)
    return [{"step": "scale_shift", "scale": scale, "shift": to_low - low * scale}]


def _scale(arguments: Arguments) -> Steps:
    declare(
        arguments, used=("maxv", "minv"), same={"dtype": FLOAT32, "factor": (None,)}, free=("channel_wise",)
    )  # fmt: skip
    return [{
        "step": "scale_percentiles", "lower": 0.0, "upper": 100.0, "low": number(arguments, "minv", 0.0),
        "high": number(arguments, "maxv", 1.0),
    }]  # fmt: skip


def _scale_percentiles(arguments: Arguments) -> Steps:
    declare(
        arguments, used=("b_max", "b_min", "clip", "lower", "relative", "upper"), same={"dtype": FLOAT32},
        free=("channel_wise",),
    )  # fmt: skip
    lower, upper = number(arguments, "lower"), number(arguments, "upper")
    low, high = number(arguments, "b_min"), number(arguments, "b_max")
    if not 0 <= lower < upper <= 100 or high <= low:
        raise NotMappedError("lower below upper, and b_min below b_max, are needed")
    if truth(arguments, "relative"):
        low, high = (low + (high - low) * percent / 100 for percent in (lower, upper))
    return [{
        "step": "scale_percentiles", "lower": lower, "upper": upper, "low": low, "high": high,
        "clip": truth(arguments, "clip"),
    }]  # fmt: skip


def _normalise(arguments: Arguments) -> Steps:
    declare(arguments, used=("channel_wise", "divisor", "nonzero", "subtrahend"), same={"dtype": FLOAT32})
    each, alone = truth(arguments, "channel_wise"), truth(arguments, "nonzero")
    mean, deviation = arguments.get("subtrahend"), arguments.get("divisor")
    if mean is None and deviation is None:
        return [{"step": "z_score", **({"over": "nonzero_alone"} if alone else {})}]
    if mean is None or deviation is None:
        raise NotMappedError("both subtrahend and divisor are needed, or neither")
    if alone:
        raise NotMappedError("nonzero is True together with subtrahend and divisor")
    # Of one channel: a list of one number with channel_wise, a number without.
    if each is not isinstance(mean, list) or each is not isinstance(deviation, list):
        raise NotMappedError("subtrahend and divisor must be lists with channel_wise, and numbers without")
    (shift,), (scale,) = numbers(mean, "subtrahend", 1), numbers(deviation, "divisor", 1)
    if scale == 0:
        raise NotMappedError("divisor is 0")
    return [{"step": "scale_shift", "scale": 1 / scale, "shift": -shift / scale}]


def _crop_foreground(key: str) -> Callable[[Arguments], Steps]:
    """The mapper of CropForegroundd for an image of this key: another's foreground is none of ours."""

    def crop(arguments: Arguments) -> Steps:
        declare(
            arguments,
            same={
                "channel_indices": (None, 0), "k_divisible": (1,), "margin": (0,), "mode": ("constant",),
                "select_fn": (None,), "source_key": (key,), **_LAZY,
            },
            free=("allow_smaller", "end_coord_key", "start_coord_key"),
        )  # fmt: skip
        if "source_key" not in arguments:
            raise NotMappedError("source_key is needed")
        return [{"step": "crop_to_foreground", "above": 0.0}]

    return crop


def _resize(arguments: Arguments) -> Steps:
    declare(
        arguments,
        used=("mode", "spatial_size"),
        same={
            "align_corners": (False, None), "anti_aliasing": (False,), "anti_aliasing_sigma": (None,),
            "dtype": FLOAT32, "size_mode": ("all",), **_LAZY,
        },
    )  # fmt: skip
    stated = str(arguments.get("mode", "area"))
    mode = {"trilinear": "linear", "nearest-exact": "nearest"}.get(stated)
    if mode is None:
        raise NotMappedError(f"mode is {stated}; trilinear and nearest-exact are supported")
    size = arguments.get("spatial_size")
    if not isinstance(size, list):
        raise NotMappedError(f"spatial_size is {size}, and three numbers are needed")
    wished = [int(one) if one > 0 else "keep" for one in numbers(size, "spatial_size")]
    return [{
        "step": "resample_to_shape", "shape": wished, "interpolation": mode
    }]  # fmt: skip


def _divisible(arguments: Arguments) -> Steps:
    declare(
        arguments,
        used=("k", "method"),
        same={"constant_values": (0,), "mode": ("constant",), "value": (0,), **_LAZY},
    )
    method = arguments.get("method", "symmetric")
    if method not in ("symmetric", "end"):
        raise NotMappedError(f"method is {method}; symmetric and end are supported")
    multiple = [int(one) for one in numbers(arguments.get("k"), "k")]
    if min(multiple) < 1:
        raise NotMappedError(f"k is {arguments['k']}")
    side = {"side": "end"} if method == "end" else {}
    return [{
        "step": "pad_to_multiple", "multiple": multiple, "outside": 0.0, **side
    }]  # fmt: skip


_MAPPERS: dict[str, Callable[[Arguments], Steps]] = {
    "LoadImaged": _load,
    "EnsureChannelFirstd": _channel_first,
    "EnsureTyped": typed,
    "ToTensord": typed,
    "CastToTyped": typed,
    "Orientationd": _orientation,
    "Spacingd": _spacing,
    "ScaleIntensityRanged": _scale_range,
    "ScaleIntensityRangePercentilesd": _scale_percentiles,
    "ScaleIntensityd": _scale,
    "NormalizeIntensityd": _normalise,
    "Resized": _resize,
    "DivisiblePadd": _divisible,
}
