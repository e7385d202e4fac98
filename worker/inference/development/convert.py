"""Variants of a net in fewer bits, with the inputs and outputs that it has. Needs the package ``onnx``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from worker.domain.errors import ConfigurationError
from worker.inference.packages.onnx_file import check_hygiene

Target = Literal["fp16", "int8"]


def converted(content: bytes, target: Target, *, file: str) -> bytes:
    """An ONNX file in another precision.

    "fp16": weights and arithmetic in half precision, float32 at both ends. "int8": weights in 8 bits, activations by
    the range that each has in a run (dynamic quantisation), so that no calibration images are needed.

    Raises
    ------
    ConfigurationError
        ``onnx-missing`` without the package; ``not-converted`` when ONNX Runtime's converter does not take the file;
        and what ``check_hygiene`` raises for what it made.
    """
    try:
        import onnx
    except ImportError as error:
        raise ConfigurationError(
            "Converting needs the package onnx, which a worker does not have.",
            next_step="Install Overread with its export extra: pip install 'overread[export]'.",
            code="onnx-missing",
        ) from error
    check_hygiene(content, file=file)
    try:
        made = _to_fp16(onnx.load_from_string(content)) if target == "fp16" else _to_int8(content)
    except Exception as error:
        # The converters raise whatever they meet: an operator that they do not know, a shape that they cannot infer.
        raise ConfigurationError(
            f"{file} could not be converted to {target} ({type(error).__name__}).",
            next_step="Convert it in the framework that it was trained in, and add it to the manifest as a variant.",
            code="not-converted",
        ) from error
    check_hygiene(made, file=file)
    return made


def _to_fp16(model: object) -> bytes:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    made: bytes = convert_float_to_float16(model, keep_io_types=True).SerializeToString()
    return made


def _to_int8(content: bytes) -> bytes:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(prefix="overread-convert-") as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        before.write_bytes(content)
        quantize_dynamic(str(before), str(after), weight_type=QuantType.QUInt8)
        return after.read_bytes()
