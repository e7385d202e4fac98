"""Write model.onnx from weights.safetensors: opset 17, dynamic batch, raw HU in, logits out.

python models/lungs-airways-ct/export.py
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

from contract import SIZE  # noqa: E402
from net import LungNet  # noqa: E402

OPSET = 17


def load_net(weights: Path) -> LungNet:
    """The trained network in eval mode."""
    net = LungNet()
    net.load_state_dict(load_file(weights))
    return net.eval()


def export(net: LungNet, path: Path) -> None:
    """Write one checked ONNX file; only the batch axis is dynamic."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's exporter calls itself legacy
        torch.onnx.export(
            net,
            (torch.full((2, 1, SIZE, SIZE), -1000.0),),
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
        print(
            f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
        )


if __name__ == "__main__":
    main()
