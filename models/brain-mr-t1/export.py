"""Export the two nets of deepbet 1.0.2 (TorchScript) to ONNX, opset 17, fixed shapes.

    python models/brain-mr-t1/export.py --cache ~/.cache/overread/samples

Writes ``localizer.onnx`` and ``segmenter.onnx`` beside this file and prints their SHA-256. The weights
are deepbet's own, untouched; what is added in front of each net is its input normalisation (see `Net`).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from worker.samples import Archive, obtain, pip_download  # noqa: E402
from worker.samples.archives import read_members  # noqa: E402

DEEPBET = Archive(
    project="deepbet",
    version="1.0.2",
    kind="wheel",
    filename="deepbet-1.0.2-py3-none-any.whl",
    sha256="1999e2ea00ec48f6233b95b96f3901a962d3f70431c63aeb985e8a49a198473c",
    size_bytes=10_252_582,
)
NETS = {"localizer": ("data/models/bbox_model.pt", 128), "segmenter": ("data/models/model.pt", 256)}
"""Our name: member of the wheel and edge of its cubic input."""
OPSET = 17


def _mean(x: Tensor) -> Tensor:
    """Mean over all of [1,1,n,n,n], one axis after the other (see `precise_normalisation`)."""
    return x.mean(dim=4, keepdim=True).mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)


class Net(nn.Module):
    """Clipped intensities [1,1,n,n,n] (R, A, S) to the probability of brain, same shape.

    deepbet scales the clipped volume to 0..1, subtracts its mean, divides by its standard deviation
    (n - 1 in the denominator) and maps to 0.226 z + 0.449. Mean and deviation undo any scaling, so the
    graph may start from the clipped intensities themselves, in whatever unit the scanner chose.
    """

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.script = script

    def forward(self, image: Tensor) -> Tensor:
        low, high = image.amin(), image.amax()
        unit = (image - low) / (high - low).clamp(min=1e-6)
        centred = unit - _mean(unit)
        # Bessel's correction, as torch.std has it
        variance = _mean(centred * centred) * (image.numel() / (image.numel() - 1))
        normal = 0.226 * centred / variance.clamp(min=1e-12).sqrt() + 0.449
        probability: Tensor = self.script(normal)[:, 1:2]
        return probability


def load_nets(cache: Path) -> dict[str, Net]:
    """Both nets with deepbet's weights, in eval mode on the CPU."""
    wheel = obtain(DEEPBET, cache / "archives", pip_download, print)
    members = read_members(wheel, [member for member, _ in NETS.values()])
    return {
        name: Net(torch.jit.load(io.BytesIO(members[member]), map_location="cpu").eval()).eval()
        for name, (member, _) in NETS.items()
    }


def export(net: Net, edge: int, path: Path) -> None:
    """Write one ONNX file of fixed shape [1,1,edge,edge,edge] and check it."""
    example = torch.rand(1, 1, edge, edge, edge, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's exporter calls itself legacy; it is the one for TorchScript
        torch.onnx.export(
            torch.jit.script(net),  # a trace cannot enter the TorchScript module inside
            (example,),
            path,
            input_names=["image"],
            output_names=["probability"],
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(path)
    precise_normalisation(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def precise_normalisation(model: onnx.ModelProto) -> None:
    """Replace every InstanceNormalization by operators that ONNX Runtime adds up exactly enough.

    Its CPU kernel sums all voxels of a channel one after the other in float32. Over 256^3 voxels that is
    wrong in the fourth digit, and the probability of brain differs from torch's by up to 0.02. Averaging
    one axis after the other adds at most 256 numbers at a time: the difference falls below 0.0001.
    """
    nodes: list[onnx.NodeProto] = []
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, -1, 1, 1, 1], np.int64), _PER_CHANNEL))
    for node in model.graph.node:
        if node.op_type == "InstanceNormalization":
            nodes += _spelled_out(node, model)
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


_PER_CHANNEL = "per_channel_shape"


def _spelled_out(node: onnx.NodeProto, model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Gives scale * (x - mean) / sqrt(variance + epsilon) + bias, per channel of [1,C,n,n,n]."""
    x, scale, bias = node.input
    name = node.output[0]
    epsilon = next(attribute.f for attribute in node.attribute if attribute.name == "epsilon")
    model.graph.initializer.append(numpy_helper.from_array(np.array(epsilon, np.float32), f"{name}/epsilon"))
    make = helper.make_node
    return [
        *_mean_nodes(x, f"{name}/mean"),
        make("Sub", [x, f"{name}/mean"], [f"{name}/centred"]),
        make("Mul", [f"{name}/centred", f"{name}/centred"], [f"{name}/squared"]),
        *_mean_nodes(f"{name}/squared", f"{name}/variance"),
        make("Add", [f"{name}/variance", f"{name}/epsilon"], [f"{name}/positive"]),
        make("Sqrt", [f"{name}/positive"], [f"{name}/deviation"]),
        make("Reshape", [scale, _PER_CHANNEL], [f"{name}/scale"]),
        make("Reshape", [bias, _PER_CHANNEL], [f"{name}/bias"]),
        make("Div", [f"{name}/scale", f"{name}/deviation"], [f"{name}/factor"]),
        make("Mul", [f"{name}/centred", f"{name}/factor"], [f"{name}/scaled"]),
        make("Add", [f"{name}/scaled", f"{name}/bias"], [name]),
    ]


def _mean_nodes(source: str, target: str) -> list[onnx.NodeProto]:
    names = [source, f"{target}/1", f"{target}/2", target]
    return [
        helper.make_node("ReduceMean", [before], [after], axes=[axis], keepdims=1)
        for before, after, axis in zip(names, names[1:], (4, 3, 2), strict=False)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "overread" / "samples")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    nets = load_nets(arguments.cache)
    for name, (_, edge) in NETS.items():
        path = arguments.out / f"{name}.onnx"
        print(f"exporting {name} ({edge} x {edge} x {edge})", flush=True)
        export(nets[name], edge, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 {digest}")


if __name__ == "__main__":
    main()
