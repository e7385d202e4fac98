"""MONAI's transforms as steps of a manifest. What is not here, or not in this form or order, is listed and refused."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.importing.monai.arguments import (
    Arguments,
    NotMappedError,
    declare,
    number,
    numbers,
    of_key,
    short_name,
)
from worker.importing.monai.post_transforms import Ending, labels_before_invertd
from worker.importing.monai.pre_transforms import Chain, Steps

_LOAD = "LoadImaged"


@dataclass(slots=True)
class Mapped:
    """The two chains, what has no equal, and what a person should know of the rest: one sentence each.

    ``key`` is that of the image in the bundle's data; ``one_hot``: what the bundle answers has one channel for each of
    the net's, else one with the channel's number.
    """

    key: str
    preprocessing: Steps = field(default_factory=list)
    postprocessing: Steps = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    one_hot: bool = False

    @property
    def exclusive(self) -> bool:
        """Whether the highest channel wins, and not each that is above a threshold."""
        return any(step["step"] == "argmax" for step in self.postprocessing)

    @property
    def multiple(self) -> int:
        """What the sizes of the image are multiples of."""
        return math.lcm(*(one for step in self.preprocessing for one in step.get("multiple", ())))


def map_transforms(
    pre: list[tuple[str, Arguments]],
    post: list[tuple[str, Arguments]],
    *,
    labels: Collection[int],
    heads: int | None = None,
    key: str = "image",
    preprocessing: Any = None,
) -> Mapped:
    """Both chains of a bundle.

    Parameters
    ----------
    pre, post:
        What ``transforms_of`` returns of both.
    labels:
        The channels of the output that are no background.
    heads:
        Number of channels of the output; else as many as ``labels`` need.
    key:
        Of the image, where no LoadImaged names another.
    preprocessing:
        The bundle's, which Invertd must name.
    """
    found = Mapped(_key(pre, key))
    chain = Chain(found.key)
    for name, arguments in pre:
        try:
            own = of_key(arguments, found.key, present=(found.key,))
            if own is not None:
                chain.add(name, own)
        except NotMappedError as error:
            found.missing.append(f"preprocessing: {name}: {error}")
    found.preprocessing = chain.steps
    if not chain.turned:
        found.missing.append("preprocessing: without Orientationd the axes are those of the file, which differ")
    ending = Ending(
        found.key, preprocessing, labels, heads or max(labels) + 1, labels_before_invertd(post), chain.nearest
    )
    if ending.labels_first and chain.resampled == "Resized":
        found.missing.append(
            "postprocessing: labels go back through Resized, whose nearest voxel is another than the worker's: "
            "AsDiscreted must come after Invertd with nearest_interp false"
        )
    _map_post(post, found, ending)
    return found


def inferer_of(part: Any, *, net: Mapping[str, Any]) -> dict[str, Any]:
    """The inference mode. Raises NotMappedError."""
    if not isinstance(part, Mapping):
        raise NotMappedError("there is no inferer")
    name = short_name(part, room="monai.inferers")
    stated = {key: value for key, value in part.items() if key not in ("_target_", "_desc_")}
    if name == "SimpleInferer":
        declare(stated)
        return {"mode": "volume", "net": dict(net)}
    if name != "SlidingWindowInferer":
        raise NotMappedError(f"{name} is not known")
    declare(
        stated,
        used=("mode", "overlap", "roi_size", "sigma_scale", "sw_batch_size"),
        same={"cval": (0,), "padding_mode": ("constant",), "process_fn": (None,), "with_coord": (False,)},
        free=("buffer_dim", "buffer_steps", "cache_roi_weight_map", "cpu_thresh", "device", "progress", "sw_device"),
    )
    mode, overlap = stated.get("mode", "constant"), number(stated, "overlap", 0.25)
    if mode not in ("constant", "gaussian") or not 0 <= overlap < 1:
        raise NotMappedError(f"mode is {mode}, overlap is {overlap}; constant or gaussian, and 0 to 1, are supported")
    return {
        "mode": "sliding_window",
        "window": window_of(part),
        "overlap": overlap,
        "placement": "fixed_step",
        "weighting": mode,
        "sigma": number(stated, "sigma_scale", 0.125),
        "batch": int(number(stated, "sw_batch_size", 1)),
        "net": dict(net),
    }


def window_of(part: Mapping[str, Any]) -> list[int]:
    """``roi_size`` as three numbers. Raises NotMappedError."""
    roi = numbers(part.get("roi_size"), "roi_size")
    if min(roi) < 1:
        raise NotMappedError(f"roi_size is {part['roi_size']}, and numbers above 0 are needed")
    return [int(size) for size in roi]


def _key(pre: list[tuple[str, Arguments]], stated: str) -> str:
    """Of the image: as the one that is loaded is called."""
    for name, arguments in pre:
        keys = arguments.get("keys")
        listed = [keys] if isinstance(keys, str) else keys
        if name == _LOAD and isinstance(listed, list) and len(listed) == 1 and isinstance(listed[0], str):
            return listed[0]
    return stated


def _map_post(post: list[tuple[str, Arguments]], found: Mapped, ending: Ending) -> None:
    for name, arguments in post:
        try:
            ending.add(name, arguments)
        except NotMappedError as error:
            found.missing.append(f"postprocessing: {name}: {error}")
    if ending.labels_first:
        found.notes.append(
            "AsDiscreted before Invertd: labels are brought back by the nearest voxel. Where two are equally near, "
            "MONAI's choice follows its rounding and may differ; with AsDiscreted after Invertd there is no choice."
        )
    if not ending.decided:
        found.missing.append("postprocessing: no AsDiscreted says how scores become labels")
    found.postprocessing, found.one_hot = ending.steps, ending.one_hot
