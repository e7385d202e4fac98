"""A package against the MONAI bundle that it was made of: the net, a case, a made-up volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import ConfigurationError, OverreadError
from worker.domain.volume import Volume
from worker.importing import package_folder
from worker.importing.frameworks import need
from worker.importing.labels import labels_of
from worker.importing.monai.bundle import Bundle
from worker.importing.monai.reference_run import label_map, prepared, run_bundle
from worker.importing.monai.transforms import Mapped
from worker.importing.onnx_export import Shape
from worker.importing.parity.cost import measured
from worker.importing.parity.report import NetParity, Parity, compare_labels, compare_scores, difference, worst
from worker.importing.parity.synthetic import made_up_volumes, stand_in, window_of
from worker.importing.ports import Runtime, Said

FRAMEWORK = "MONAI"
_USUAL = 64
"""Voxels per axis of what a net that takes the whole image is tried on."""
_SMALL = (32, 28, 24)
"""Voxels of the made-up volume where no window says how many."""


@dataclass(frozen=True, slots=True)
class Format:
    """What metadata.json says: labels of the output's channels without the background, and the input's key."""

    channels: Mapping[int, str]
    heads: int
    inputs: int
    key: str

    @property
    def structures(self) -> dict[str, tuple[int, ...]]:
        """The number of each segment: from 1 in the order of the channels."""
        return {label: (number,) for number, (_, label) in enumerate(sorted(self.channels.items()), start=1)}


@dataclass(frozen=True, slots=True)
class Work:
    """A bundle that is mapped, with what runs it."""

    bundle: Bundle
    mapped: Mapped
    stated: Format
    shape: Shape
    inference: Mapping[str, Any]
    runtime: Runtime
    said: Said
    scratch: Path


def compare_nets(work: Work, folder: Path) -> Parity:
    """Compare what the net says of one batch of noise in torch and in ONNX Runtime."""
    work.said("comparing the net with torch")
    multiple = work.mapped.multiple
    large = -(-_USUAL // multiple) * multiple
    size = [one if isinstance(one, int) else large if axis > 1 else 1 for axis, one in enumerate(work.shape)]
    batch = np.random.default_rng(0).normal(size=size).astype(np.float32)
    versions = {name: version(name) for name in ("monai", "torch", "onnxruntime")}
    return Parity(FRAMEWORK, versions, tuple(_nets(work, folder, batch)))


def compare_case(work: Work, case: Volume, folder: Path, parity: Parity) -> Parity:
    """The whole way, both with the net itself."""
    work.said("running the package on the case")
    conclusion, package_cost = measured(lambda: work.runtime.conclude(folder, case))
    work.said("running MONAI on the case")
    answer, framework_cost = measured(lambda: run_bundle(work.bundle, work.mapped, case, work.scratch))
    theirs = label_map(answer, work.stated.channels, one_hot=work.mapped.one_hot)
    return replace(
        parity,
        case_shape=case.geometry.shape,
        case_spacing_mm=tuple(round(one, 4) for one in case.geometry.spacing_mm),
        classes=tuple(compare_labels(theirs, labels_of(conclusion), structures=work.stated.structures)),
        framework_cost=framework_cost,
        package_cost=package_cost,
    )


def compare_made_up(
    work: Work,
    modality: str,
    folder: Path,
    parity: Parity,
    package: tuple[Path, Mapping[str, Any], Sequence[Mapping[str, Any]]],
) -> Parity:
    """The net on a part of what it is shown of a made-up volume, and the whole way with a stand-in.

    ``package`` is the folder that is made, its manifest without outputs, and the entries of its segments.
    Raises ConfigurationError (``comparison-failed``) when MONAI's own run fails.
    """
    work.said("comparing both on a made-up volume")
    (case,) = made_up_volumes([modality], **_wished(work))
    try:
        seen = prepared(work.bundle, work.mapped, case, work.scratch)
        net = stand_in(seen, planes=1, heads=work.stated.heads, exclusive=work.mapped.exclusive)
        answer = run_bundle(work.bundle, work.mapped, case, work.scratch, network=net)
        nets = _nets(work, folder, window_of(seen, work.shape[2:])[None])
    except OverreadError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"MONAI's own run of this bundle fails on a made-up volume: {(str(error).splitlines() or [''])[0][:300]}",
            next_step="Try the bundle in MONAI on an image of another size and spacing (monai.bundle run).",
            code="comparison-failed",
        ) from error
    made, manifest, entries = package
    copy = package_folder.stand_in_copy(
        made, work.scratch / f"{made.name}-stand-in", manifest, entries, {"main": (net, work.shape)}
    )
    theirs = label_map(answer, work.stated.channels, one_hot=work.mapped.one_hot)
    ours = labels_of(work.runtime.conclude(copy, case))
    return replace(
        parity,
        nets=worst(parity.nets, nets),
        case_shape=case.geometry.shape,
        case_spacing_mm=tuple(round(one, 4) for one in case.geometry.spacing_mm),
        classes=tuple(compare_labels(theirs, ours, structures=work.stated.structures)),
        framework_cost=None,
        package_cost=None,
        made_up=True,
        prepared_difference=difference(seen, work.runtime.prepared(copy, case)),
    )


def _nets(work: Work, folder: Path, batch: NDArray[np.float32]) -> list[NetParity]:
    (torch,) = need("torch")
    with torch.no_grad():
        framework = work.bundle.network(torch.from_numpy(batch)).numpy()
    if framework.shape[1] != work.stated.heads:
        raise ConfigurationError(
            f"The network has {framework.shape[1]} output channels, metadata.json says {work.stated.heads}.",
            next_step="Correct network_data_format.outputs.pred.",
            code="bundle-incomplete",
        )
    return compare_scores(framework, work.runtime.scores(folder, "main", batch), weights="main")


def _wished(work: Work) -> dict[str, Any]:
    """Axes, spacing and window of what the net is shown."""
    axes, spacing = "RAS", [None, None, None]
    for step in work.mapped.preprocessing:
        axes, spacing = step.get("axes", axes), step.get("spacing_mm", spacing)
    return {"axes": axes, "spacing_mm": spacing, "window": work.inference.get("window", _SMALL)}
