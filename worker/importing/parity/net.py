"""Weights alone against what they were read from: every output, on a part of a made-up volume.

What must happen before and after such a net nobody has said, so nothing else of the way can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import ConfigurationError, OverreadError
from worker.importing.frameworks import need, quiet
from worker.importing.onnx_export import Shape
from worker.importing.parity.report import NetParity, Parity, require_nets
from worker.importing.parity.synthetic import made_up_values

Answers = Mapping[str, NDArray[Any]]
"""Every output by its name, in the order of the file."""
_USUAL = 64
"""Voxels of an axis that varies."""


def made_up_batch(shape: Shape) -> NDArray[np.float32]:
    """A part of a made-up CT, its soft tissue from 0 to 1: [batch, channel, ...] as a net takes it."""
    count, channels, *sizes = [one if isinstance(one, int) else _USUAL if axis > 1 else 1
                               for axis, one in enumerate(shape)]  # fmt: skip
    items = []
    for seed in range(count):
        solid = (channels, *sizes) if len(sizes) == 2 else sizes
        values = np.clip((made_up_values((solid[0], solid[1], solid[2]), "CT", seed) + 160) / 400, 0, 1)
        items.append(values if len(sizes) == 2 else np.repeat(values[None], channels, axis=0))
    return np.stack(items).astype(np.float32)


def answers_of_torch(net: Any) -> Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]]:
    """What a module of torch says of a batch: each tensor of its answer."""
    (torch,) = need("torch")

    def run(batch: NDArray[np.float32]) -> list[NDArray[Any]]:
        with quiet(), torch.no_grad():
            found = net(torch.from_numpy(batch))
        parts = found.values() if isinstance(found, Mapping) else found if isinstance(found, list | tuple) else [found]
        return [part.numpy() for part in parts]

    return run


def compare_weights(
    framework: str,
    theirs: Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]],
    ours: Callable[[NDArray[np.float32]], Answers],
    *,
    shape: Shape,
    libraries: Sequence[str],
) -> Parity:
    """Compare every output on a part of a made-up volume.

    Raises
    ------
    ConfigurationError
        ``comparison-failed`` when one of them does not run; ``parity-missed`` when they differ.
    """
    batch = made_up_batch(shape)
    try:
        expected, found = list(theirs(batch)), ours(batch)
    except OverreadError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"This net does not run on a made-up image of shape {list(batch.shape)}: "
            f"{' '.join(str(error).split())[:1000] or type(error).__name__}",
            next_step="Export it with the shape of its input, float32, and with one image as its only input.",
            code="comparison-failed",
        ) from error
    if [one.shape for one in expected] != [one.shape for one in found.values()]:
        raise ConfigurationError(
            f"{framework} answers arrays of {[one.shape for one in expected]}, the ONNX file of "
            f"{[one.shape for one in found.values()]}.",
            next_step="Export a net that answers tensors of the same shapes.",
            code="parity-missed",
        )
    nets = [_worst(name, one, other) for one, (name, other) in zip(expected, found.items(), strict=True)]
    versions = {name: version(name) for name in libraries}
    parity = Parity(framework, versions, tuple(nets), case_shape=batch.shape, made_up=True)
    require_nets(parity)
    return parity


def _worst(name: str, expected: NDArray[Any], found: NDArray[Any]) -> NetParity:
    """The channel of an output that differs most."""
    if expected.size == 0:  # a list that is empty for this image
        return NetParity(name, 0, 0.0, 0.0)
    one, other = expected.astype(np.float64), found.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of two that are not finite there is no difference: no number, so not equal
        gaps = np.abs(one - other)
    place = int(np.unravel_index(np.argmax(np.where(np.isnan(gaps), np.inf, gaps)), gaps.shape)[min(1, gaps.ndim - 1)])
    return NetParity(name, place, float(gaps.max()), float(np.abs(one).max()), half=found.dtype == np.float16)
