"""Tiny nets of the other families: ratings, boxes, several channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.unit.inference.tiny_models import save


def mean_net(path: Path, *, scale: list[float], bias: list[float], rank: int = 4, batch: int | str = "N") -> Path:
    """``out[:, k] = mean(image) * scale[k] + bias[k]``: ratings [batch, channel]."""
    axes = list(range(1, rank))
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=axes, keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("Mul", ["column", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["logits"]),
    ]
    constants = {
        "one": np.asarray([1], np.int64),
        "scale": np.asarray([scale], np.float32),
        "bias": np.asarray([bias], np.float32),
    }
    shape: list[int | str] = [batch, "C", *"ABC"[: rank - 2]]
    return save(path, nodes, constants=constants, in_shape=shape, out_shape=[batch, len(scale)])


def box_net(path: Path, boxes: list[list[float]], scores: list[float], classes: list[int], *, flat: int = 2) -> Path:
    """Always the same boxes, and the mean of the image added to every score so that it reacts."""
    shape: list[int | str] = [1, 1, *"ABC"[:flat]]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "all_scores"], ["scores"]),
        helper.make_node("Identity", ["all_boxes"], ["boxes"]),
        helper.make_node("Identity", ["all_classes"], ["labels"]),
    ]
    graph = helper.make_graph(
        nodes,
        "boxes",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", 2 * flat]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("labels", TensorProto.INT64, ["n"]),
        ],
        [
            numpy_helper.from_array(np.asarray(0.0, np.float32), "zero"),
            numpy_helper.from_array(np.asarray(boxes, np.float32), "all_boxes"),
            numpy_helper.from_array(np.asarray(scores, np.float32), "all_scores"),
            numpy_helper.from_array(np.asarray(classes, np.int64), "all_classes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
