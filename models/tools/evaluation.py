"""Evaluation as all packages do it: the net alone or the whole package as the runtime runs it, and a file of figures.

A package's ``evaluate.py`` says what is its own: the cases, and how answers are judged.
"""

from __future__ import annotations

import json
import resource
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import command_line
import numpy as np
from numpy.typing import NDArray

from worker.domain.errors import OverreadError
from worker.domain.findings import Conclusion
from worker.domain.volume import Volume
from worker.inference.packages.registry import Registry
from worker.inference.run.predictor import PackagePredictor
from worker.inference.runtime.providers import runtime

if TYPE_CHECKING:
    import onnxruntime


@dataclass(frozen=True)
class Run:
    """What a package said of one volume: a conclusion, or the code of the refusal."""

    conclusion: Conclusion | None
    refused: str
    seconds: float
    peak_mb: int
    """Of the process, with everything that it held before."""


def run_package(package: Path, volume: Volume, thresholds: Mapping[str, float] | None = None) -> Run:
    """Load the package of a folder and run it once; ``thresholds`` replace those of its manifest."""
    registry = Registry([package])
    predictor = PackagePredictor(registry, thresholds={package.name: dict(thresholds or {})})
    began = time.perf_counter()
    conclusion, refused = None, ""
    try:
        conclusion = predictor.predict(registry.packages[0].identity, volume)
    except OverreadError as error:
        refused = error.code
    return Run(conclusion, refused, time.perf_counter() - began, peak_mb())


def peak_mb() -> int:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def session(model: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """A net on the processor; ``threads`` of one operator, 0: as many as there are cores."""
    options = runtime().SessionOptions()
    options.intra_op_num_threads = threads
    return runtime().InferenceSession(model, options, providers=["CPUExecutionProvider"])


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits [n, class, ...] to probabilities of the same shape."""
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability: NDArray[np.float32] = exponent / exponent.sum(axis=1, keepdims=True)
    return probability


def parser_of(folder: Path, description: str | None) -> ArgumentParser:
    """The command line of a package's ``evaluate.py``."""
    parser = command_line.parser_of(description, folder / "evaluation.json")
    command_line.add_samples(parser)
    return parser


def save(figures: Mapping[str, object], path: Path) -> None:
    """Write the figures as JSON and print them."""
    text = json.dumps(figures, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
    print(text)
