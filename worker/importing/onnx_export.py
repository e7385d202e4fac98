"""From a torch module to an ONNX file that the worker takes: standard operators, float32, all weights inside."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.importing.frameworks import need, quiet

OPSET = 17
INPUT, OUTPUT = "image", "logits"
Shape = Sequence[int | str]
"""Of a tensor; a word for an axis that varies."""


def export(net: Any, path: Path, *, shape: Shape, multiple: int = 32) -> str:
    """Write ``path`` and return its SHA-256.

    Parameters
    ----------
    net:
        A ``torch.nn.Module`` (or a scripted one): one tensor in, one tensor out.
    path:
        The file to write.
    shape:
        Of the input; a word for an axis that varies. Everything else is fixed as it is traced.
    multiple:
        Of what the axes that vary must be, so that the net can be traced.

    Raises
    ------
    ConfigurationError
        ``not-exportable`` when the exporter of torch does not know an operator of the net.
    """
    torch, onnx = need("torch", "onnx")
    large = -(-32 // multiple) * multiple
    sizes = [size if isinstance(size, int) else large if axis > 1 else 2 for axis, size in enumerate(shape)]
    example = torch.zeros(sizes, dtype=torch.float32)
    free = {axis: size for axis, size in enumerate(shape) if isinstance(size, str)}
    try:
        with quiet(), torch.no_grad():
            torch.onnx.export(
                net.eval(),
                (example,),
                path,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: free, OUTPUT: free} if free else None,
                opset_version=OPSET,
                dynamo=False,
            )
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:
        path.unlink(missing_ok=True)
        raise ConfigurationError(
            f"The net cannot be written as ONNX: {str(error).splitlines()[0][:300]}",
            next_step="Export it with torch.onnx.export in your own environment, then import the ONNX file.",
            code="not-exportable",
        ) from error
    return sha256_of(path)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
