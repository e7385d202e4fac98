"""Write model.onnx from weights.safetensors: opset 17, only the batch axis is dynamic.

python models/lungs-cr/export.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import onnx_export
from lung_net import RadiographUNet

HERE = Path(__file__).resolve().parent


def load_net(weights: Path) -> torch.nn.Module:
    """The trained network in eval mode."""
    return onnx_export.trained(RadiographUNet(), weights)


def export(net: torch.nn.Module, path: Path) -> None:
    """Write one checked ONNX file."""
    onnx_export.write_onnx(net, path, shape=(1, 128, 128), output="logits")


if __name__ == "__main__":
    onnx_export.main(HERE, __doc__, load_net, export)
