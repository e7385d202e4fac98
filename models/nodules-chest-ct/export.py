"""Write model.onnx from weights.safetensors: opset 17, batch, rows and columns are dynamic.

python models/nodules-chest-ct/export.py
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

from nodule_net import NoduleNet  # noqa: E402

OPSET = 17
SHAPE = (5, 96, 96)


def load_net(weights: Path) -> NoduleNet:
    """The trained network in eval mode."""
    net = NoduleNet()
    net.load_state_dict(load_file(weights))
    return net.eval()


def export(net: NoduleNet, path: Path) -> None:
    """Write one checked ONNX file."""
    example = torch.linspace(-1.0, 1.0, 2 * 5 * 96 * 96).reshape(2, *SHAPE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's exporter calls itself legacy
        torch.onnx.export(
            net,
            (example,),
            path,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "N", 2: "H", 3: "W"}, "logits": {0: "N", 2: "H", 3: "W"}},
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
