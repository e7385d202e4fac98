"""MONAI's transforms after the net as steps of a manifest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worker.importing.monai.arguments import Arguments, NotMappedError, declare, number, of_key, truth
from worker.importing.monai.pre_transforms import Steps, typed

KEY = "pred"
"""Under which MONAI's engines hand on what the net says."""
_CONNECTIVITY = {1: 6, 2: 18, 3: 26}


@dataclass(slots=True)
class Ending:
    """The steps after the net, and what decides what may come next.

    ``labels`` are the channels of ``heads`` that are no background; ``labels_first``: labels, not scores, are brought
    back to the source; ``nearest``: before the net, the nearest voxel is taken. ``one_hot``: what comes out has a
    channel for each of the net's, else the number of the channel.
    """

    key: str
    preprocessing: Any
    labels: Collection[int]
    heads: int
    labels_first: bool = False
    nearest: bool = False
    one_hot: bool = False
    steps: Steps = field(default_factory=list)
    _active: str = ""
    _decided: bool = False
    _back: bool = False
    _saved: bool = False

    @property
    def decided(self) -> bool:
        """Whether scores have become labels."""
        return self._decided

    def add(self, name: str, arguments: Arguments) -> None:
        """Append a transform. Raises NotMappedError for what is not understood, or not at this place."""
        own = of_key(arguments, KEY, present=(self.key, KEY))
        if own is None:
            return
        if name in ("EnsureTyped", "ToTensord"):
            typed(own)
        elif name == "SaveImaged":
            self._save(own)
        elif self._saved:
            raise NotMappedError("it comes after SaveImaged: what is saved is without it")
        else:
            self._change(name, own)

    def _change(self, name: str, arguments: Arguments) -> None:
        match name:
            case "Activationsd":
                self._activate(arguments)
            case "AsDiscreted":
                self._decide(arguments)
            case "Invertd":
                self._bring_back(arguments)
            case "KeepLargestConnectedComponentd":
                self._keep_largest(arguments)
            case _:
                raise NotMappedError("there is no such step")

    def _activate(self, arguments: Arguments) -> None:
        declare(arguments, used=("sigmoid", "softmax"), same={"other": (None,)})
        wanted = [name for name in ("softmax", "sigmoid") if truth(arguments, name)]
        if self._decided:
            raise NotMappedError("it comes after AsDiscreted: scores are needed")
        if len(wanted) > 1 or (wanted and self._active):
            raise NotMappedError("softmax and sigmoid one after the other")
        if not wanted:
            return
        self._active = wanted[0]
        if not self._back:  # else what is brought back are logits, of which argmax is the same
            self.steps.append({"step": wanted[0]})

    def _decide(self, arguments: Arguments) -> None:
        declare(arguments, used=("argmax", "threshold", "to_onehot"), same={"rounding": (None,)})
        if self._decided:
            raise NotMappedError("a second AsDiscreted")
        how = "nearest" if self.labels_first or self.nearest else "linear"
        threshold, one_hot = arguments.get("threshold"), arguments.get("to_onehot")
        if truth(arguments, "argmax"):
            if threshold is not None or one_hot not in (None, self.heads):
                raise NotMappedError(f"argmax together with threshold {threshold} and to_onehot {one_hot}")
            if self.heads == 1:
                raise NotMappedError("argmax of one channel, which is always 0")
            self.one_hot = one_hot is not None
            self.steps.append({"step": "argmax", "interpolation": how})
        else:
            self.one_hot = True
            self.steps.append({"step": "threshold", "value": self._threshold(arguments), "interpolation": how})
        self._decided = True

    def _threshold(self, arguments: Arguments) -> float:
        """MONAI keeps what is equal to the threshold as well, the worker what is above: one float32 less."""
        if arguments.get("threshold") is None:
            raise NotMappedError("neither argmax nor threshold")
        if arguments.get("to_onehot") is not None:
            raise NotMappedError(f"to_onehot is {arguments['to_onehot']} together with threshold")
        if len(self.labels) > 1:
            raise NotMappedError("threshold with several labels: they may lie inside each other, segments cannot")
        if self._active and {"step": self._active} not in self.steps:
            raise NotMappedError("threshold with Activationsd after Invertd: it must come before")
        return float(np.nextafter(np.float32(number(arguments, "threshold")), np.float32(-np.inf)))

    def _bring_back(self, arguments: Arguments) -> None:
        declare(
            arguments,
            used=("nearest_interp", "orig_keys", "transform"),
            same={"post_func": (None,)},
            free=("device", "meta_key_postfix", "meta_keys", "orig_meta_keys", "to_tensor"),
        )
        if self._back:
            raise NotMappedError("a second Invertd")
        if truth(arguments, "nearest_interp", default=True) is not self.labels_first:
            raise NotMappedError("nearest_interp must be true for labels and false for scores")
        if arguments.get("transform") != self.preprocessing:
            raise NotMappedError("transform is not the bundle's preprocessing")
        if arguments.get("orig_keys") not in (self.key, [self.key]):
            raise NotMappedError(f"orig_keys is {arguments.get('orig_keys')}; the image is {self.key}")
        self._back = True

    def _keep_largest(self, arguments: Arguments) -> None:
        declare(
            arguments,
            used=("applied_labels", "connectivity"),
            same={"independent": (True,), "is_onehot": (None,), "num_components": (1,)},
        )
        connectivity, applied = arguments.get("connectivity"), arguments.get("applied_labels")
        if connectivity not in (None, *_CONNECTIVITY):
            raise NotMappedError(f"connectivity is {connectivity}")
        # One channel that passed a threshold holds the number 1, whatever its place.
        every = {1} if self.one_hot and self.heads == 1 else {*self.labels}
        stated = every if applied is None else {applied} if isinstance(applied, int) else {*applied}
        if stated != every:
            raise NotMappedError(f"applied_labels is {applied}, which are not all of {sorted(every)}")
        if not (self._decided and self._back):
            raise NotMappedError("it must come after AsDiscreted, and must come after Invertd: parts are the source's")
        self.steps.append({"step": "largest_component", "connectivity": _CONNECTIVITY[connectivity or 3]})

    def _save(self, arguments: Arguments) -> None:
        declare(
            arguments,
            same={"scale": (None,)},
            free=("data_root_dir", "dtype", "folder_layout", "meta_key_postfix", "meta_keys", "mode", "output_dir",
                  "output_dtype", "output_ext", "output_format", "output_name_formatter", "output_postfix",
                  "padding_mode", "print_log", "resample", "savepath_in_metadict", "separate_folder",
                  "squeeze_end_dims", "writer"),
        )  # fmt: skip
        self._saved = True


def labels_before_invertd(post: list[tuple[str, Mapping[str, Any]]]) -> bool:
    """Whether labels, not scores, are brought back to the source; also where no Invertd says how."""
    names = [name for name, _ in post]
    return "AsDiscreted" in (names[: names.index("Invertd")] if "Invertd" in names else names)
