"""Write model.onnx from weights.safetensors: opset 17, only the batch axis is dynamic.

python models/body-region-ct/export.py
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import warnings
from pathlib import Path

import onnx
import torch
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from region_net import RegionNet  # noqa: E402

OPSET = 17
SHAPE = (1, 96, 96)


def load_net(weights: Path) -> RegionNet:
    """The trained network in eval mode."""
    net = RegionNet()
    net.load_state_dict(load_file(weights))
    return net.eval()


def export(net: RegionNet, path: Path) -> None:
    """Write one checked ONNX file."""
    example = torch.linspace(-1000.0, 1000.0, 2 * 96 * 96).reshape(2, *SHAPE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's exporter calls itself legacy
        torch.onnx.export(
            net,
            (example,),
            path,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.checker.check_model(str(path), full_check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=HERE / "weights.safetensors")
    parser.add_argument("--out", type=Path, default=HERE / "model.onnx")
    arguments = parser.parse_args()
    export(load_net(arguments.weights), arguments.out)
    for path in (arguments.weights, arguments.out):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, SHA-256 {digest}")


if __name__ == "__main__":
    main()
