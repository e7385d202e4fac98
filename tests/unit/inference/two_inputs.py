"""A toy package of two inputs, and a phantom head that two sequences see differently.

The net says "lesion" where the second input is brighter than the first by more than 300: neither of them alone tells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper
from pydicom.sr.codedict import codes

from tests.unit.inference.tiny_models import package_data, save, write_package

LESION = codes.SCT.Edema
ABNORMAL = codes.SCT.MorphologicallyAbnormalStructure
SHAPE = (20, 48, 48)
SPACING_MM = (4.0, 2.0, 2.0)
FIRST_MM = (-47.0, -47.0, -38.0)
"""LPS of the first voxel of the reference."""


def difference_net(path: Path) -> Path:
    """``logits = [0, image[:, 1] - image[:, 0] - 300]``."""
    weights = np.zeros((2, 2, 1, 1), np.float32)
    weights[1, 0], weights[1, 1] = -1.0, 1.0
    nodes = [helper.make_node("Conv", ["image", "weights", "bias"], ["logits"])]
    constants = {"weights": weights, "bias": np.asarray([0.0, -300.0], np.float32)}
    return save(path, nodes, constants=constants, in_shape=["N", 2, "H", "W"], out_shape=["N", 2, "H", "W"])


def two_input_data(**second: Any) -> dict[str, Any]:
    """A good manifest: "t1" is the reference, "t2" has what ``second`` says beside its conditions."""
    data = package_data("0" * 64)
    del data["input"]
    contract = {"modality": "MR", "slices": {"minimum": 2}, "slice_spacing_mm": {"maximum": 7.0}}
    data["package"] = {"name": "toy-two", "version": "1.0.0", "title": "Toy of two inputs"}
    data["inputs"] = [
        {**contract, "name": "t1", "conditions": [{"attribute": "SeriesDescription", "matches": "t1"}]},
        {**contract, "name": "t2", "conditions": [{"attribute": "SeriesDescription", "matches": "t2"}], **second},
    ]
    data["guards"] = {"input": [{"guard": "not_constant"}]}
    data["preprocessing"] = []
    data["inference"]["net"]["input"]["shape"] = ["N", 2, "H", "W"]
    (segment,) = data["outputs"]["segments"]
    for key, code in (("category", ABNORMAL), ("type", LESION)):
        segment[key] = {"value": code.value, "scheme": code.scheme_designator, "meaning": code.meaning}
    segment |= {"label": "Lesion", "tracking_identifier": "AI lesion"}
    return data


def two_input_package(folder: Path, data: dict[str, Any] | None = None, **second: Any) -> Path:
    """A package folder with that net."""
    folder.mkdir(parents=True, exist_ok=True)
    difference_net(folder / "model.onnx")
    return write_package(folder, data or two_input_data(**second))


def head(places_lps_mm: NDArray[np.float64], *, sequence: str) -> NDArray[np.float64]:
    """Brightness of a head at places (..., 3): skull, two ventricles, a nose, a lesion that is bright in "t2" only."""

    def ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> NDArray[np.float64]:
        apart = np.linalg.norm((places_lps_mm - np.asarray(centre)) / np.asarray(radii), axis=-1)
        inside: NDArray[np.float64] = 1 / (1 + np.exp(np.clip((apart - 1) * 14, -60, 60)))
        return inside

    brightness = {
        "skull": (600.0, 400.0), "left": (-400.0, 300.0), "right": (-400.0, 300.0), "nose": (500.0, 250.0),
        "ear": (300.0, 500.0), "lesion": (-150.0, 700.0),
    }  # fmt: skip
    shapes = {
        "skull": ellipsoid((0, 0, 0), (30, 38, 32)),
        "left": ellipsoid((8, 4, 8), (4, 14, 6)),
        "right": ellipsoid((-9, 2, 7), (5, 10, 5)),
        "nose": ellipsoid((2, -40, -8), (5, 6, 10)),
        "ear": ellipsoid((32, 6, -6), (5, 8, 12)),
        "lesion": ellipsoid((-14, -12, -10), (7, 6, 8)),
    }
    found: NDArray[np.float64] = 100.0 + sum(brightness[name][sequence == "t2"] * one for name, one in shapes.items())
    return found


def grid(
    spacing_mm: tuple[float, float, float] = SPACING_MM,
    first_mm: tuple[float, float, float] = FIRST_MM,
) -> NDArray[np.float64]:
    """The affine of an axial stack: slices upwards, rows to the back, columns to the left."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * np.asarray(spacing_mm)
    affine[:3, 3] = first_mm
    return affine


def seen(
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    *,
    sequence: str,
    to_patient: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """What a scanner sees on a grid; ``to_patient`` (4x4) leads from its coordinates to those of the head."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1).astype(np.float64)
    places = index @ affine[:3, :3].T + affine[:3, 3]
    if to_patient is not None:
        places = places @ to_patient[:3, :3].T + to_patient[:3, 3]
    return head(places, sequence=sequence).astype(np.float32)
