"""Weights without a description: TorchScript, ONNX. The manifest is a guided one, to be filled in."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.importing.frameworks import need, quiet
from worker.importing.onnx_export import Shape, export
from worker.importing.package_folder import MANIFEST
from worker.importing.toml import inline

_TYPES = {1: "float32", 10: "float16"}
"""TensorProto.DataType of the images and maps that a manifest can state."""
_LARGEST_BYTES = (1 << 31) - (1 << 20)
"""A protocol buffer cannot be larger than 2 GiB."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Name, type and shape of an input or output of an ONNX file, with words for what varies."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Tensors:
    """The one input and the output that is used of an ONNX file; no output where the family takes several."""

    input: Tensor
    output: Tensor | None


def tensors_of(path: Path, *, output: str = "", several: bool = False) -> Tensors:
    """Read them from the file. ``output`` names the one that is used; ``several``: lists of boxes, all of them.

    Raises ConfigurationError (``not-onnx``, ``onnx-inputs``, ``onnx-outputs``, ``onnx-types``) for a file that is none,
    one with several inputs, one with several outputs of which none is named, or with other numbers than floats.
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
    taken = _tensor(inputs[0], path)
    names = [one.name for one in graph.output]
    if several and not output:
        return Tensors(taken, None)
    if (output and output not in names) or (not output and len(names) > 1):
        shown = ", ".join(f'"{name}"' for name in names)
        raise ConfigurationError(
            f'{path.name} has no output "{output}", but {shown}.'
            if output
            else f"{path.name} has {len(names)} outputs, and which of them is the answer is not said: {shown}.",
            next_step="Name the one that is used with --output, or export the net with that output alone.",
            code="onnx-outputs",
        )
    chosen = next(one for one in graph.output if one.name == (output or names[0]))
    return Tensors(taken, _tensor(chosen, path))


def one_file(
    path: Path, to: Path, *, elsewhere: Collection[str], largest_bytes: int = _LARGEST_BYTES
) -> tuple[Path, ...]:
    """Copy an ONNX file with all its tensors: those of other files are merged into it where one file can hold them.

    ``elsewhere`` are the names of these files, as the ONNX file has them; without any it is copied as it is. Returns
    the files beside ``to`` that hold tensors of it, to be pinned in the manifest: none, or all of a net of
    ``largest_bytes`` and more.

    Raises ConfigurationError (``external-data``).
    """
    if not elsewhere:
        shutil.copyfile(path, to)
        return ()
    (onnx,) = need("onnx")
    beside = tuple(to.with_name(Path(name).name) for name in sorted(elsewhere))
    try:
        # Of the files: protobuf cannot even say how large a message above 2 GiB is.
        size_bytes = path.stat().st_size + sum((path.parent / name).stat().st_size for name in elsewhere)
        if size_bytes < largest_bytes:
            onnx.save_model(onnx.load(str(path)), str(to))
            return ()
    except Exception as error:
        raise _not_taken(path, elsewhere, "cannot be read") from error
    # The names stand in the ONNX file: these files keep theirs.
    if any(name not in {one.name for one in beside} - {to.name, MANIFEST} for name in elsewhere):
        raise _not_taken(path, elsewhere, "do not lie beside it, or have a name that is taken in a package")
    shutil.copyfile(path, to)
    for one in beside:
        shutil.copyfile(path.with_name(one.name), one)
    return beside


def _not_taken(path: Path, elsewhere: Collection[str], why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The tensors that {path.name} keeps in other files {why}: {', '.join(sorted(elsewhere))}.",
        next_step=f"Put these files beside {path.name}, as the export has written them.",
        code="external-data",
    )


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


def guided(manifest: str, tensors: Tensors, *, external: Mapping[str, str] | None = None) -> str:
    """The manifest of a family with the names, types and shapes of the file in the place of the template's.

    ``external`` are the files that hold tensors beside the ONNX file, with their SHA-256.
    """
    for key, tensor in (("input", tensors.input), ("output", tensors.output)):
        if tensor is not None:
            manifest = _put(rf"^{key} = \{{ name = .*$", f"{key} = {inline(_stated(tensor))}", manifest)
    window = tensors.input.shape[2:]
    if all(isinstance(one, int) for one in window):
        manifest = _put(r"^window = \[.*\]$", f"window = {inline(list(window))}", manifest)
    if external:
        pinned = [{"file": file, "sha256": digest} for file, digest in external.items()]
        manifest = _put(r'^(sha256 = "[0-9a-f]{64}")$', f"\\1\nexternal = {inline(pinned)}", manifest, plain=False)
    return manifest


def _put(pattern: str, line: str, manifest: str, *, plain: bool = True) -> str:
    new = line.replace("\\", r"\\") if plain else line
    return re.sub(pattern, new, manifest, count=1, flags=re.MULTILINE)


def _stated(tensor: Tensor) -> dict[str, Any]:
    dtype = {} if tensor.dtype == "float32" else {"dtype": tensor.dtype}
    return {"name": tensor.name, **dtype, "shape": list(tensor.shape)}


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


def _tensor(value: Any, path: Path) -> Tensor:
    kind = value.type.tensor_type.elem_type
    if kind not in _TYPES:
        (onnx,) = need("onnx")
        name = onnx.TensorProto.DataType.Name(kind).lower()
        raise ConfigurationError(
            f'{path.name}: "{value.name}" holds numbers of type {name}; expected float32 or float16.',
            next_step="Export the net so that it takes and gives floating-point numbers (a Cast in front or behind).",
            code="onnx-types",
        )
    sizes = value.type.tensor_type.shape.dim
    shape = tuple(
        one.dim_value if one.HasField("dim_value") else (one.dim_param or f"axis{axis}")
        for axis, one in enumerate(sizes)
    )
    return Tensor(value.name, _TYPES[kind], shape)
