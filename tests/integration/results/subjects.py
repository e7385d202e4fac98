"""Sample studies, and on each of them every kind of finding at a known place: for validators and for viewers.

A new kind of image is a line in ``SUBJECTS``, a new kind of finding a line in ``everything``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests import builders, picture_builders
from tests.unit.results import given, reported
from tests.unit.results.display import pictured
from worker.decode.series.headers import HeaderReader
from worker.decode.series.volumes import VolumeReader
from worker.domain.codes import MILLIMETRE, Code
from worker.domain.findings import Conclusion, Detection, Measurement, Region, Segmentation
from worker.domain.profile import Profile
from worker.domain.regions import Box, Circle, Ellipse, Line, Point, Polygon, Shape
from worker.domain.result import EncodedObject, GateReport
from worker.domain.volume import Volume
from worker.gate.result_gate import ResultGate
from worker.results.encoder import DicomEncoder
from worker.samples import SAMPLES, fetch

Labels = NDArray[np.uint8]

RATIO = Measurement(Code("59076-0", "LN", "Cardiothoracic Area Ratio"), 0.31, pictured.NO_UNITS)
"""For images that have no volume, or no lengths."""


def a_study_of(paths: Sequence[Path]) -> given.Study:
    """Files of one series, read as the pipeline reads them."""
    evidence = builders.stored_instances(tuple(paths))
    reader = HeaderReader()
    (series,) = reader.series(reader.headers(evidence))
    return given.Study(tuple(paths), evidence, VolumeReader().volume(series))


def chest_ct(folder: Path, samples: Path) -> given.Study:
    """Twelve real slices through the middle of the chest."""
    del folder

    def height(path: Path) -> float:
        return float(dcmread(path, stop_before_pixels=True).ImagePositionPatient[2])

    return a_study_of(sorted(fetch("chest-ct", samples).glob("*.dcm"), key=height)[60:72])


def brain_mr(folder: Path, samples: Path) -> given.Study:
    """The whole real series, 26 slices; its licence allows pictures of it in the documents."""
    del folder
    return a_study_of(sorted(fetch("brain-mr-4mm", samples).glob("*.dcm")))


def chest_cr(folder: Path, samples: Path) -> given.Study:
    """A real radiograph: MONOCHROME1, without a pixel spacing that could be true."""
    del folder
    return a_study_of(sorted(fetch("chest-cr", samples).glob("*.dcm")))


def heart_us(folder: Path, samples: Path) -> given.Study:
    """A real echocardiogram: 120 frames in colour, compressed with loss."""
    del folder
    return a_study_of(sorted(fetch("heart-us", samples).glob("*.dcm")))


def radiograph(folder: Path, samples: Path) -> given.Study:
    """A digital radiograph with oblong pixels of a stated size."""
    del samples
    ds = picture_builders.a_radiograph(rows=240, columns=200, imager_spacing_mm=(0.2, 0.25))
    return a_study_of([builders.write(ds, folder / "dx.dcm")])


def angiogram(folder: Path, samples: Path) -> given.Study:
    """A cine run with a stated pixel spacing."""
    del samples
    values = picture_builders.a_picture(rows=128, columns=160, frames=5, bits=8)
    return a_study_of([builders.write(picture_builders.an_angiogram(values=values), folder / "xa.dcm")])


def enhanced_ct(folder: Path, samples: Path) -> given.Study:
    """Real slices as one multi-frame object, whose frames are not in the order of their planes."""
    return _enhanced(builders.an_enhanced_ct, "hu", chest_ct(folder, samples), folder)


def enhanced_mr(folder: Path, samples: Path) -> given.Study:
    """The same of an MR."""
    return _enhanced(builders.an_enhanced_mr, "values", brain_mr(folder, samples), folder)


def _enhanced(make: Callable[..., Dataset], values: str, real: given.Study, folder: Path) -> given.Study:
    voxels = real.volume.voxels[middle(real.volume) - 2 : middle(real.volume) + 3, ::2, ::2].clip(-1024, None)
    _, row_mm, column_mm = real.volume.geometry.spacing_mm
    slices, rows, columns = voxels.shape
    ds = make(
        **{values: voxels}, slices=slices, rows=rows, columns=columns, spacing_mm=(2.5, 2 * row_mm, 2 * column_mm),
        frame_order=[3, 1, 0, 4, 2],
    )  # fmt: skip
    return a_study_of([builders.write(ds, folder / "enhanced.dcm")])


def of_sample(name: str) -> Callable[[Path, Path], given.Study]:
    """Up to twelve slices through the middle of a real sample."""

    def make(folder: Path, samples: Path) -> given.Study:
        del folder

        def place(path: Path) -> float:
            ds = dcmread(path, stop_before_pixels=True)
            if "ImagePositionPatient" not in ds:
                return float(ds.InstanceNumber)
            return float(np.dot(ds.ImagePositionPatient, builders.normal_of(ds.ImageOrientationPatient)))

        paths = sorted(fetch(name, samples).glob("*.dcm"), key=place)
        first = max(0, len(paths) // 2 - 6)
        return a_study_of(paths[first : first + 12])

    return make


def mammogram(folder: Path, samples: Path) -> given.Study:
    """A mammogram with a stated pixel spacing and laterality."""
    del samples
    values = picture_builders.a_picture(rows=240, columns=200)
    return a_study_of([builders.write(picture_builders.a_mammogram(values=values), folder / "mg.dcm")])


SUBJECTS: dict[str, Callable[[Path, Path], given.Study]] = {
    "CT": chest_ct,
    "MR": brain_mr,
    "Enhanced CT": enhanced_ct,
    "Enhanced MR": enhanced_mr,
    "CR": chest_cr,
    "DX": radiograph,
    "XA cine": angiogram,
    "US cine": heart_us,
}
"""Name of a sample study to what makes it: given a folder for its files and the cache of the real samples."""

MORE_SUBJECTS: dict[str, Callable[[Path, Path], given.Study]] = {
    "MG": mammogram,
    **{
        name: of_sample(name)
        for name in sorted(SAMPLES.keys() - {"chest-ct", "brain-mr-4mm", "chest-cr", "heart-us", "chest-ct-jpeg2000"})
    },
}
"""The other sample studies: the same kinds of images from other places.

Not chest-ct-jpeg2000: its files name neither a patient nor their SOP class, and so no result is made of them.
"""


def middle(volume: Volume) -> int:
    """The slice that shows most."""
    return len(volume.slices) // 2


def masks(volume: Volume) -> Labels:
    """A hook and a wedge, which no flip or turn maps onto each other; both largest on the middle slice."""
    slices, rows, columns = volume.geometry.shape
    labels = np.zeros((slices, rows, columns), np.uint8)
    near = range(max(0, middle(volume) - 2), min(slices, middle(volume) + 3))
    i, j = np.indices((rows, columns)) / np.array([rows, columns]).reshape(2, 1, 1)
    for index in near:
        less = 0.02 * abs(index - middle(volume))
        hook = (i > 0.25) & (i < 0.5 - less) & (j > 0.2) & (j < 0.45 - less) & ~((i > 0.38) & (j > 0.32))
        wedge = (i > 0.6) & (j < 0.85 - less) & (i - 0.6 < (j - 0.6) * 0.8)
        labels[index][hook] = 1
        labels[index][wedge] = 2
    return labels


def shapes(volume: Volume) -> dict[str, Shape]:
    """One of each shape, apart from each other."""
    _, rows, columns = volume.geometry.shape

    def at(i: float, j: float) -> tuple[float, float]:
        return (float(np.floor(rows * i)), float(np.floor(columns * j)))

    half = float(np.floor(min(rows, columns) * 0.06))
    row, column = at(0.8, 0.7)
    return {
        "box": Box(at(0.12, 0.3), at(0.2, 0.42)),
        "polygon": Polygon(np.array([at(0.15, 0.55), at(0.3, 0.6), at(0.2, 0.75)])),
        "circle": Circle(at(0.6, 0.25), half),
        "ellipse": Ellipse(
            ((row, column - 1.5 * half), (row, column + 1.5 * half)), ((row - half, column), (row + half, column))
        ),
        "point": Point(at(0.4, 0.7)),
        "line": Line(np.array([at(0.72, 0.4), at(0.88, 0.5)])),
    }


def regions(volume: Volume) -> tuple[Region, ...]:
    """A region of each shape, one on each slice from the middle on where there are as many."""
    found = []
    for number, (name, shape) in enumerate(shapes(volume).items()):
        index = (middle(volume) + number) % len(volume.slices) if volume.in_patient_space else middle(volume)
        measured: tuple[Measurement, ...] = ()
        if volume.has_spacing and name in {"circle", "ellipse"}:
            measured = (Measurement(reported.DIAMETER, 12.25, MILLIMETRE),)
        found.append(
            reported.a_region(
                name, shape, index, probability=0.9 - number / 10, site=given.LUNG, laterality=given.RIGHT,
                measurements=measured,
            )
        )  # fmt: skip
    return tuple(found)


def segments_only(study: given.Study, labels: Labels | None = None) -> Conclusion:
    """Two structures with their volumes; nothing else."""
    return given.a_conclusion(study.volume, masks(study.volume) if labels is None else labels)


def heat_map_only(study: given.Study) -> Conclusion:
    return replace(segments_only(study), findings=(pictured.a_heat_map(study.volume, at=(0.5, 0.3, 0.65)),))


def regions_only(study: given.Study, *names: str) -> Conclusion:
    """The regions of these shapes (all when none is named), all on the slice that shows most."""
    chosen = [
        replace(one, slice_index=middle(study.volume))
        for name, one in zip(shapes(study.volume), regions(study.volume), strict=True)
        if not names or name in names
    ]
    return replace(segments_only(study), findings=(Detection(tuple(chosen)),))


def statements_only(study: given.Study) -> Conclusion:
    """What has no place: present, absent, undecided, a number, drafts, and what limits it."""
    amount = reported.AMOUNT if study.volume.in_patient_space else replace(reported.AMOUNT, measurements=(RATIO,))
    said = (
        reported.PRESENT, reported.ABSENT, reported.UNSURE, amount, reported.FINDINGS, reported.IMPRESSIONS,
        reported.QUALITY,
    )  # fmt: skip
    here = tuple(replace(one, key_slices=(0,)) if getattr(one, "key_slices", ()) else one for one in said)
    return replace(segments_only(study), findings=here, notes=("few slices",))


def everything(study: given.Study) -> Conclusion:
    """Every kind of finding."""
    segmented = segments_only(study).findings[0]
    assert isinstance(segmented, Segmentation)
    findings = (
        replace(segmented, absent=("Trachea",)),
        Detection(regions(study.volume), absent=("Mass",)),
        *statements_only(study).findings,
        *heat_map_only(study).findings,
    )
    return replace(segments_only(study), findings=findings)


def encoded(study: given.Study, conclusion: Conclusion, profile: Profile) -> tuple[EncodedObject, ...]:
    return DicomEncoder(standard=profile).encode(conclusion, study.evidence, given.CONTEXT)


def gated(objects: Sequence[EncodedObject], study: given.Study, conclusion: Conclusion, profile: Profile) -> GateReport:
    return ResultGate(standard=profile).check(objects, conclusion, study.evidence, given.CONTEXT)
