"""Writing ``model.onnx`` from ``weights.safetensors``, as the packages that were trained here do it.

``models/tools`` is not a package: a folder without a manifest is none. Scripts of the packages put it on their path.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import command_line
import onnx
import torch
from safetensors.torch import load_file

OPSET = 17
BATCH = {0: "N"}


def trained(net: torch.nn.Module, weights: Path) -> torch.nn.Module:
    """The network with its trained weights, in eval mode."""
    net.load_state_dict(load_file(weights))
    return net.eval()


def write_onnx(
    net: torch.nn.Module,
    path: Path,
    *,
    shape: tuple[int, int, int],
    output: str,
    amplitude: float = 1.0,
    dynamic: Mapping[int, str] = BATCH,
) -> None:
    """Write one checked ONNX file with the input ``image``.

    ``shape`` is (channel, row, column) of the example that is traced; its values go from -``amplitude`` to
    ``amplitude`` in the unit of the net's input. ``dynamic`` names the axes of input and output that stay open.
    """
    channels, rows, columns = shape
    example = torch.linspace(-amplitude, amplitude, 2 * channels * rows * columns).reshape(2, *shape)
    axes = dict(dynamic)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's exporter calls itself legacy
        torch.onnx.export(
            net,
            (example,),
            path,
            input_names=["image"],
            output_names=[output],
            dynamic_axes={"image": axes, output: axes},
            opset_version=OPSET,
            dynamo=False,
        )
    onnx.checker.check_model(str(path), full_check=True)


def main(
    folder: Path,
    description: str | None,
    load_net: Callable[[Path], torch.nn.Module],
    export: Callable[[torch.nn.Module, Path], None],
) -> None:
    """The command line of a package's ``export.py``: writes the file and prints digests for the manifest."""
    parser = command_line.parser_of(description, folder / "model.onnx")
    parser.add_argument("--weights", type=Path, default=folder / "weights.safetensors")
    arguments = parser.parse_args()
    export(load_net(arguments.weights), arguments.out)
    for path in (arguments.weights, arguments.out):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, SHA-256 {digest}")
