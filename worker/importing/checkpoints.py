"""Checkpoints of torch, read without running what may be in them."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.importing.frameworks import need

_NUMBERS = ("Float64", "Float32", "Float16", "Int64", "Int32", "Bool")


def load_checkpoint(path: Path, *, trust: bool) -> Any:
    """What ``torch.save`` wrote, on the CPU.

    Only tensors, containers, and plain numbers of numpy (nnU-Net logs them) are unpickled. A checkpoint that needs
    other classes could run any code while it is read: only with ``trust``.

    Raises
    ------
    ConfigurationError
        ``weights-missing``; ``checkpoint-needs-trust`` with the class that it asks for; ``checkpoint-unreadable``.
    """
    torch, numpy = need("torch", "numpy")
    if not path.is_file():
        raise ConfigurationError(f"There is no {path}.", next_step="Name the file of weights.", code="weights-missing")
    scalar = numpy._core.multiarray.scalar  # noqa: SLF001  what numpy pickles a number by; it builds nothing else
    kinds = [getattr(numpy.dtypes, f"{name}DType") for name in _NUMBERS]
    plain = [scalar, (scalar, "numpy.core.multiarray.scalar"), numpy.dtype, *kinds]
    try:
        with torch.serialization.safe_globals(plain):
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if not trust:
            wanted = next((line for line in str(error).splitlines() if "GLOBAL" in line), "classes of its own").strip()
            raise ConfigurationError(
                f"{path.name} is more than weights: {wanted}",
                next_step="Reading it could run any code. Say --trust if you trust its maker, or ask for a state dict.",
                code="checkpoint-needs-trust",
            ) from error
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        raise _unreadable(path) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path.name} cannot be read as a checkpoint of torch.",
        next_step="Copy it again, or save it again with torch.save.",
        code="checkpoint-unreadable",
    )
