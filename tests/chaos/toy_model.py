"""A real model package that costs nothing: everything below -500 HU is "lung", decided by an ONNX graph.

The whole path runs (decode, ONNX Runtime, SEG, SR, gate, delivery), in milliseconds, so that hundreds of studies can go
through a system that is being killed all the time. Made by code: nothing binary is committed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from onnx import GraphProto, TensorProto, helper, numpy_helper

NAME = "chaos-ct"

_MANIFEST = """\
schema_version = 1
intended_use = "Tests of crash safety."
not_for = ["patients"]
limits = ["It is a threshold."]
training_data = "None."

[package]
name = "{name}"
version = "1.0.0"
title = "Threshold"

[algorithm]
title = "Threshold at -500 HU"
manufacturer = "Overread"

[licence]
spdx = "Apache-2.0"
notice = "Made in a test."

[[weights]]
id = "main"
file = "model.onnx"
sha256 = "{sha256}"

[hardware]
memory_mb = 10
memory_bytes_per_voxel = 8

[input]
modality = "CT"
slices = {{ minimum = 2, maximum = 1000 }}
slice_spacing_mm = {{ maximum = 7.0 }}

[[guards.input]]
guard = "not_constant"

[[preprocessing]]
step = "reorient"
axes = "SPL"

[inference]
mode = "slices"
batch = 8

[inference.net]
weights = "main"
input = {{ name = "image", shape = ["N", 1, "H", "W"] }}
output = {{ name = "logits", shape = ["N", 2, "H", "W"] }}

[[postprocessing]]
step = "softmax"

[[postprocessing]]
step = "argmax"

[[outputs.segments]]
number = 1
channel = 1
label = "Lung"
category = {{ value = "91723000", scheme = "SCT", meaning = "Anatomical Structure" }}
type = {{ value = "39607008", scheme = "SCT", meaning = "Lung" }}
colour_rgb = [88, 166, 255]
tracking_identifier = "AI lung"
"""


def write_package(folder: Path, *, spins: int = 0) -> Path:
    """Write the package below ``folder`` (what ``models.folders`` names) and return the package's own folder.

    ``spins`` makes each run longer by about so many milliseconds, inside ONNX Runtime.
    """
    package = folder / NAME
    package.mkdir(parents=True, exist_ok=True)
    weights = _threshold_graph(spins)
    (package / "model.onnx").write_bytes(weights)
    manifest = _MANIFEST.format(name=NAME, sha256=hashlib.sha256(weights).hexdigest())
    (package / "manifest.toml").write_text(manifest, encoding="utf-8")
    return package


def _threshold_graph(spins: int) -> bytes:
    """``logits[:, 1] = -(HU + 500)``, ``logits[:, 0] = 0``."""
    constants = {
        "scale": np.asarray([0.0, -1.0], np.float32).reshape(1, 2, 1, 1),
        "bias": np.asarray([0.0, -500.0], np.float32).reshape(1, 2, 1, 1),
    }
    nodes = [helper.make_node("Mul", ["image", "scale"], ["scaled"])]
    if spins:
        constants |= {"spins": np.asarray(spins, np.int64), "on": np.asarray(True), "zeros": np.zeros((256, 256), "f4")}
        nodes += [
            helper.make_node("Loop", ["spins", "on", "zeros"], ["spun"], body=_spin()),
            helper.make_node("ReduceMax", ["spun"], ["nothing"], keepdims=0),
            helper.make_node("Add", ["bias", "nothing"], ["moved"]),
        ]
    nodes.append(helper.make_node("Add", ["scaled", "moved" if spins else "bias"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "threshold",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, "H", "W"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2, "H", "W"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def _spin() -> GraphProto:
    """One turn: a product of two matrices, which takes about a millisecond."""
    turn, on = helper.make_tensor_value_info("turn", TensorProto.INT64, []), TensorProto.BOOL
    matrix = [TensorProto.FLOAT, [256, 256]]
    return helper.make_graph(
        [helper.make_node("MatMul", ["before", "before"], ["after"]), helper.make_node("Identity", ["on"], ["still"])],
        "spin",
        [turn, helper.make_tensor_value_info("on", on, []), helper.make_tensor_value_info("before", *matrix)],
        [helper.make_tensor_value_info("still", on, []), helper.make_tensor_value_info("after", *matrix)],
    )
