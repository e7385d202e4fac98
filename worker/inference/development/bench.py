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
from typing import Protocol, get_args

from worker.domain.errors import ConfigurationError, OverreadError
from worker.domain.model import ModelIdentity
from worker.domain.volume import Volume
from worker.inference.answers import Answer
from worker.inference.development.differences import Differences, Said, differences, said_of
from worker.inference.packages.package import Package
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.providers import CPU, runtime
from worker.inference.runtime.variants import precisions
from worker.settings.execution import Precision, Provider

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
class Run:
    """What comes back from the process of one measurement."""

    provider_used: str
    weights: tuple[str, ...]
    times: Times
    peak_mb: int
    said: Said


class NewPredictor(Protocol):
    """Makes a predictor that tells how long its stages take, and what the net answered."""

    def __call__(
        self, *, on_stage: Callable[[str, float], None], on_answer: Callable[[Answer], None]
    ) -> PackagePredictor:
        """Make it. Nothing is loaded before its first run."""


def settings_of(package: Package, wanted: Sequence[str], asked: Sequence[str], *, served: bool) -> list[Setting]:
    """Every precision (or those ``wanted``) on every provider of this machine (or those ``asked``).

    The first is the reference: what runs when a site chooses nothing, on the CPU. ``served``: a server is
    configured for the model.
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
    if served:
        here.append(REMOTE)
    providers = list(asked) or sorted(here, key=lambda name: name != CPU)
    first = Setting(offered[0], CPU)
    return list(dict.fromkeys((first, *(Setting(one, provider) for provider in providers for one in chosen))))


def bench(
    todo: Sequence[Setting], measure: Callable[[Setting], Run], *, say: Callable[[str], None]
) -> Iterator[Measured]:
    """Measure one setting after another; the first is what the others are compared with.

    Raises what the first one raises; a later one that fails is a line with its reason.
    """
    reference: Said | None = None
    for setting in todo:
        say(f"{setting.precision} on {setting.provider}")
        try:
            run = measure(setting)
        except OverreadError as error:
            if reference is None:
                raise
            yield Measured(setting, error=f"({error.code}) {error}")
            continue
        found = None if reference is None else differences(reference, run.said)
        reference = reference if reference is not None else run.said
        yield Measured(setting, run.provider_used, run.weights, run.times, run.peak_mb, found)


def apart(measure: Callable[[], Run]) -> Run:
    """Run a measurement in a process of its own (it is pickled); raises ConfigurationError with what it raised."""
    # Not by fork: ONNX Runtime's threads would be missing in the child.
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            answer = pool.submit(in_words, measure).result()
        except BrokenProcessPool as error:
            raise ConfigurationError(
                "The process of this measurement died: the memory may have run out, or the provider's library failed.",
                next_step="Look for its last words above.",
                code="bench-process-died",
            ) from error
    if isinstance(answer, Run):
        return answer
    raise ConfigurationError(answer[1], next_step=answer[2], code=answer[0])


def in_words(measure: Callable[[], Run]) -> Run | tuple[str, str, str]:
    """In the process of its own. An error goes back as code, message and next step: not all can be pickled."""
    try:
        return measure()
    except OverreadError as error:
        return error.code, error.message, error.next_step


def timed(new_predictor: NewPredictor, model: ModelIdentity, volumes: Sequence[Volume], *, repeat: int) -> Run:
    """Run the model once, and then ``repeat`` times: of the times after the first the median counts."""
    stages: dict[str, float] = {}
    answers: list[Answer] = []
    predictor = new_predictor(
        on_stage=lambda name, seconds: stages.update({name: seconds}),
        on_answer=lambda answer: answers.append(_kept(answer)),
    )
    seconds, inference, load_s = [], [], 0.0
    for index in range(repeat + 1):
        answers.clear()
        began = time.perf_counter()
        conclusion = predictor.predict(model, *volumes)
        seconds.append(time.perf_counter() - began)
        inference.append(stages["inference"])
        load_s = load_s if index else stages["load"]
    later, later_inference = (values[1:] or values for values in (seconds, inference))
    times = Times(load_s, seconds[0], statistics.median(later), statistics.median(later_inference))
    algorithm = conclusion.algorithm
    weights = tuple(text for text in algorithm.parameters if " weights sha256=" in text)
    return Run(algorithm.provider, weights, times, _peak_mb(), said_of(conclusion, answers[0]))


def _kept(answer: Answer) -> Answer:
    """A copy: the postprocessing may work in the answer's own memory."""
    return copy.deepcopy(answer)


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
