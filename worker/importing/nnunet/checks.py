"""What of nnU-Net's plans has an equal here: everything else is refused with its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worker.domain.errors import ConfigurationError

ANISOTROPY_THRESHOLD = 3.0
"""Of nnU-Net, and of the worker's step: slices are far apart at more than three times the smallest spacing."""
_FUNCTION = "resample_data_or_seg_to_shape"
_DEFAULTS: Mapping[str, Any] = {
    "is_seg": False, "order": 3, "order_z": 0, "force_separate_z": False,
    "separate_z_anisotropy_threshold": ANISOTROPY_THRESHOLD,
}  # fmt: skip
"""Of that function: what counts where the plans leave an argument out."""


def resampling(configuration: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The arguments with which nnU-Net resamples ``data``, ``seg`` or ``probabilities``, all of them.

    Raises ConfigurationError (``nnunet-unsupported``) for an argument that its function does not have.
    """
    key = f"resampling_fn_{what}_kwargs"
    stated = configuration.get(key)
    if not isinstance(stated, Mapping) or not set(stated) <= set(_DEFAULTS):
        raise unsupported(key, stated, f"supported are {', '.join(_DEFAULTS)}")
    found = {**_DEFAULTS, **stated}
    if found["force_separate_z"] not in (None, True, False) or bool(found["is_seg"]) is not (what == "seg"):
        raise unsupported(key, stated, "is_seg is for labels alone, force_separate_z true, false or null")
    return found


def check_plans(
    configuration: Mapping[str, Any], dataset: Mapping[str, Any], *, readers: Sequence[str], cascade: bool
) -> None:
    """Refuse what would have to be left out (``nnunet-unsupported``)."""
    for key in ("resampling_fn_data", "resampling_fn_probabilities", *(("resampling_fn_seg",) if cascade else ())):
        if configuration.get(key) != _FUNCTION:
            raise unsupported(key, configuration.get(key), f"supported is {_FUNCTION}")
    resampling(configuration, "data")
    back = resampling(configuration, "probabilities")
    if (
        back["order"] != 1
        or back["order_z"] not in (0, 1)
        or back["force_separate_z"] is True
        or back["separate_z_anisotropy_threshold"] != ANISOTROPY_THRESHOLD
    ):
        raise unsupported(
            "resampling_fn_probabilities_kwargs", back,
            f"supported is order 1 with order_z 0 or 1, and a threshold of {ANISOTROPY_THRESHOLD:g}",
        )  # fmt: skip
    if cascade:
        labels = resampling(configuration, "seg")
        if (
            labels["order"] not in (0, 1)
            or labels["order_z"] != 0
            or labels["separate_z_anisotropy_threshold"] != ANISOTROPY_THRESHOLD
        ):
            raise unsupported("resampling_fn_seg_kwargs", labels, "supported are orders 0 and 1, with order_z 0")
    if configuration.get("preprocessor_name") != "DefaultPreprocessor":
        raise unsupported(
            "preprocessor_name", configuration.get("preprocessor_name"), "supported is DefaultPreprocessor"
        )
    own = dataset.get("overwrite_image_reader_writer", "")
    if own not in ("", None, *readers):
        raise unsupported("overwrite_image_reader_writer", own, "a volume reader")


def unsupported(key: str, found: object, wanted: str) -> ConfigurationError:
    """``nnunet-unsupported``, with the key that says so."""
    return ConfigurationError(
        f"This model cannot be carried over exactly: {key} is {found}; {wanted}.",
        next_step="Nothing was written: a package that leaves a step out would give other results.",
        code="nnunet-unsupported",
    )
