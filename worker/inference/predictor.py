"""The predictor: from a volume to a conclusion, by what the model package says."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from worker.domain.errors import ConfigurationError, NotApplicableError, PermanentError
from worker.domain.findings import Conclusion, Segment, Segmentation
from worker.domain.model import Algorithm, ModelIdentity
from worker.domain.volume import Volume
from worker.inference.guards import check_values
from worker.inference.measurements import MEASUREMENTS, volumes_ml
from worker.inference.memory import check_memory
from worker.inference.nets import Net
from worker.inference.package import Package
from worker.inference.registry import Registry
from worker.inference.session import SessionCache
from worker.inference.steps import preprocess
from worker.inference.steps.decide import Labels
from worker.inference.steps.image import Float, Image, Scores

log = logging.getLogger(__name__)

OnStage = Callable[[str, float], None]
"""Told the name of each stage and the seconds that it took."""


class PackagePredictor:
    """Runs installed model packages.

    Parameters
    ----------
    registry:
        The installed packages.
    sessions:
        Where the loaded nets are kept; made with defaults when not given. Nothing is loaded before the first run.
    memory_limit_bytes:
        A run that is estimated to need more is refused.
    thresholds:
        What a site has moved: model name, threshold name, value. Checked against the manifest's bounds at once.
    on_stage:
        Called after each stage: "guards", "preprocess", "load", "inference", "postprocess", "measure".

    Raises
    ------
    ConfigurationError
        ``threshold-unknown``, ``threshold-out-of-bounds``.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        sessions: SessionCache | None = None,
        memory_limit_bytes: int = 8 << 30,
        thresholds: Mapping[str, Mapping[str, float]] | None = None,
        on_stage: OnStage | None = None,
    ) -> None:
        self._registry = registry
        self._sessions = sessions or SessionCache()
        self._memory_limit_bytes = memory_limit_bytes
        self._moved = {name: dict(values) for name, values in (thresholds or {}).items()}
        self._on_stage = on_stage
        for package in registry.packages:
            thresholds_of(package, self._moved.get(package.identity.name, {}))

    def predict(self, model: ModelIdentity, volume: Volume) -> Conclusion:
        """Run the model on the volume.

        Parameters
        ----------
        model:
            The package that the job was queued for, pinned by its digest.
        volume:
            Modality values (slice, row, column) on the grid of the source series.

        Returns
        -------
        Conclusion
            One segmentation on the source's grid. Structures without a voxel are in ``absent``, and the segments that
            are there are numbered 1, 2, 3 ...

        Raises
        ------
        NotApplicableError
            A guard refuses the input or the result; the message says what was measured and what is needed.
        ConfigurationError
            ``model-missing``, and what loading a session raises.
        PermanentError
            ``memory-limit``, ``output-not-finite``, ``output-constant``, ``inference-failed``.
        """
        package = self._registry.pinned(model)
        manifest = package.manifest
        check_memory(manifest.hardware, volume.geometry, limit_bytes=self._memory_limit_bytes)
        with self._stage("guards"):
            _check_contract(package, volume)
            for guard in manifest.guards.input:
                guard.check(volume)
        # Before the pixels are worked on: a net that cannot be loaded is found out at no cost.
        with self._stage("load"):
            nets = {net: self._sessions.get(package.weights[net.weights], net) for net in manifest.inference.nets()}
        with self._stage("preprocess"):
            image = preprocess(Image(volume.voxels[None], volume.geometry), manifest.preprocessing)

        def run(net: Net, batch: Float, *, last: bool = True) -> Float:
            return nets[net].run(batch, last=last)

        with self._stage("inference"):
            scores = manifest.inference.run(image, run)
            del image
            _check_not_constant(scores)
        moved = thresholds_of(package, self._moved.get(package.identity.name, {}))
        with self._stage("postprocess"):
            for step in manifest.score_steps:
                scores = step.apply(scores)  # the name is used again so that only one copy lives
            labels = _labels(package, scores, volume, moved)
            del scores
        with self._stage("measure"):
            segmentation = _segmentation(package, labels, volume)
        provider = nets[manifest.inference.answer()].provider
        return Conclusion(_algorithm(package, moved, provider), volume, (segmentation,))

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        log.debug("inference-stage", extra={"stage": name, "seconds": seconds})
        if self._on_stage is not None:
            self._on_stage(name, seconds)


def thresholds_of(package: Package, moved: Mapping[str, float]) -> dict[str, float]:
    """The thresholds in force: the manifest's, or a site's within the manifest's bounds.

    Raises ConfigurationError (``threshold-unknown``, ``threshold-out-of-bounds``).
    """
    known = {threshold.name: threshold for threshold in package.manifest.thresholds}
    for name, value in moved.items():
        if name not in known:
            raise ConfigurationError(
                f'Model {package.identity} has no threshold "{name}"; it has {", ".join(known) or "none"}.',
                next_step="Correct the name in the configuration.",
                code="threshold-unknown",
            )
        if not known[name].minimum <= value <= known[name].maximum:
            raise ConfigurationError(
                f'Threshold "{name}" of model {package.identity} is {value:g}; its maker allows '
                f"{known[name].minimum:g} to {known[name].maximum:g}.",
                next_step="Choose a value within these bounds.",
                code="threshold-out-of-bounds",
            )
    return {name: moved.get(name, threshold.default) for name, threshold in known.items()}


def _check_contract(package: Package, volume: Volume) -> None:
    """What routing has asked of the headers, asked of the pixels' own geometry."""
    contract = package.manifest.input
    if volume.modality != contract.modality:
        raise NotApplicableError(
            f"Modality is {volume.modality}; the model is for {contract.modality}.", code="modality"
        )
    count = volume.geometry.shape[0]
    if not contract.slices.hold(count):
        raise NotApplicableError(f"The volume has {count} slices; expected {contract.slices}.", code="slice-count")
    spacing = volume.geometry.spacing_mm[0]
    if not contract.slice_spacing_mm.hold(round(spacing, 3)):
        raise NotApplicableError(
            f"The slices are {spacing:.2f} mm apart; expected {contract.slice_spacing_mm}.", code="slice-spacing"
        )
    check_values(volume.voxels)


def _check_not_constant(scores: Scores) -> None:
    spread = [float(channel.max()) - float(channel.min()) for channel in scores.values]
    if max(spread) == 0.0:
        raise PermanentError(
            "The net's output is the same everywhere: it did not react to the image.",
            next_step="No result is made. Compare the preprocessing chain with what the net was trained on.",
            code="output-constant",
        )


def _labels(package: Package, scores: Scores, volume: Volume, thresholds: Mapping[str, float]) -> Labels:
    manifest = package.manifest
    numbers = {segment.channel: segment.number for segment in manifest.outputs.segments}
    labels = manifest.decision.labels(scores, volume.geometry, numbers=numbers, thresholds=thresholds)
    for mask_step in manifest.mask_steps:
        labels = mask_step.apply(labels, volume.geometry)
    return labels


def _segmentation(package: Package, labels: Labels, volume: Volume) -> Segmentation:
    entries = package.manifest.outputs.segments
    millilitres = volumes_ml(labels, volume.geometry, highest=len(entries))
    by_label = {entry.label: ml for entry, ml in zip(entries, millilitres, strict=True)}
    for guard in package.manifest.guards.result:
        guard.check(by_label)
    segments: list[Segment] = []
    renumbered = np.zeros(len(entries) + 1, dtype=labels.dtype)
    for entry in entries:
        if by_label[entry.label] == 0:
            continue
        number = len(segments) + 1
        renumbered[entry.number] = number
        segments.append(
            Segment(
                number=number,
                label=entry.label,
                category=entry.category.to_domain(),
                type=entry.type.to_domain(),
                colour_rgb=entry.colour_rgb,
                measurements=tuple(MEASUREMENTS[name](by_label[entry.label]) for name in entry.measurements),
                tracking_identifier=entry.tracking_identifier,
                laterality=None if entry.laterality is None else entry.laterality.to_domain(),
            )
        )
    absent = tuple(entry.label for entry in entries if by_label[entry.label] == 0)
    return Segmentation(renumbered[labels] if absent else labels, tuple(segments), absent)


def _algorithm(package: Package, thresholds: Mapping[str, float], provider: str) -> Algorithm:
    parameters = [f"{name}={value:g}" for name, value in thresholds.items()]
    parameters += [f"{name} weights sha256={weights.sha256}" for name, weights in package.weights.items()]
    entry = package.manifest.algorithm
    return Algorithm(package.identity, entry.title, entry.manufacturer, tuple(parameters), provider)
