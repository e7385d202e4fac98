"""A package's whole chain on a made-up image: what cannot run on any image is found out before the first study.

The image has the modality, the number of slices and the spacing that the contract asks for, and nothing to find in it:
guards are not asked, and what the model concludes is thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import ConfigurationError, NotApplicableError, OverreadError
from worker.domain.study import FrameOfReferenceUID, SeriesInstanceUID, SOPInstanceUID
from worker.domain.volume import Geometry, SliceRef, Space, Volume
from worker.inference.answers import Answer
from worker.inference.entries.contract import Bounds, InputContract
from worker.inference.entries.nets import AnyNet, Net, RunNet
from worker.inference.guards.region_net import NetGuard
from worker.inference.image import Float
from worker.inference.packages.package import Package
from worker.inference.run.conclude import conclude, decide
from worker.inference.run.inputs import assemble
from worker.inference.run.predictor import thresholds_of
from worker.inference.runtime.session import SessionCache
from worker.inference.steps import CustomOnScores, preprocess
from worker.inference.steps.registration import register_rigidly

_SLICES, _ROWS, _COLUMNS = 24, 72, 64
_FLAT = 192
"""Rows and columns of an image that is no stack of slices."""
_PIXEL_MM, _SLICE_MM = 2.0, 3.0
_UID = "2.25.3"


def try_out(package: Package, sessions: SessionCache) -> None:
    """Run everything between the pixels and the findings once.

    A package with custom steps is not tried: its file runs in the process that runs the model, and nowhere else.

    Raises
    ------
    ConfigurationError
        ``net-input-mismatch``, ``net-output-mismatch``: what the chain gives and the net takes, or what it answers and
        the manifest states, have other channels or sizes. What the inference mode raises (``net-grid-mismatch``).
        ``package-not-runnable``: anything else.
    """
    if package.custom is not None:
        return
    manifest = package.manifest
    volume, *further = [_made_up(one, seed) for seed, one in enumerate(manifest.contracts.values())]
    run = _runner(package, sessions)
    try:
        for guard in manifest.guards.input:
            if isinstance(guard, NetGuard):
                with suppress(NotApplicableError):
                    guard.check(volume, run)
        assembled = assemble(manifest, volume, further, register_rigidly)
        image = preprocess(assembled.image, manifest.preprocessing)
        answer: Answer = manifest.inference.run(image, run)
        for step in manifest.score_steps:
            answer = step.apply(answer, None) if isinstance(step, CustomOnScores) else step.apply(answer)
        thresholds = thresholds_of(package, {})
        labels = decide(manifest, answer, volume, thresholds, None, image.bounds)
        conclude(manifest, answer, labels, volume, thresholds)
    except (ConfigurationError, MemoryError):
        raise
    except NotApplicableError:
        return  # it can tell that there is nothing in the image for it
    except OverreadError as error:
        raise _not_runnable(volume, f"({error.code}) {error.message}") from error
    except Exception as error:
        raise _not_runnable(volume, f"{type(error).__name__}: {error}") from error


def _runner(package: Package, sessions: SessionCache) -> RunNet:
    def run(net: AnyNet, batch: Float, *, last: bool = True) -> Float:
        if not _fits(batch.shape, net.input.shape):
            raise ConfigurationError(
                f"The preprocessing gives net {net.weights} an image of {_shown(batch.shape)}; it takes "
                f"{_shown(net.input.shape)}.",
                next_step="Correct the preprocessing, or export the net for the channels and sizes that it gives.",
                code="net-input-mismatch",
            )
        answer = sessions.get(package.weights[net.weights], net).run(batch, last=last)
        if isinstance(net, Net):
            _check_answer(net, batch.shape, answer.shape)
        return answer

    return run


def _check_answer(net: Net, taken: Sequence[int], given: Sequence[int]) -> None:
    """Compare channels and fixed sizes; whether it lies on the grid of its input, the inference mode asks itself."""
    if not _fits(given, net.output.shape) or given[0] != taken[0]:
        raise ConfigurationError(
            f"Net {net.weights} answers {_shown(given)} to an image of {_shown(taken)}; the manifest states "
            f"{_shown(net.output.shape)}.",
            next_step="Correct the output in the manifest, or export the net anew.",
            code="net-output-mismatch",
        )


def _fits(found: Sequence[int], stated: Sequence[int | str]) -> bool:
    return len(found) == len(stated) and all(
        isinstance(says, str) or has == says for has, says in zip(found, stated, strict=True)
    )


def _shown(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _not_runnable(volume: Volume, why: str) -> ConfigurationError:
    shape = " x ".join(map(str, volume.geometry.shape))
    return ConfigurationError(
        f"The package does not run on a made-up {volume.modality} image of {shape} voxels: {why}",
        next_step="Compare the steps, the net and the outputs of the manifest with what the net was trained on.",
        code="package-not-runnable",
    )


def _made_up(contract: InputContract, seed: int) -> Volume:
    """An axial image as a contract wants it: air around a body of several values; all inputs lie on one grid."""
    space = Space(contract.spaces[0])
    flat = space is not Space.PATIENT
    slices = int(_within(contract.slices, 1 if flat else _SLICES))
    shape = (slices, _FLAT, _FLAT) if flat else (slices, _ROWS, _COLUMNS)
    spacing = (1.0 if flat else _within(contract.slice_spacing_mm, _SLICE_MM), *[1.0 if flat else _PIXEL_MM] * 2)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * np.asarray(spacing)
    return Volume(
        voxels=_voxels(shape, contract.modalities[0], seed),
        geometry=Geometry(shape=shape, affine_lps=affine.astype(np.float64)),
        slices=tuple(SliceRef(SOPInstanceUID(f"{_UID}.{seed + 1}.{k + 1}")) for k in range(slices)),
        modality=contract.modalities[0],
        series_instance_uid=SeriesInstanceUID(f"{_UID}.{seed + 1}"),
        frame_of_reference_uid=None if flat else FrameOfReferenceUID(f"{_UID}.0"),
        space=space,
    )


def _within(bounds: Bounds | None, wished: float) -> float:
    if bounds is None:
        return wished
    lowest = wished if bounds.minimum is None else max(wished, bounds.minimum)
    return lowest if bounds.maximum is None else min(lowest, bounds.maximum)


def _voxels(shape: tuple[int, int, int], modality: str, seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    k, i, j = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")
    body = (k / 1.2) ** 2 + (i / 0.85) ** 2 + (j / 0.8) ** 2 < 1
    hollow = (k / 0.9) ** 2 + (i / 0.5) ** 2 + ((np.abs(j) - 0.35) / 0.25) ** 2 < 1
    solid = k**2 + ((i - 0.55) / 0.2) ** 2 + (j / 0.2) ** 2 < 1
    share = np.where(solid, 0.9, np.where(hollow, 0.1, 0.55)) + rng.normal(0, 0.01, shape)
    low, high = (-1000.0, 1000.0) if modality == "CT" else (0.0, 1000.0)
    return np.where(body, low + share * (high - low), low).astype(np.float32)
