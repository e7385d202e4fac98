"""Write model.onnx from weights.safetensors: opset 17, only the batch axis is dynamic.

python models/body-region-ct/export.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tools"), str(HERE)]

import onnx_export  # noqa: E402
from region_net import RegionNet  # noqa: E402


def load_net(weights: Path) -> torch.nn.Module:
    """The trained network in eval mode."""
    return onnx_export.trained(RegionNet(), weights)


def export(net: torch.nn.Module, path: Path) -> None:
    """Write one checked ONNX file."""
    onnx_export.write_onnx(net, path, shape=(1, 96, 96), output="logits", amplitude=1000.0)


if __name__ == "__main__":
    onnx_export.main(HERE, __doc__, load_net, export)
