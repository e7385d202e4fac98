"""What Overread adds around the model's own time, on the real chest CT.

Peers in the same run: SimpleITK's series reader for decoding, and ONNX Runtime alone for the model's own time.

``python -m benchmarks.pipeline [--repeat 3]`` prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import SimpleITK as sitk  # noqa: N813

from worker import samples
from worker.domain.result import ResultContext
from worker.pipeline.attempt import Stopwatch
from worker.pipeline.route import plan
from worker.settings import load
from worker.wiring import analysis, packages, reading


def _simpleitk_seconds(folder: Path) -> float:
    began = time.perf_counter()
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    sitk.GetArrayFromImage(reader.Execute())
    return time.perf_counter() - began


def measure(*, repeat: int, sample: str = "chest-ct") -> dict[str, object]:
    """Analyse the sample ``repeat`` times with a warm session; medians in seconds, and ratios."""
    cache = Path(tempfile.gettempdir()) / "overread-bench-samples"
    folder = samples.fetch(sample, cache)
    settings = load(environ={})
    reader = reading.reader(settings)
    instances, _ = reading.instances_in(folder)
    series = reader.series(reader.headers(instances))
    _, (planned,) = plan(packages.bound_rules(settings), series, config_digest=settings.result_digest)
    analyser = analysis.analyser(settings)
    context = ResultContext(created_at=datetime.now(UTC), config_digest=settings.result_digest)
    stages: dict[str, list[float]] = {}
    peer: list[float] = []
    for number in range(repeat + 1):
        watch = Stopwatch()
        analyser.analyse(planned.model, planned.evidence, context, watch)
        peer_s = _simpleitk_seconds(folder)
        if number == 0:
            continue  # the first run loads the weights and the libraries
        peer.append(peer_s)
        for stage in watch.stages:
            stages.setdefault(stage.stage, []).append(stage.seconds)
    median = {name: statistics.median(values) for name, values in stages.items()}
    total = sum(median.values())
    return {
        "sample": sample,
        "model": str(planned.model),
        "repeat": repeat,
        "median_s": {name: round(value, 3) for name, value in median.items()},
        "simpleitk_read_s": round(statistics.median(peer), 3),
        "headers_and_decode_over_simpleitk": round((median["headers"] + median["decode"]) / statistics.median(peer), 2),
        "everything_over_inference": round(total / median["inference"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    sys.stdout.write(json.dumps(measure(repeat=parser.parse_args().repeat), indent=1) + "\n")


if __name__ == "__main__":
    main()
