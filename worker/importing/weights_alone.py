"""Weights without a description: TorchScript, ONNX. The manifest is a guided one, to be filled in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.importing.frameworks import need, quiet
from worker.importing.onnx_export import Shape, export


@dataclass(frozen=True, slots=True)
class Tensors:
    """The one input and the first output of an ONNX file: names, and shapes with words for what varies."""

    input_name: str
    input_shape: tuple[int | str, ...]
    output_name: str
    output_shape: tuple[int | str, ...]


def tensors_of(path: Path) -> Tensors:
    """Read them from the file.

    Raises ConfigurationError (``not-onnx``, ``onnx-inputs``) for a file that is none, or one with several inputs.
    """
    (onnx,) = need("onnx")
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception as error:
        raise ConfigurationError(
            f"{path.name} is no ONNX file.", next_step="Name a file that torch.onnx.export wrote.", code="not-onnx"
        ) from error
    constants = {one.name for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in constants]
    if len(inputs) != 1 or not graph.output:
        raise ConfigurationError(
            f"{path.name} has {len(inputs)} inputs; one was expected.",
            next_step="Export the net with one image tensor as its input.",
            code="onnx-inputs",
        )
    return Tensors(inputs[0].name, _shape(inputs[0]), graph.output[0].name, _shape(graph.output[0]))


def script_to_onnx(path: Path, to: Path, *, shape: Shape) -> Any:
    """Write a TorchScript file as ONNX, and return the net of torch.

    Raises ConfigurationError (``checkpoint-unreadable``, ``not-exportable``).
    """
    (torch,) = need("torch")
    try:
        with quiet():
            net = torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        raise ConfigurationError(
            f"{path.name} is no TorchScript file.", next_step="Save it with torch.jit.save.",
            code="checkpoint-unreadable",
        ) from error  # fmt: skip
    export(net, to, shape=shape)
    return net


def guided(manifest: str, tensors: Tensors) -> str:
    """The manifest of a family with the names and shapes of the file in the place of the template's."""
    for key, name, shape in (
        ("input", tensors.input_name, tensors.input_shape),
        ("output", tensors.output_name, tensors.output_shape),
    ):
        sizes = ", ".join(str(one) if isinstance(one, int) else f'"{one}"' for one in shape)
        line = f'{key} = {{ name = "{name}", shape = [{sizes}] }}'
        manifest = re.sub(rf"^{key} = \{{ name = .*$", line.replace("\\", r"\\"), manifest, count=1, flags=re.MULTILINE)
    window = tensors.input_shape[2:]
    if all(isinstance(one, int) for one in window):
        text = f"window = [{', '.join(map(str, window))}]"
        manifest = re.sub(r"^window = \[.*\]$", text, manifest, count=1, flags=re.MULTILINE)
    return manifest


def parse_shape(text: str) -> tuple[int | str, ...]:
    """Read a shape such as ``N,1,96,96,96``. Raises ConfigurationError (``shape-invalid``)."""
    parts = [one.strip() for one in text.split(",")]
    if len(parts) not in (4, 5) or not all(one.isdigit() or one == "N" for one in parts) or "N" in parts[1:]:
        raise ConfigurationError(
            f'"{text}" is no shape of an input.',
            next_step='Write batch, channels and two or three axes: "N,3,224,224" or "1,1,96,96,96".',
            code="shape-invalid",
        )
    return tuple(int(one) if one.isdigit() else one for one in parts)


def _shape(value: Any) -> tuple[int | str, ...]:
    sizes = value.type.tensor_type.shape.dim
    return tuple(
        one.dim_value if one.HasField("dim_value") else (one.dim_param or f"axis{axis}")
        for axis, one in enumerate(sizes)
    )
