"""MONAI's own run of a bundle on a case: what a package is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.volume import Volume
from worker.importing.frameworks import need, quiet
from worker.importing.monai.bundle import Bundle, transforms_of
from worker.importing.monai.post_transforms import KEY
from worker.importing.monai.transforms import Mapped
from worker.importing.parity.itk_images import to_itk

Float = NDArray[np.float32]


def prepared(bundle: Bundle, mapped: Mapped, case: Volume, scratch: Path) -> Float:
    """What the bundle's own transforms make of a case: (channel, ...) in the order of its axes."""
    with quiet():
        data = _parser(bundle).get_parsed_content("preprocessing")({mapped.key: _file(case, scratch)})
    return np.asarray(data[mapped.key], dtype=np.float32).copy()


def run_bundle(bundle: Bundle, mapped: Mapped, case: Volume, scratch: Path, *, network: Any = None) -> Float:
    """What the bundle's own transforms, inferer and network (or another in its place) say of a case.

    (channel, slice, row, column) on the case's grid: what the last transform leaves.
    """
    torch, transforms = need("torch", "monai.transforms")
    with quiet(), torch.no_grad():
        parser = _parser(bundle)
        pre = parser.get_parsed_content("preprocessing")
        inferer = parser.get_parsed_content("inferer")
        data = pre({mapped.key: _file(case, scratch)})
        data[KEY] = inferer(data[mapped.key][None], network or bundle.network)[0]
        data = parser.get_parsed_content("postprocessing")(data)
        if not any(name == "Invertd" for name, _ in transforms_of(bundle.parts["postprocessing"])):
            back = transforms.Invertd(
                keys=KEY, transform=pre, orig_keys=mapped.key, nearest_interp=True, to_tensor=True
            )  # fmt: skip
            data = back(data)
    return np.asarray(data[KEY], dtype=np.float32).transpose(0, 3, 2, 1)


def _file(case: Volume, scratch: Path) -> str:
    """The case as MONAI reads it: NIfTI, (column, row, slice), with the affine as it is (ITK would round it)."""
    (nibabel,) = need("nibabel")
    path = scratch / "case.nii.gz"
    to_itk(case)  # refuses a sheared grid
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ case.geometry.affine_lps @ np.eye(4)[:, [2, 1, 0, 3]]
    nibabel.save(nibabel.Nifti1Image(case.voxels.astype(np.float32).transpose(2, 1, 0), affine), str(path))
    return str(path)


def label_map(answer: Float, channels: Mapping[int, str], *, one_hot: bool) -> NDArray[np.integer[Any]]:
    """The segments' numbers (from 1, in the order of the channels) of what a bundle answers."""
    found: NDArray[np.integer[Any]] = np.zeros(answer.shape[1:], np.int32)
    for number, channel in enumerate(sorted(channels), start=1):
        found[(answer[channel] > 0) if one_hot else (answer[0] == channel)] = number
    return found


def _parser(bundle: Bundle) -> Any:
    """The bundle's configuration for this run: it reads NIfTI and saves nothing; Invertd undoes what has run."""
    (monai_bundle,) = need("monai.bundle")
    parts = {name: bundle.parts[name] for name in ("preprocessing", "inferer", "postprocessing")}
    for name in ("preprocessing", "postprocessing"):
        kept = []
        for one in parts[name]["transforms"]:
            for kind, _ in transforms_of({"transforms": [one]}):
                changed = {key: value for key, value in one.items() if (kind, key) != ("LoadImaged", "reader")}
                undo = {"transform": "@preprocessing"} if kind == "Invertd" else {}
                kept += [] if kind == "SaveImaged" else [{**changed, **undo}]
        parts[name] = {**parts[name], "transforms": kept}
    return monai_bundle.ConfigParser(parts)
