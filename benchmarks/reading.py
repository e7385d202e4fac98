"""How long the headers and the volume of a large series take: an Enhanced CT of thousands of frames, and single slices.

Peers in the same run, in turn with ours: highdicom, which reads both to a volume in patient coordinates, and pydicom's
``dcmread`` and ``pixel_array`` with the position of each slice, which check nothing.

``python -m benchmarks.reading [--frames 2000] [--slices 600] [--repeat 7]`` prints one JSON object: medians in seconds,
and ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import dcmread

from tests import builders
from worker.decode.series.headers import HeaderReader
from worker.decode.series.volumes import VolumeReader
from worker.domain.study import StoredInstance

Run = Callable[[], object]


def _pydicom_frames(path: Path) -> object:
    ds = dcmread(path)
    groups = ds.PerFrameFunctionalGroupsSequence
    return ds.pixel_array, [group.PlanePositionSequence[0].ImagePositionPatient for group in groups]


def _pydicom_slices(paths: Sequence[Path]) -> object:
    images = [dcmread(path) for path in paths]
    images.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    return np.stack([ds.pixel_array for ds in images])


def _highdicom_slices(paths: Sequence[Path]) -> object:
    return hd.get_volume_from_series([dcmread(path) for path in paths])


def _ours(instances: Sequence[StoredInstance], seconds: dict[str, list[float]]) -> None:
    reader = HeaderReader()
    began = time.perf_counter()
    (series,) = reader.series(reader.headers(instances))
    told = time.perf_counter()
    VolumeReader().volume(series)
    seconds.setdefault("headers", []).append(told - began)
    seconds.setdefault("volume", []).append(time.perf_counter() - told)


def _figures(paths: Sequence[Path], peers: dict[str, Run], *, repeat: int) -> dict[str, object]:
    instances = builders.stored_instances(paths)
    seconds: dict[str, list[float]] = {}
    for _ in range(repeat):
        _ours(instances, seconds)
        for name, run in peers.items():
            began = time.perf_counter()
            run()
            seconds.setdefault(name, []).append(time.perf_counter() - began)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    ours = median["headers"] + median["volume"]
    return {
        "median_s": {name: round(value, 3) for name, value in median.items()},
        **{f"headers_and_volume_over_{name}": round(ours / median[name], 2) for name in peers},
    }


def measure(*, frames: int, slices: int, repeat: int) -> dict[str, object]:
    """Read made-up series of 128 x 128 pixels ``repeat`` times each."""
    with tempfile.TemporaryDirectory(prefix="overread-bench-") as name:
        work = Path(name)
        enhanced = builders.write(
            builders.an_enhanced_ct(slices=frames, rows=128, columns=128, spacing_mm=(0.5, 0.8, 0.7)),
            work / "enhanced.dcm",
        )
        single = builders.a_ct_series(work / "series", slices=slices, rows=128, columns=128)
        return {
            "repeat": repeat,
            f"enhanced_ct_of_{frames}_frames": _figures(
                [enhanced],
                {
                    "highdicom": lambda: hd.imread(enhanced).get_volume(),
                    "pydicom": lambda: _pydicom_frames(enhanced),
                },
                repeat=repeat,
            ),
            f"ct_of_{slices}_slices": _figures(
                single,
                {"highdicom": lambda: _highdicom_slices(single), "pydicom": lambda: _pydicom_slices(single)},
                repeat=repeat,
            ),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--repeat", type=int, default=7)
    chosen = parser.parse_args()
    figures = measure(frames=chosen.frames, slices=chosen.slices, repeat=chosen.repeat)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
