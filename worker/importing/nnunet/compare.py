"""A package against the nnU-Net that it was made of: the nets, a case, a made-up volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import ConfigurationError, NotApplicableError, OverreadError
from worker.domain.volume import Geometry, Volume
from worker.importing import package_folder
from worker.importing.frameworks import need
from worker.importing.labels import labels_of
from worker.importing.nnunet.folder import TrainedModel
from worker.importing.nnunet.manifest import input_shape
from worker.importing.nnunet.reference_run import by_segment, nnunet_labels, prepared
from worker.importing.parity.cost import measured
from worker.importing.parity.itk_images import to_itk
from worker.importing.parity.report import NetParity, Parity, compare_labels, compare_scores, difference, worst
from worker.importing.parity.synthetic import made_up_volumes, stand_in, window_of
from worker.importing.ports import Runtime, Said

FRAMEWORK = "nnU-Net v2"
_HALF_DICE = 0.99
"""nnU-Net sums windows and mirrored answers in half precision, and a stand-in is as often undecided as it is sure."""
_DEEP = 16
"""Slices of the made-up volume across which a net of two axes does not look."""


@dataclass(frozen=True, slots=True)
class Work:
    """A model and the package that is made of it: ``names`` are the weights of each stage's folds."""

    model: TrainedModel
    names: Sequence[Sequence[str]]
    folder: Path
    manifest: Mapping[str, Any]
    entries: Sequence[Mapping[str, Any]]
    modality: Sequence[str]
    runtime: Runtime
    said: Said
    scratch: Path

    @property
    def structures(self) -> dict[str, tuple[int, ...]]:
        """The numbers that are part of each: from 1 in the order of the channels, and those that lie in it."""
        model = self.model
        numbers = {channel: number for number, channel in enumerate(sorted(model.channels), start=1)}
        return {
            model.channels[channel]: (number, *(numbers[one] for one in model.inner.get(channel, ())))
            for channel, number in numbers.items()
        }

    def runnable(self) -> Path:
        """The package with provisional codes."""
        copy = self.scratch / self.folder.name
        if copy.exists():
            return copy
        return package_folder.provisional_copy(self.folder, copy, self.manifest, self.entries)


def check_case(model: TrainedModel, case: Sequence[Volume]) -> None:
    """Raise ConfigurationError (``case-inputs``) or NotApplicableError (``grids-differ``, ``sheared``)."""
    if len(case) != len(model.inputs):
        raise ConfigurationError(
            f"The model takes {len(model.inputs)} images ({', '.join(model.inputs)}), the case has {len(case)}.",
            next_step="Give --case once for each, in this order.",
            code="case-inputs",
        )
    if any(not _same_grid(one.geometry, case[0].geometry) for one in case[1:]):
        raise NotApplicableError(
            "The images of this case lie on different grids: nnU-Net cannot read them together.",
            next_step="Bring them onto one grid first, as for the training.",
            code="grids-differ",
        )
    to_itk(case[0])


def compare_nets(work: Work) -> Parity:
    """Compare what the nets of every stage say of one batch of noise in torch and in ONNX Runtime."""
    found = []
    for stage, members in zip(work.model.stages, work.names, strict=True):
        batch = np.random.default_rng(0).normal(size=(1, stage.planes, *stage.patch)).astype(np.float32)
        found += _nets(work, stage, members, batch)
    return Parity(FRAMEWORK, {name: version(name) for name in ("nnunetv2", "torch", "onnxruntime")}, tuple(found))


def compare_case(work: Work, case: Sequence[Volume], parity: Parity) -> Parity:
    """The whole way, both with the nets themselves."""
    need("nnunetv2.inference.predict_from_raw_data")  # loaded before the clock runs
    work.said("running the package on the case")
    conclusion, package_cost = measured(lambda: work.runtime.conclude(work.runnable(), *case))
    work.said("running nnU-Net on the case")
    found, framework_cost = measured(lambda: nnunet_labels(work.model, case, work.scratch))
    theirs = by_segment(work.model, found)
    return replace(
        parity,
        case_shape=case[0].geometry.shape,
        case_spacing_mm=tuple(round(one, 4) for one in case[0].geometry.spacing_mm),
        classes=tuple(compare_labels(theirs, labels_of(conclusion), structures=work.structures)),
        framework_cost=framework_cost,
        package_cost=package_cost,
    )


def compare_made_up(work: Work, parity: Parity) -> Parity:
    """The nets on a part of what they are shown of made-up volumes, and the whole way with stand-ins.

    Raises ConfigurationError (``comparison-failed``) when nnU-Net's own run fails.
    """
    work.said("comparing both on a made-up volume")
    model = work.model
    flat = len(model.patch) == 2
    case = made_up_volumes(
        work.modality, axes=model.axes, spacing_mm=["keep", *model.spacing_mm] if flat else model.spacing_mm,
        window=[_DEEP, *model.patch] if flat else model.patch,
    )  # fmt: skip
    try:
        seen = [prepared(stage, case, work.scratch) for stage in model.stages]
        acting = _acting(model, seen)
        theirs = by_segment(model, nnunet_labels(acting, case, work.scratch))
    except OverreadError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"nnU-Net's own run of this model fails on a made-up volume: {(str(error).splitlines() or [''])[0][:300]}",
            next_step="Try the model in nnU-Net on an image of another size and spacing (nnUNetv2_predict).",
            code="comparison-failed",
        ) from error
    nets = []
    for stage, members, values in zip(model.stages, work.names, seen, strict=True):
        nets += _nets(work, stage, members, _window(stage, values))
    copy = package_folder.stand_in_copy(
        work.folder, work.scratch / "stand-in", work.manifest, work.entries, _named(work, acting)
    )
    ours = labels_of(work.runtime.conclude(copy, *case))
    return replace(
        parity,
        nets=worst(parity.nets, nets),
        case_shape=case[0].geometry.shape,
        case_spacing_mm=tuple(round(one, 4) for one in case[0].geometry.spacing_mm),
        classes=tuple(compare_labels(theirs, ours, structures=work.structures)),
        framework_cost=None,
        package_cost=None,
        made_up=True,
        target_dice=_HALF_DICE,
        prepared_difference=difference(seen[-1], work.runtime.prepared(copy, *case)),
    )


def _acting(model: TrainedModel, seen: Sequence[NDArray[np.float32]]) -> TrainedModel:
    """The model with stand-ins in the place of its nets: each fold another one, so that their mean counts."""
    values = seen[-1]
    pieces = values.reshape(len(values), -1, values.shape[-1]) if len(model.patch) == 2 else values
    net = stand_in(pieces, planes=model.planes, heads=model.heads, exclusive=not model.has_regions)
    parameters = []
    for fold in range(len(model.folds)):
        state = {key: value.clone() for key, value in net.state_dict().items()}
        state["weight"] *= 1 + 0.05 * fold
        parameters.append(state)
    before = None if model.previous is None else _acting(model.previous, seen[:-1])
    return replace(model, network=net, parameters=tuple(parameters), previous=before)


def _named(work: Work, acting: TrainedModel) -> dict[str, tuple[Any, Sequence[int | str]]]:
    """The stand-ins by the ids of the weights, with the shapes of their inputs."""
    found: dict[str, tuple[Any, Sequence[int | str]]] = {}
    for stage, members in zip(acting.stages, work.names, strict=True):
        for name, parameters in zip(members, stage.parameters, strict=True):
            net = deepcopy(stage.network)
            net.load_state_dict(parameters)
            found[name] = (net, input_shape(stage))
    return found


def _nets(work: Work, stage: TrainedModel, members: Sequence[str], batch: NDArray[np.float32]) -> list[NetParity]:
    (torch,) = need("torch")
    found = []
    for name, parameters in zip(members, stage.parameters, strict=True):
        work.said(f"comparing {name} with torch")
        stage.network.load_state_dict(parameters)
        with torch.no_grad():
            framework = stage.network(torch.from_numpy(batch)).numpy()
        found += compare_scores(framework, work.runtime.scores(work.runnable(), name, batch), weights=name)
    return found


def _window(stage: TrainedModel, seen: NDArray[np.float32]) -> NDArray[np.float32]:
    """The middle of what a stage is shown, and of a cascade masks with about every second voxel."""
    image = seen[:, seen.shape[1] // 2] if len(stage.patch) == 2 else seen
    piece = window_of(image, stage.patch)
    masks = np.random.default_rng(1).integers(0, 2, size=(len(stage.shown), *stage.patch)).astype(np.float32)
    return np.concatenate([piece, masks])[None]


def _same_grid(one: Geometry, other: Geometry) -> bool:
    return one.shape == other.shape and np.allclose(one.affine_lps, other.affine_lps, atol=1e-3)
