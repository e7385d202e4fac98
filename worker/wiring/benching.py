"""One model on one image in every precision and on every provider: seconds, memory, and how far the results are apart.

Each measurement has a process of its own, so that its memory is its own and the first run is really the first.
"""

from __future__ import annotations

import copy
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from worker.decode.series.volumes import VolumeReader
from worker.domain.errors import ConfigurationError, NotApplicableError, OverreadError
from worker.domain.volume import Volume
from worker.inference.answers import Answer
from worker.inference.development.differences import Differences, Said, differences, said_of
from worker.inference.packages.package import Package
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.providers import CPU, runtime
from worker.inference.runtime.variants import precisions
from worker.pipeline.route import BoundRule, plan
from worker.settings import Settings
from worker.settings.execution import Precision, Provider
from worker.wiring import offline
from worker.wiring.execution import execution

REMOTE = "triton"
"""In place of a provider: the server that is configured for the model."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured: one precision on one provider."""

    precision: Precision
    provider: str


@dataclass(frozen=True, slots=True)
class Times:
    """``first_s`` is the whole first run, with the loading; ``run_s`` the median of the runs after it."""

    load_s: float
    first_s: float
    run_s: float
    inference_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table. ``provider_used`` did the work; ``error`` is why there is no measurement.

    ``peak_mb`` is the highest resident memory of the process, images and libraries included. ``differences`` are those
    to the first line, None for that line itself.
    """

    setting: Setting
    provider_used: str = ""
    weights: tuple[str, ...] = ()
    times: Times | None = None
    peak_mb: int = 0
    differences: Differences | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What comes back from the process of one measurement."""

    provider_used: str
    weights: tuple[str, ...]
    times: Times
    peak_mb: int
    said: Said


def settings_of(package: Package, settings: Settings, wanted: Sequence[str], asked: Sequence[str]) -> list[Setting]:
    """Every precision (or those ``wanted``) on every provider of this machine (or those ``asked``).

    The first is the reference: what runs when a site chooses nothing, on the CPU.
    """
    offered = precisions(package)
    chosen = [one for one in offered if not wanted or one in wanted]
    unknown = sorted(set(wanted) - set(offered))
    if unknown:
        raise ConfigurationError(
            f"Model {package.identity} has no {unknown[0]} weights; it has {', '.join(offered)}.",
            next_step="Choose one of these.",
            code="precision-not-offered",
        )
    known = get_args(Provider)
    strange = sorted(set(asked) - {*known, REMOTE})
    if strange:
        raise ConfigurationError(
            f"There is no provider {strange[0]}; known are {', '.join((*known, REMOTE))}.", code="provider-missing"
        )
    here = [name for name in runtime().get_available_providers() if name in known]
    if any(entry.model == package.identity.name for entry in settings.triton):
        here.append(REMOTE)
    providers = list(asked) or sorted(here, key=lambda name: name != CPU)
    first = Setting(offered[0], CPU)
    return list(dict.fromkeys((first, *(Setting(one, provider) for provider in providers for one in chosen))))


def bench(
    package: Package,
    settings: Settings,
    case: Path,
    todo: Sequence[Setting],
    *,
    repeat: int,
    say: Callable[[str], None],
) -> Iterator[Measured]:
    """Measure one setting after another; the first is what the others are compared with.

    Raises what the first one raises; a later one that fails is a line with its reason.
    """
    reference: Said | None = None
    for setting in todo:
        say(f"{setting.precision} on {setting.provider}")
        try:
            run = _apart(_configured(settings, package, setting), case, repeat)
        except OverreadError as error:
            if reference is None:
                raise
            yield Measured(setting, error=f"({error.code}) {error}")
            continue
        found = None if reference is None else differences(reference, run.said)
        reference = reference if reference is not None else run.said
        yield Measured(setting, run.provider_used, run.weights, run.times, run.peak_mb, found)


def _configured(settings: Settings, package: Package, setting: Setting) -> Settings:
    """The site's settings, with this model in this precision there, and no other model."""
    name = package.identity.name
    remote = setting.provider == REMOTE
    providers = settings.inference.providers if remote else (setting.provider,)
    changes = {
        "inference": settings.inference.model_copy(update={"providers": providers, "allow_fallback": False}),
        "models": settings.models.model_copy(
            update={
                "folders": (package.folder,),
                "packaged": False,
                "precision": {name: setting.precision},
                "thresholds": {key: value for key, value in settings.models.thresholds.items() if key == name},
            }
        ),
        "triton": tuple(entry for entry in settings.triton if remote and entry.model == name),
    }
    return settings.model_copy(update=changes)


def _apart(settings: Settings, case: Path, repeat: int) -> _Run:
    # Not by fork: ONNX Runtime's threads would be missing in the child.
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            answer = pool.submit(_measure, settings, case, repeat).result()
        except BrokenProcessPool as error:
            raise ConfigurationError(
                "The process of this measurement died: the memory may have run out, or the provider's library failed.",
                next_step="Look for its last words above.",
                code="bench-process-died",
            ) from error
    if isinstance(answer, _Run):
        return answer
    raise ConfigurationError(answer[1], next_step=answer[2], code=answer[0])


def _measure(settings: Settings, case: Path, repeat: int) -> _Run | tuple[str, str, str]:
    """In the process of its own. An error goes back as code, message and next step: not all can be pickled."""
    try:
        return _measured(settings, case, repeat)
    except OverreadError as error:
        return error.code, error.message, error.next_step


def _measured(settings: Settings, case: Path, repeat: int) -> _Run:
    installed = offline.registry(settings)
    if installed.broken:
        raise installed.broken[0].error
    (package,) = installed.packages
    volumes = _volumes(settings, package, case)
    stages: dict[str, float] = {}
    answers: list[Answer] = []
    predictor = PackagePredictor(
        installed,
        execution=execution(settings),
        memory_limit_bytes=offline.memory_limit_bytes(settings),
        thresholds=settings.models.thresholds,
        on_stage=lambda name, seconds: stages.update({name: seconds}),
        on_answer=lambda answer: answers.append(_kept(answer)),
    )
    seconds, inference, load_s = [], [], 0.0
    for index in range(repeat + 1):
        answers.clear()
        began = time.perf_counter()
        conclusion = predictor.predict(package.identity, *volumes)
        seconds.append(time.perf_counter() - began)
        inference.append(stages["inference"])
        load_s = load_s if index else stages["load"]
    later, later_inference = (values[1:] or values for values in (seconds, inference))
    times = Times(load_s, seconds[0], statistics.median(later), statistics.median(later_inference))
    algorithm = conclusion.algorithm
    weights = tuple(text for text in algorithm.parameters if " weights sha256=" in text)
    return _Run(algorithm.provider, weights, times, _peak_mb(), said_of(conclusion, answers[0]))


def _kept(answer: Answer) -> Answer:
    """A copy: the postprocessing may work in the answer's own memory."""
    return copy.deepcopy(answer)


def _volumes(settings: Settings, package: Package, case: Path) -> tuple[Volume, ...]:
    """The series of the case that the model would be given: one for each of its inputs, in their order.

    Raises NotApplicableError (``no-model-applies``) when there is none.
    """
    reader = offline.reader(settings)
    instances, _ = offline.instances_in(case)
    rule = BoundRule(package.to_rule(), package.identity)
    for study in sorted({one.header.study_instance_uid for one in instances}):
        own = [one for one in instances if one.header.study_instance_uid == study]
        _, planned = plan((rule,), reader.series(reader.headers(own)), config_digest=settings.result_digest)
        if planned:
            evidence = planned[0].evidence
            found = {one.series_instance_uid: one for one in reader.series(reader.headers(evidence))}
            volumes = VolumeReader(memory_budget_bytes=offline.memory_limit_bytes(settings))
            order = dict.fromkeys(one.header.series_instance_uid for one in evidence)
            return tuple(volumes.volume(found[uid]) for uid in order)
    raise NotApplicableError(
        f"Model {package.identity} applies to no series of the {len(instances)} instances in {case.name}.",
        next_step="Name another folder with --case; `overread explain --files` shows the reasons.",
        code="no-model-applies",
    )


def golden_sample(package: Package) -> str:
    """The sample study that the package names for its own check. Raises ConfigurationError (``no-golden-case``)."""
    try:
        golden = json.loads((package.folder / "golden" / "expected.json").read_text(encoding="utf-8"))
        cases = golden.get("cases")
        if cases is None:
            return str(next(iter(golden)))
        return str(next(case["sample"] for case in cases if case.get("outcome") != "refused"))
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise ConfigurationError(
            f"Model {package.identity} names no sample study of its own.",
            next_step="Name a folder of DICOM images with --case.",
            code="no-golden-case",
        ) from error


def _peak_mb() -> int:
    """Highest resident memory of this process so far, in MiB (VmHWM; getrusage would count the parent's, too)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) >> 10
    return 0


__all__ = ["REMOTE", "Measured", "Setting", "Times", "bench", "golden_sample", "settings_of"]
