"""Evaluation of the packages on radiographs: the real ones of the samples, and projections of bodies held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import command_line
import evaluation
import torch

from radiographs.pools import Pools
from worker.domain.findings import Conclusion
from worker.domain.volume import Volume

if TYPE_CHECKING:
    import onnxruntime

Figures = dict[str, object]

SEED = 20260401
DRAWN = 80
"""Held-out images with a random exposure, framing and lesions, as in training."""


def on_real(
    package: Path, volumes: Mapping[str, Volume], figures_of: Callable[[Conclusion], Figures]
) -> dict[str, Figures]:
    """Of each radiograph: whether the package refuses it, what the run took, and what the conclusion says."""
    results: dict[str, Figures] = {}
    for name, volume in volumes.items():
        run = evaluation.run_package(package, volume)
        figures: Figures = {"refused": run.refused, "seconds": round(run.seconds, 2), "peak_mb": run.peak_mb}
        results[name] = figures if run.conclusion is None else figures | figures_of(run.conclusion)
    return results


def main(
    package: Path,
    description: str | None,
    real: Callable[[Path], dict[str, Figures]],
    held_out: Callable[[onnxruntime.InferenceSession, Pools], Figures],
) -> None:
    """Measure ``package``: ``real`` is given the folder of samples, ``held_out`` the net and the projections."""
    parser = evaluation.parser_of(package, description)
    command_line.add_projections(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    # Real images first: peak memory is that of the process.
    results: Figures = {"real": real(arguments.cache)}
    results["held_out"] = held_out(evaluation.session(package / "model.onnx"), Pools(arguments.cache, arguments.work))
    evaluation.save(results, arguments.out)
