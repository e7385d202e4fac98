"""Tiny ONNX nets and packages, made in the test: nothing binary is committed."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from worker.domain.study import FrameOfReferenceUID, SeriesInstanceUID, SOPInstanceUID
from worker.domain.volume import Geometry, SliceRef, Volume

FLOAT = TensorProto.FLOAT


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    *,
    constants: dict[str, np.ndarray],
    in_shape: list[int | str],
    out_shape: list[int | str],
    names: tuple[str, str] = ("image", "logits"),
    dtype: int = FLOAT,
    opsets: tuple[tuple[str, int], ...] = (("", 17),),
    functions: tuple[onnx.FunctionProto, ...] = (),
) -> Path:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(names[0], dtype, in_shape)],
        [helper.make_tensor_value_info(names[1], dtype, out_shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*one) for one in opsets], functions=list(functions)
    )
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


def affine_net(
    path: Path,
    *,
    scale: list[float],
    bias: list[float],
    in_shape: list[int | str] | None = None,
    names: tuple[str, str] = ("image", "logits"),
) -> Path:
    """``logits[:, k] = image[:, 0] * scale[k] + bias[k]``: one channel for each pair of numbers."""
    shape = in_shape or ["N", 1, "H", "W"]
    flat = [1] * (len(shape) - 2)
    constants = {
        "scale": np.asarray(scale, np.float32).reshape(1, -1, *flat),
        "bias": np.asarray(bias, np.float32).reshape(1, -1, *flat),
    }
    nodes = [
        helper.make_node("Mul", [names[0], "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], [names[1]]),
    ]
    out_shape: list[int | str] = [shape[0], len(scale), *shape[2:]]
    return save(path, nodes, constants=constants, in_shape=shape, out_shape=out_shape, names=names)


def half_net(path: Path) -> Path:
    """A net in float16."""
    constants = {"scale": np.asarray([-1, 1], np.float16).reshape(1, 2, 1, 1)}
    nodes = [helper.make_node("Mul", ["image", "scale"], ["logits"])]
    shape: list[int | str] = ["N", 1, "H", "W"]
    return save(
        path, nodes, constants=constants, in_shape=shape, out_shape=["N", 2, "H", "W"], dtype=TensorProto.FLOAT16
    )


def nan_net(path: Path) -> Path:
    """The logarithm of a negative number, everywhere."""
    constants = {"minus": np.full((1, 2, 1, 1), -1.0, np.float32)}
    nodes = [
        helper.make_node("Abs", ["image"], ["positive"]),
        helper.make_node("Mul", ["positive", "minus"], ["negative"]),
        helper.make_node("Log", ["negative"], ["logits"]),
    ]
    shape: list[int | str] = ["N", 1, "H", "W"]
    return save(path, nodes, constants=constants, in_shape=shape, out_shape=["N", 2, "H", "W"])


def package_data(weights_sha256: str, *, mode: str = "slices") -> dict[str, Any]:
    """A good manifest as data: everything below -500 HU is "Lung"."""
    data: dict[str, Any] = {
        "schema_version": 1,
        "intended_use": "Tests.",
        "not_for": ["patients"],
        "limits": ["It is a toy."],
        "training_data": "None.",
        "package": {"name": "toy-ct", "version": "1.2.3", "title": "Toy"},
        "algorithm": {"title": "Toy algorithm", "manufacturer": "Overread"},
        "licence": {"spdx": "Apache-2.0", "notice": "Made in a test."},
        "weights": [{"id": "main", "file": "model.onnx", "sha256": weights_sha256}],
        "hardware": {"memory_mb": 10, "memory_bytes_per_voxel": 8},
        "input": {
            "modality": "CT",
            "slices": {"minimum": 2, "maximum": 100},
            "slice_spacing_mm": {"maximum": 7.0},
            "conditions": [{"attribute": "BodyPartExamined", "none_of": ["HEAD"]}],
            "preferences": [{"attribute": "slice_thickness_mm", "maximum": 3.0, "weight": 2.0}],
        },
        "guards": {
            "input": [{"guard": "not_constant"}],
            "result": [{"guard": "segment_volume", "segments": ["Lung"], "max_ml": 1000.0}],
        },
        "preprocessing": [{"step": "reorient", "axes": "SPL"}],
        "inference": {
            "mode": "slices",
            "batch": 4,
            "net": {
                "weights": "main",
                "input": {"name": "image", "shape": ["N", 1, "H", "W"]},
                "output": {"name": "logits", "shape": ["N", 2, "H", "W"]},
            },
        },
        "postprocessing": [{"step": "softmax"}, {"step": "argmax"}],
        "outputs": {
            "segments": [
                {
                    "number": 1,
                    "channel": 1,
                    "label": "Lung",
                    "category": {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"},
                    "type": {"value": "39607008", "scheme": "SCT", "meaning": "Lung"},
                    "colour_rgb": [10, 20, 30],
                    "tracking_identifier": "AI lung",
                }
            ]
        },
    }
    if mode == "volume":
        data["inference"] = {
            "mode": "volume",
            "net": {
                "weights": "main",
                "input": {"name": "image", "shape": [1, 1, "A", "B", "C"]},
                "output": {"name": "logits", "shape": [1, 2, "A", "B", "C"]},
            },
        }
    return data


def changed(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with another value at a path such as ``outputs.segments.0.channel``; None removes the key."""
    result = copy.deepcopy(data)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    here: Any = result
    for part in parents:
        here = here[part]
    if value is None:
        del here[last]
    elif isinstance(last, int) and last == len(here):
        here.append(value)
    else:
        here[last] = value
    return result


def to_toml(data: dict[str, Any]) -> str:
    """Enough of a TOML writer for manifests: tables at the top, everything below in-line."""
    return "".join(f"{key} = {_inline(value)}\n" for key, value in data.items())


def _inline(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return f"'{value}'" if isinstance(value, str) else repr(value)


def write_package(folder: Path, data: dict[str, Any] | None = None, *, mode: str = "slices") -> Path:
    """A package folder; the net says class 1 below -500. Hashes of files that are there already are filled in."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model.onnx").exists():
        shape: list[int | str] | None = [1, 1, "A", "B", "C"] if mode == "volume" else None
        affine_net(folder / "model.onnx", scale=[0.0, -1.0], bias=[0.0, -500.0], in_shape=shape)
    data = copy.deepcopy(data) if data is not None else package_data("0" * 64, mode=mode)
    for entry in data["weights"]:
        if entry["sha256"] == "0" * 64 and (folder / entry["file"]).is_file():
            entry["sha256"] = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
    (folder / "manifest.toml").write_text(to_toml(data), encoding="utf-8")
    return folder


def a_volume(
    voxels: np.ndarray,
    *,
    affine: np.ndarray | None = None,
    spacing_mm: tuple[float, float, float] = (3.0, 2.0, 2.0),
    modality: str = "CT",
) -> Volume:
    """A volume; axial upwards, rows to the back, columns to the left unless an affine is given."""
    if affine is None:
        affine = np.eye(4)
        affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * np.asarray(spacing_mm)
    shape = (int(voxels.shape[0]), int(voxels.shape[1]), int(voxels.shape[2]))
    return Volume(
        voxels=np.asarray(voxels, np.float32),
        geometry=Geometry(shape=shape, affine_lps=np.asarray(affine, np.float64)),
        slices=tuple(SliceRef(SOPInstanceUID(f"2.25.{k + 1}")) for k in range(shape[0])),
        modality=modality,
        series_instance_uid=SeriesInstanceUID("2.25.100"),
        frame_of_reference_uid=FrameOfReferenceUID("2.25.200"),
    )
