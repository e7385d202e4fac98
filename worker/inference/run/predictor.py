"""The predictor: from a volume to a conclusion, by what the model package says."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from worker.domain.errors import ConfigurationError, ModelUnusableError
from worker.domain.findings import Conclusion
from worker.domain.model import Algorithm, ModelIdentity
from worker.domain.volume import Volume
from worker.inference.answers import Answer
from worker.inference.entries.nets import AnyNet, RunNet
from worker.inference.guards.run_checks import check_contract, check_not_constant
from worker.inference.image import Float
from worker.inference.modes import Cascade, Ensemble, LocaliseThenSegment, NnunetCascade
from worker.inference.packages.package import Package
from worker.inference.packages.registry import Registry
from worker.inference.run.conclude import conclude, decide, quality
from worker.inference.run.inputs import Register, assemble, check_further
from worker.inference.runtime.custom_code import CustomModules
from worker.inference.runtime.execution import Execution, Session, providers_of
from worker.inference.runtime.memory import check_answer_memory, check_memory, check_weights_memory
from worker.inference.runtime.session import SessionCache
from worker.inference.steps import CustomOnScores, preprocess
from worker.inference.steps.registration import register_rigidly

log = logging.getLogger(__name__)

OnStage = Callable[[str, float], None]
"""Told the name of each stage and the seconds that it took."""
OnAnswer = Callable[[Answer], None]
"""Told what the inference mode answered, before the postprocessing. What it is told must not be changed."""


class PackagePredictor:
    """Runs installed model packages.

    Parameters
    ----------
    registry:
        The installed packages.
    sessions:
        Where the loaded nets are kept; made with defaults when not given. Nothing is loaded before the first run.
    execution:
        Where nets run and in which precision, instead of ``sessions``.
    memory_limit_bytes:
        A run that is estimated to need more is refused.
    thresholds:
        What a site has moved: model name, threshold name, value. Checked against the manifest's bounds at once.
    on_stage:
        Called after each stage: "guards", "load", "preprocess", "inference", "postprocess", "measure".
    register:
        How inputs of another Frame of Reference are brought onto the reference.
    on_answer:
        Called between the inference and the postprocessing, to compare runs.

    Raises
    ------
    ConfigurationError
        ``threshold-unknown``, ``threshold-out-of-bounds``; what ``Execution.check`` raises.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        sessions: SessionCache | None = None,
        execution: Execution | None = None,
        memory_limit_bytes: int = 8 << 30,
        thresholds: Mapping[str, Mapping[str, float]] | None = None,
        on_stage: OnStage | None = None,
        register: Register = register_rigidly,
        on_answer: OnAnswer | None = None,
    ) -> None:
        self._registry = registry
        self._execution = execution if execution is not None else Execution(sessions)
        self._memory_limit_bytes = memory_limit_bytes
        self._moved = {name: dict(values) for name, values in (thresholds or {}).items()}
        self._on_stage = on_stage
        self._on_answer = on_answer
        self._modules = CustomModules()
        self._register = register
        for package in registry.packages:
            thresholds_of(package, self._moved.get(package.identity.name, {}))
        self._execution.check(
            registry.packages, may_be_broken=lambda name: any(one.may_be(name) for one in registry.broken)
        )

    def inputs(self, model: ModelIdentity) -> tuple[str, ...]:
        """The names of the model's inputs, the reference first; ConfigurationError (``model-missing``)."""
        return tuple(self._registry.pinned(model).manifest.contracts)

    def predict(self, model: ModelIdentity, volume: Volume, *further: Volume) -> Conclusion:
        """Run the model on the volume.

        Parameters
        ----------
        model:
            The package that the job was queued for, pinned by its digest.
        volume:
            Modality values (slice, row, column) on the grid of the source series.
        further:
            Of a model of several inputs the others, in the order of ``inputs`` and each on its own grid.

        Returns
        -------
        Conclusion
            The findings that the manifest lists: segmentation (on the source's grid; structures without a voxel are in
            ``absent``, and the segments that are there are numbered 1, 2, 3 ...), detection, classifications,
            quantifications, heat maps; then statements on the quality of the input.

        Raises
        ------
        NotApplicableError
            A guard refuses the input or the result; the message says what was measured and what is needed. A further
            input does not come onto the reference's grid (``frame-of-reference``, ``registration-failed``,
            ``input-coverage``).
        ConfigurationError
            ``model-missing``, and what loading a session raises.
        TransientError
            What a server raises that is away, failing or not ready.
        PermanentError
            ``inputs-mismatch``, ``memory-limit``, ``output-not-finite``, ``output-constant``, ``inference-failed``,
            ``probability-out-of-range``; ``custom-not-loadable``, ``custom-step-failed``, ``custom-step-answer``.
        """
        package = self._registry.pinned(model)
        manifest = package.manifest
        held = sum(one.voxels.nbytes for one in further)
        check_memory(manifest.hardware, volume.geometry, limit_bytes=self._memory_limit_bytes, further_bytes=held)
        check_weights_memory(self._execution.weights_bytes(package), limit_bytes=self._memory_limit_bytes)
        sessions: dict[AnyNet, Session] = {}
        with self._stage("guards"):
            check_contract(manifest.reference, volume)
            manifest.guards.check_input(volume, lambda: self._loaded(package, manifest.guards.nets(), sessions))
            check_further(manifest, further)
            limits = quality(manifest, volume)
        # Before the pixels are worked on: a net that cannot be loaded is found out at no cost.
        with self._stage("load"):
            run = self._loaded(package, manifest.inference.nets(), sessions)
            code = None if package.custom is None else self._modules.fresh(package.custom)
        with self._stage("preprocess"):
            assembled = assemble(manifest, volume, further, self._register)
            image = preprocess(assembled.image, manifest.preprocessing, code)
        notes, statements = assembled.notes, assembled.statements
        del assembled  # the chain has made its own copy

        mode = manifest.inference
        if not isinstance(mode, Cascade | LocaliseThenSegment | NnunetCascade):  # these make another grid first
            copies = 2 if isinstance(mode, Ensemble) else 1
            check_answer_memory(mode.answer(), image, copies=copies, limit_bytes=self._memory_limit_bytes)

        with self._stage("inference"):
            answer: Answer = mode.run(image, run)
            bounds = image.bounds
            del image
            check_not_constant(answer)
        if self._on_answer is not None:
            self._on_answer(answer)
        moved = thresholds_of(package, self._moved.get(package.identity.name, {}))
        with self._stage("postprocess"):
            for step in manifest.score_steps:
                # The name is used again so that only one copy lives.
                answer = step.apply(answer, code) if isinstance(step, CustomOnScores) else step.apply(answer)
            labels = decide(manifest, answer, volume, moved, code, bounds)
        with self._stage("measure"):
            findings = conclude(manifest, answer, labels, volume, moved)
        algorithm = _algorithm(
            package,
            moved,
            weights=self._execution.parameters(package, sessions),
            provider=providers_of(sessions.values()),
        )
        return Conclusion(algorithm, volume, (*findings, *limits, *statements), notes)

    def warm(self, model: ModelIdentity) -> bool:
        """Load what a model needs, as long as no other model has to go for it; tells whether all of it is there.

        Raises ConfigurationError (``model-missing``, and what loading a session raises).
        """
        return self._execution.warm(self._registry.pinned(model))

    def _loaded(self, package: Package, nets: Iterable[AnyNet], sessions: dict[AnyNet, Session]) -> RunNet:
        """Runs these nets; their sessions are put to those that this prediction has used."""
        try:
            sessions |= {net: self._execution.session(package, net) for net in nets}
        except ConfigurationError as error:
            # Weights that have changed, a provider that is gone: the model is installed, and is waited for.
            raise ModelUnusableError(error.message, next_step=error.next_step, code=error.code) from error
        return runner(sessions)

    def algorithm(self, model: ModelIdentity) -> Algorithm:
        """What results say of the model, also of one that did not run; ConfigurationError (``model-missing``)."""
        package = self._registry.pinned(model)
        moved = thresholds_of(package, self._moved.get(package.identity.name, {}))
        return _algorithm(package, moved, weights=self._execution.parameters(package, {}), provider="")

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        log.debug("inference-stage", extra={"stage": name, "seconds": seconds})
        if self._on_stage is not None:
            self._on_stage(name, seconds)


def runner(nets: Mapping[AnyNet, Session]) -> RunNet:
    """Runs nets that are loaded."""

    def run(net: AnyNet, batch: Float, *, last: bool = True) -> Float:
        return nets[net].run(batch, last=last)

    return run


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


def _algorithm(
    package: Package, thresholds: Mapping[str, float], *, weights: tuple[str, ...], provider: str
) -> Algorithm:
    moved = tuple(f"{name}={value:g}" for name, value in thresholds.items())
    custom = () if package.custom is None else (f"custom steps sha256={package.custom.sha256}",)
    entry = package.manifest.algorithm
    return Algorithm(package.identity, entry.title, entry.manufacturer, (*moved, *weights, *custom), provider)
