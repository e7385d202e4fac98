"""Every packaged model on a real sample: seconds, peak memory, and the accuracy on unseen images that its card states.

``python -m benchmarks.models [--json]`` prints the table of docs/models.md. Each model runs in a process of its own,
from the files to checked DICOM objects; the second run is timed, when the weights are warm. Accuracy is that of the
manifest, which each package's ``evaluate.py`` measures anew and the suite compares.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from worker import samples
from worker.domain.result import ResultContext
from worker.inference.entries.description import Metric
from worker.inference.manifest.manifest import Manifest
from worker.inference.packages.package import Package
from worker.pipeline.attempt import Stopwatch
from worker.pipeline.route import plan
from worker.settings import load
from worker.wiring import analysis, reading
from worker.wiring.packages import registry, table_of

SAMPLES = {
    "body-region-ct": "chest-ct",
    "brain-mr-t1": "brain-mr",
    "chest-tilt-cr": "chest-cr",
    "chest-view-cr": "chest-cr",
    "lungs-airways-ct": "chest-ct",
    "lungs-cr": "chest-cr",
    "nodules-chest-ct": "chest-ct-lung1",
}
HEAD = ("family", "package", "state", "data", "unseen images", "accuracy", "s", "processor s", "peak MB")


def family(manifest: Manifest) -> str:
    """What kind of finding the model makes first of all."""
    outputs, flat = manifest.outputs, "patient" not in manifest.reference.spaces
    if outputs.detections:
        return "detection"
    if outputs.segments:
        return "2D segmentation" if flat else "3D segmentation"
    if outputs.quantifications:
        return "regression"
    return "guard, classification" if manifest.package.name == "body-region-ct" else "classification"


def described(package: Package) -> tuple[str, ...]:
    """What the manifest says: family, package, state, training data, evaluation data, accuracy."""
    manifest = package.manifest
    unseen = [one for one in manifest.evaluation if one.unseen]
    said = [_number(metric) for one in unseen for metric in one.metrics]
    return (
        family(manifest),
        f"`{package.identity.name}` {package.identity.version}",
        "experimental" if manifest.package.experimental else "offered",
        manifest.training_data,
        "; ".join(one.data for one in unseen),
        "; ".join(said),
    )


def _number(metric: Metric) -> str:
    text = " ".join(part for part in (metric.name, f"{metric.value:g}", metric.unit) if part)
    span = "" if metric.low is None or metric.high is None else f" ({metric.low:g} to {metric.high:g})"
    return f"{text}{f' of {metric.of}' if metric.of else ''}{span}"


def timed(model: str, sample: str) -> dict[str, object]:
    """Run one model twice on a sample in this process: seconds of the second run, and the peak of the process in MB."""
    folder = samples.fetch(sample, Path(tempfile.gettempdir()) / "overread-bench-samples", lambda _: None)
    settings = load(environ={"OVERREAD_MODELS__EXPERIMENTAL": json.dumps(list(experimental()))})
    reader = reading.reader(settings)
    instances, _ = reading.instances_in(folder)
    series = reader.series(reader.headers(instances))
    _, (planned,) = plan(table_of(settings, model).rules, series, config_digest=settings.result_digest)
    analyser = analysis.analyser(settings)
    context = ResultContext(created_at=datetime.now(UTC), config_digest=settings.result_digest)
    for _ in range(2):  # the second run has the weights and the libraries
        began, worked = time.perf_counter(), time.process_time()
        analyser.analyse(planned.model, planned.evidence, context, Stopwatch())
        seconds, processor_s = time.perf_counter() - began, time.process_time() - worked
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"s": round(seconds, 1), "processor_s": round(processor_s, 1), "peak_mb": peak_mb, "sample": sample}


def experimental() -> Iterator[str]:
    """Names of the packaged models that a site has to ask for."""
    for package in registry(load(environ={})).packages:
        if package.manifest.package.experimental:
            yield package.identity.name


def measure() -> dict[str, dict[str, object]]:
    """Each model in a process of its own."""
    found = {}
    for model, sample in SAMPLES.items():
        command = [sys.executable, "-m", "benchmarks.models", "--one", model, sample]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[model] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(figures: dict[str, dict[str, object]]) -> str:
    """Markdown, by family."""
    packages = {package.identity.name: package for package in registry(load(environ={})).packages}
    rows = []
    for model, one in figures.items():
        texts = described(packages[model])
        rows.append((*texts, f"{one['s']}", f"{one['processor_s']}", f"{one['peak_mb']}"))
    lines = [HEAD, tuple("---" for _ in HEAD), *sorted(rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="figures alone, as one JSON object")
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "SAMPLE"), help="one model, in this process")
    arguments = parser.parse_args()
    if arguments.one:
        sys.stdout.write(json.dumps(timed(*arguments.one)) + "\n")
    else:
        figures = measure()
        sys.stdout.write((json.dumps(figures, indent=1) if arguments.json else table(figures)) + "\n")
