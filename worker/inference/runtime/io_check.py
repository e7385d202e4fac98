"""A net's file against what the manifest says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from worker.domain.errors import ConfigurationError
from worker.inference.entries.nets import AnyNet, ListTensor, OutputTensor, Tensor

_TYPES = {
    "float32": "tensor(float)",
    "float16": "tensor(float16)",
    "int64": "tensor(int64)",
    "int32": "tensor(int32)",
}


class FileTensor(Protocol):
    """What ONNX Runtime tells of an input or output. A dimension is a size, a name, or None."""

    @property
    def name(self) -> str:
        """Name of the input or output in the file."""

    @property
    def type(self) -> str:
        """Its type, such as tensor(float)."""

    @property
    def shape(self) -> Sequence[int | str | None]:
        """Its dimensions; a name or None where one is free."""


def check_tensors(net: AnyNet, *, inputs: Sequence[FileTensor], outputs: Sequence[FileTensor], file: str) -> None:
    """Compare names, types, ranks and sizes.

    Raises ConfigurationError (``net-input-mismatch``, ``net-output-mismatch``) that says what the manifest states and
    what the file has.
    """
    others = [tensor.name for tensor in inputs if tensor.name != net.input.name]
    _check(net.input, inputs, what="input", file=file)
    if others:
        raise _mismatch("input", file, f"it needs further inputs that the manifest does not fill: {', '.join(others)}")
    for output in net.outputs:
        _check(output, outputs, what="output", file=file)


def _check(stated: Tensor | OutputTensor | ListTensor, tensors: Sequence[FileTensor], *, what: str, file: str) -> None:
    named = {tensor.name: tensor for tensor in tensors}
    if stated.name not in named:
        has = ", ".join(f'"{name}"' for name in named)
        raise _mismatch(what, file, f'the manifest names {what} "{stated.name}", the file has {has}')
    found = named[stated.name]
    lists = isinstance(stated, ListTensor)  # how long a list can be is the file's own affair
    if found.type != _TYPES[stated.dtype]:
        raise _mismatch(
            what, file, f'{what} "{stated.name}" is {stated.dtype} in the manifest, {found.type} in the file'
        )
    if len(found.shape) != len(stated.shape) or not all(
        _agree(has, says) or (lists and isinstance(says, str))
        for has, says in zip(found.shape, stated.shape, strict=True)
    ):
        raise _mismatch(
            what,
            file,
            f'{what} "{stated.name}" is {_shown(stated.shape)} in the manifest, {_shown(found.shape)} in the file',
        )


def _agree(has: int | str | None, says: int | str) -> bool:
    """A size that the manifest states may vary in the file, but not the other way round."""
    return not isinstance(has, int) or has == says


def _shown(shape: Sequence[int | str | None]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def _mismatch(what: str, file: str, detail: str) -> ConfigurationError:
    return ConfigurationError(
        f"{file} does not fit its manifest: {detail}.",
        next_step="Correct the net in the manifest, or export the model with these names and shapes.",
        code="net-input-mismatch" if what == "input" else "net-output-mismatch",
    )
