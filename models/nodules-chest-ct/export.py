"""Write model.onnx from weights.safetensors: opset 17; batch, rows and columns are dynamic.

python models/nodules-chest-ct/export.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import onnx_export
from nodule_net import NoduleNet

HERE = Path(__file__).resolve().parent


def load_net(weights: Path) -> torch.nn.Module:
    """The trained network in eval mode."""
    return onnx_export.trained(NoduleNet(), weights)


def export(net: torch.nn.Module, path: Path) -> None:
    """Write one checked ONNX file."""
    onnx_export.write_onnx(net, path, shape=(5, 96, 96), output="logits", dynamic={0: "N", 2: "H", 3: "W"})


if __name__ == "__main__":
    onnx_export.main(HERE, __doc__, load_net, export)
