"""From the names that a training framework gives its classes to coded segments."""

from __future__ import annotations

import colorsys
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.codedict import codes

from worker.domain.errors import ConfigurationError
from worker.domain.findings import Conclusion

_ANATOMY = {
    "adrenal_gland": "AdrenalGland", "aorta": "Aorta", "bone": "Bone", "brain": "Brain", "brainstem": "BrainStem",
    "breast": "Breast", "bronchus": "Bronchus", "cerebellum": "Cerebellum", "clavicula": "Clavicle",
    "clavicle": "Clavicle", "colon": "Colon", "duodenum": "Duodenum", "esophagus": "Esophagus", "eye": "Eye",
    "femur": "Femur", "gallbladder": "Gallbladder", "heart": "Heart", "hip": "Hip", "hippocampus": "Hippocampus",
    "humerus": "Humerus", "inferior_vena_cava": "InferiorVenaCava", "kidney": "Kidney", "left_atrium": "LeftAtrium",
    "left_ventricle": "LeftVentricle", "liver": "Liver", "lung": "Lung", "mandible": "Mandible", "ovary": "Ovary",
    "pancreas": "Pancreas", "portal_vein": "PortalVein", "prostate": "Prostate", "pulmonary_artery": "PulmonaryArtery",
    "pulmonary_vein": "PulmonaryVein", "rectum": "Rectum", "rib": "Rib", "right_atrium": "RightAtrium",
    "right_ventricle": "RightVentricle", "sacrum": "Sacrum", "scapula": "Scapula", "skull": "Skull",
    "small_bowel": "SmallIntestine", "small_intestine": "SmallIntestine", "spinal_cord": "SpinalCord",
    "spleen": "Spleen", "sternum": "Sternum", "stomach": "Stomach", "superior_vena_cava": "SuperiorVenaCava",
    "thymus": "Thymus", "trachea": "Trachea", "ureter": "Ureter", "urinary_bladder": "Bladder", "uterus": "Uterus",
    "vertebra": "Vertebra",
}  # fmt: skip
"""Names as TotalSegmentator and the public challenges write them, to keywords of pydicom's code dictionaries."""

_KEYS = ("category", "type", "laterality", "site", "colour_rgb", "label", "tracking_identifier", "measurements")
_NOT_YET = {"value": "", "scheme": "", "meaning": ""}


@dataclass(frozen=True, slots=True)
class Segments:
    """The entries of ``outputs.segments``, and the labels whose codes a person has still to fill in."""

    entries: tuple[dict[str, Any], ...]
    open_labels: tuple[str, ...]


def read_codes(path: Path, *, labels: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """A table of codes: one TOML table per label, with ``category``, ``type`` and what else a segment may state.

    Raises ConfigurationError (``codes-invalid``) for a label that the model does not have, or a key that is no such.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _invalid(path, f"it cannot be read ({error})") from error
    for label, entry in found.items():
        if label not in labels:
            raise _invalid(
                path, f'the model has no label "{label}"{_nearest(label, labels)}; it has {", ".join(labels)}'
            )
        if not isinstance(entry, Mapping):
            raise _invalid(path, f'"{label}" is no table')
        for key in entry:
            if key not in _KEYS:
                raise _invalid(path, f'{label}: there is no key "{key}"{_nearest(key, _KEYS)}')
    return found


def segments(
    channels: Mapping[int, str],
    table: Mapping[str, Mapping[str, Any]],
    inner: Mapping[int, Sequence[int]] | None = None,
) -> Segments:
    """Entries for the channels of a net, in their order, numbered from 1.

    ``inner`` are the channels that lie inside another, as segments of their own, which that one contains.

    What the table does not say is taken from a short list of anatomy; where neither knows, the codes stay empty, which
    `overread models check` refuses until a person has filled them in.
    """
    entries, unknown = [], []
    for number, (channel, label) in enumerate(sorted(channels.items()), start=1):
        stated = dict(table.get(label, {}))
        known = _known(label)
        if not known and not {"category", "type"} <= set(stated):
            unknown.append(label)
        title = _title(label)
        entry = {
            "number": number,
            "channel": channel,
            "label": title,
            "category": _NOT_YET,
            "type": _NOT_YET,
            **known,
            "colour_rgb": _colour(number),
            "tracking_identifier": f"AI {title}",
            "measurements": ["volume"],
        }
        entries.append({**entry, **stated})
    titles = {entry["channel"]: entry["label"] for entry in entries}
    for entry in entries:
        parts = (inner or {}).get(entry["channel"])
        entry.update({"contains": [titles[one] for one in parts]} if parts else {})
    return Segments(tuple(entries), tuple(unknown))


def _title(label: str) -> str:
    return " ".join(label.replace("_", " ").split()).capitalize()[:60]


def provisional(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The entries with their numbers for names, and a private code where none is known: enough to run, not to ship."""
    private = {"value": "0", "scheme": "99UNKNOWN", "meaning": "Not coded yet"}
    return [
        {key: private if value == _NOT_YET else value for key, value in entry.items() if key != "contains"}
        | {"label": str(entry["number"]), "tracking_identifier": f"AI {entry['number']}"}
        for entry in entries
    ]


def labels_of(conclusion: Conclusion) -> NDArray[np.integer[Any]]:
    """The label map of a provisional package's conclusion, with the numbers of its manifest."""
    labels: NDArray[np.integer[Any]] = np.zeros(conclusion.volume.geometry.shape, np.int32)
    for segmentation in conclusion.segmentations:
        for segment in segmentation.segments:
            labels[segmentation.labels == segment.number] = int(segment.label)
    return labels


def _known(label: str) -> dict[str, Any]:
    words = label.lower().replace("-", "_").replace(" ", "_").strip("_").split("_")
    whole = "_".join(words)
    if whole in _ANATOMY:
        return {"category": _code(codes.CID7150.AnatomicalStructure), "type": _type(whole)}
    sides = [word for word in words if word in ("left", "right")]
    rest = "_".join(word for word in words if word not in ("left", "right"))
    if len(sides) != 1 or rest not in _ANATOMY:
        return {}
    side = codes.CID244.Left if sides[0] == "left" else codes.CID244.Right
    return {
        "category": _code(codes.CID7150.AnatomicalStructure), "type": _type(rest), "laterality": _code(side),
    }  # fmt: skip


def _type(name: str) -> dict[str, str]:
    return _code(getattr(codes.SCT, _ANATOMY[name]))


def _code(code: Any) -> dict[str, str]:
    return {"value": code.value, "scheme": code.scheme_designator, "meaning": code.meaning}


def _colour(number: int) -> list[int]:
    """Hues far apart for neighbouring numbers (the golden angle)."""
    return [round(255 * part) for part in colorsys.hsv_to_rgb(number * 0.618034 % 1.0, 0.55, 0.9)]


def _nearest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f' (did you mean "{close[0]}"?)' if close else ""


def _invalid(path: Path, detail: str) -> ConfigurationError:
    return ConfigurationError(
        f"The table of codes {path.name} is wrong: {detail}.",
        next_step="Each label is a table with category = { value, scheme, meaning } and type: docs/import-a-model.md.",
        code="codes-invalid",
    )
