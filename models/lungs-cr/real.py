"""The package as the runtime runs it, on real images: for the evaluations of the radiograph models."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1])]

from worker.domain.errors import OverreadError  # noqa: E402
from worker.domain.findings import Conclusion  # noqa: E402
from worker.domain.study import SeriesInstanceUID, SOPInstanceUID  # noqa: E402
from worker.domain.volume import Geometry, SliceRef, Space, Volume  # noqa: E402
from worker.inference.packages.registry import Registry  # noqa: E402
from worker.inference.run.predictor import PackagePredictor  # noqa: E402
from worker.samples import fetch  # noqa: E402


@dataclass(frozen=True)
class Run:
    """What the package said of one image: a conclusion, or the code of the refusal."""

    conclusion: Conclusion | None
    refused: str
    seconds: float
    peak_mb: int


def radiograph(name: str, cache: Path) -> Volume:
    """A sample of one radiograph, bright where dense, without pixel spacing."""
    (path,) = sorted(fetch(name, cache).glob("*.dcm"))
    one = pydicom.dcmread(path)
    values = one.pixel_array.astype(np.float32)[None]
    if one.PhotometricInterpretation == "MONOCHROME1":
        values = values.max() - values
    # (slice, row, column) to (column, row, slice) in pixels, as the decoder gives it.
    affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
    return Volume(
        voxels=values,
        geometry=Geometry(shape=values.shape, affine_lps=affine),
        slices=(SliceRef(SOPInstanceUID(one.SOPInstanceUID)),),
        modality=one.Modality,
        series_instance_uid=SeriesInstanceUID(one.SeriesInstanceUID),
        frame_of_reference_uid=None,
        space=Space.PIXELS,
    )


def run(package: Path, volume: Volume) -> Run:
    """Load the package, run it once, and say what that took (with everything that the process already held)."""
    registry = Registry([package])
    predictor = PackagePredictor(registry)
    began = time.perf_counter()
    conclusion, refused = None, ""
    try:
        conclusion = predictor.predict(registry.packages[0].identity, volume)
    except OverreadError as error:
        refused = error.code
    seconds = time.perf_counter() - began
    return Run(conclusion, refused, round(seconds, 2), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
