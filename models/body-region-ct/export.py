"""Write model.onnx from weights.safetensors: opset 17, only the batch axis is dynamic.

python models/body-region-ct/export.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import onnx_export
from region_net import RegionNet

HERE = Path(__file__).resolve().parent


def load_net(weights: Path) -> torch.nn.Module:
    """The trained network in eval mode."""
    return onnx_export.trained(RegionNet(), weights)


def export(net: torch.nn.Module, path: Path) -> None:
    """Write one checked ONNX file."""
    onnx_export.write_onnx(net, path, shape=(1, 96, 96), output="logits", amplitude=1000.0)


if __name__ == "__main__":
    onnx_export.main(HERE, __doc__, load_net, export)
