"""Independent programs that judge result objects: dicom3tools, DCMTK, dcmqi, highdicom, PixelMed.

Each function returns the complaints of one program; ``said_by`` functions return errors and warnings as they are.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813 - its own documentation calls it so
from numpy.typing import NDArray

from tests.integration.results import known, pixelmed

FALSE_POSITIVES = tuple(one.pattern for one in known.ERRORS if one.validator == "dciodvfy" and not one.kinds)


@dataclass(frozen=True)
class Said:
    """What a validator said of a file, word by word."""

    errors: list[str]
    warnings: list[str]


def program(name: str) -> str:
    """From the environment of this Python, else from the path."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed (pip install overread[test]; DCMTK from the distribution)"
    return found


def run(*command: str | Path, timeout_s: float = 300) -> tuple[int, str]:
    done = subprocess.run(
        [program(str(command[0])), *map(str, command[1:])],
        capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def complaints(output: str, pattern: str) -> list[str]:
    lines = [line.strip() for line in output.splitlines() if re.search(pattern, line)]
    return [line for line in lines if not any(re.search(pattern, line) for pattern in FALSE_POSITIVES)]


def dciodvfy(path: Path) -> list[str]:
    """Information object definition: modules, attributes, value representations."""
    status, output = run("dciodvfy", path)
    return complaints(output, "^Error") or (["unreadable"] if status > 1 else [])


def dcentvfy(paths: Sequence[Path], *, about: Sequence[Path]) -> list[str]:
    """Entities of a study: the same patient and study everywhere, no dangling reference in the files ``about``."""
    _, output = run("dcentvfy", *paths)
    return [line for line in complaints(output, "^Error") if any(str(path) in line for path in about)]


def dsrdump(path: Path) -> list[str]:
    """Value types and relationships of an SR."""
    status, output = run("dsrdump", "+Pl", path)
    return complaints(output, "^E: ") or ([f"exit {status}"] if status else [])


def lines_of(output: str, begin: str) -> list[str]:
    return [line.strip() for line in output.splitlines() if re.match(begin, line)]


def said_by_dciodvfy(path: Path) -> Said:
    """Information object definition: modules, attributes, value representations (dicom3tools)."""
    status, output = run("dciodvfy", path)
    return Said(lines_of(output, "Error") or (["unreadable"] if status > 1 else []), lines_of(output, "Warning"))


def said_by_dcentvfy(path: Path, others: Sequence[Path]) -> Said:
    """Entities over all files of a study (dicom3tools); ``others`` are the images and the results sent with it."""
    return Said(dcentvfy([path, *others], about=[path]), [])


def said_by_dsrdump(path: Path) -> Said:
    """Value types and relationships of a structured report (DCMTK)."""
    status, output = run("dsrdump", "+Pl", path)
    return Said(lines_of(output, "E: ") or ([f"exit {status}"] if status else []), lines_of(output, "W: "))


def said_by_dcm2json(path: Path) -> Said:
    """Every element can be read and written in another form (DCMTK)."""
    status, output = run("dcm2json", path, "/dev/null")
    return Said(lines_of(output, "E: ") or ([f"exit {status}"] if status else []), lines_of(output, "W: "))


def said_by_dcmpschk(path: Path) -> Said:
    """Presentation states (DCMTK)."""
    _, output = run("dcmpschk", path)
    heard = [
        line for line in lines_of(output, "[EW]: ") if not re.match(r"W: (Testing: |Test (passed|failed)|$)", line)
    ]
    return Said(heard if heard or "Test passed." in output else ["it neither passed nor failed"], [])


def said_by_dcmp2pgm(path: Path, images: Sequence[Path], folder: Path) -> Said:
    """The images that a presentation state names can be rendered under it (DCMTK).

    It reads a copy with a name, where the patient has none: DCMTK takes that for an error (see ``known``).
    """
    errors, warnings = [], []
    state = pydicom.dcmread(path)
    named = {
        str(image.ReferencedSOPInstanceUID)
        for series in state.ReferencedSeriesSequence
        for image in series.ReferencedImageSequence
    }
    state.PatientName = state.PatientName or "Nobody"
    state.save_as(folder / "state.dcm")
    for source in images:
        ds = pydicom.dcmread(source)
        if str(ds.SOPInstanceUID) not in named:
            continue
        named.remove(str(ds.SOPInstanceUID))
        if ds.file_meta.TransferSyntaxUID.is_compressed:
            ds.decompress()
        ds.save_as(folder / "source.dcm")
        status, output = run("dcmp2pgm", "-p", folder / "state.dcm", folder / "source.dcm", folder / "rendered.pgm")
        errors += lines_of(output, "[EF]: ") or ([f"exit {status}"] if status else [])
        warnings += lines_of(output, "W: ")
    return Said([*errors, *(f"names {uid}, which is not there" for uid in named)], warnings)


def said_by_paramap2itkimage(path: Path, folder: Path) -> Said:
    """A parametric map as a volume in the patient (dcmqi).

    It reads a copy with a frame anatomy (PS3.3 C.7.6.16.2.8, which a map need not have): version 1.5.7 ends with a
    segmentation fault on maps without one.
    """
    ds = pydicom.dcmread(path)
    anatomy, region = pydicom.Dataset(), pydicom.Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "39607008", "SCT", "Lung"
    anatomy.FrameLaterality, anatomy.AnatomicRegionSequence = "U", [region]
    ds.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]
    ds.save_as(folder / "map.dcm")
    status, output = run(
        "paramap2itkimage", "--inputDICOM", folder / "map.dcm", "--outputDirectory", folder, "-t", "nrrd",
        "--prefix", "map",
    )  # fmt: skip
    errors = lines_of(output, "(E:|ERROR|FATAL|terminate)") or ([f"exit {status}"] if status else [])
    if not errors:
        (written,) = folder.glob("map*.nrrd")
        stored = np.frombuffer(ds.FloatPixelData, "<f4").reshape(ds.NumberOfFrames, ds.Rows, ds.Columns)
        if not np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(written))), stored):
            errors.append("it reads other values")
    return Said(errors, lines_of(output, "(W:|WARN)"))


def said_by_tid1500reader(path: Path, folder: Path) -> Said:
    """Measurement groups of a TID 1500 report (dcmqi)."""
    status, output = run("tid1500reader", "--inputDICOM", path, "--outputMetadata", folder / "report.json")
    errors = lines_of(output, "(E:|ERROR|FATAL|terminate)")
    return Said(errors or ([f"exit {status}"] if status else []), lines_of(output, "(W:|WARN)"))


def said_by_segimage2itkimage(path: Path, folder: Path) -> Said:
    """Frames of a segmentation, put together to volumes (dcmqi)."""
    status, output = run(
        "segimage2itkimage", "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd", "--prefix", "s"
    )
    errors = lines_of(output, "(E:|ERROR|FATAL|terminate)")
    return Said(errors or ([f"exit {status}"] if status else []), lines_of(output, "(W:|WARN)"))


def said_by_highdicom(path: Path) -> Said:
    """The parsers of highdicom: segments and their frames, maps, the tree of a report."""
    try:
        ds = hd.imread(path) if "PixelData" in (head := _head(path)) else None
        if head.Modality == "SEG":
            seg = hd.seg.segread(path)
            for number in seg.segment_numbers:
                described = seg.get_segment_description(number)
                assert described.segment_label
                assert described.segmented_property_category
                assert described.segmented_property_type
        elif head.Modality == "SR":
            report = hd.sr.srread(path)
            if isinstance(report.content, hd.sr.MeasurementReport):
                report.content.get_image_measurement_groups()
                report.content.get_planar_roi_measurement_groups()
                report.content.get_volumetric_roi_measurement_groups()
        elif head.Modality == "KO":
            hd.ko.KeyObjectSelectionDocument.from_dataset(pydicom.dcmread(path))
        elif ds is not None:
            ds.get_frame(1)
    except (AttributeError, AssertionError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        return Said([f"{type(error).__name__}: {error}"[:200]], [])
    return Said([], [])


def _head(path: Path) -> pydicom.Dataset:
    return pydicom.dcmread(path, defer_size=1024)


def said_by_pixelmed(paths: Sequence[Path]) -> list[Said]:
    """Templates of structured reports (PixelMed's DicomSRValidator), for each file."""
    said = []
    for text in pixelmed.texts_of(paths):
        errors = lines_of(text, r"Error|.*Exception")
        if pixelmed.COMPLETE not in text:
            errors.append(f"did not finish: {text[-200:]}")
        said.append(Said(errors, lines_of(text, "Warning")))
    return said


@dataclass(frozen=True)
class Mask:
    """A segment as ITK sees it: voxels (slice, row, column), and where they are in LPS."""

    voxels: NDArray[np.uint8]
    image: sitk.Image

    def points_mm(self) -> NDArray[np.float64]:
        """LPS of every voxel that is set, sorted."""
        image = self.image
        direction = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
        index = np.argwhere(self.voxels)[:, ::-1].astype(float)
        return in_order(index @ direction.T + np.array(image.GetOrigin()))


def in_order(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (n, 3) in an order that rounding does not change."""
    rounded = np.round(points, 2)
    ordered: NDArray[np.float64] = points[np.lexsort(rounded.T)]
    return ordered


def segimage2itkimage(path: Path, folder: Path) -> dict[str, Mask]:
    """Read a SEG with dcmqi: one mask a segment, by label."""
    status, output = run(
        "segimage2itkimage", "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd", "--prefix", "s"
    )
    assert status == 0, output
    meta = json.loads((folder / "s-meta.json").read_text())
    labels = {item["labelID"]: item["SegmentLabel"] for group in meta["segmentAttributes"] for item in group}
    masks = {}
    for number, label in labels.items():
        image = sitk.ReadImage(str(folder / f"s-{number}.nrrd"))
        masks[label] = Mask(sitk.GetArrayFromImage(image) != 0, image)
    return masks


def tid1500reader(path: Path, folder: Path) -> list[dict]:
    """Measurement groups of a TID 1500 report as dcmqi reads them."""
    target = folder / "report.json"
    status, output = run("tid1500reader", "--inputDICOM", path, "--outputMetadata", target)
    assert status == 0, output
    assert not complaints(output, "^(E:|ERROR|FATAL)"), output
    return json.loads(target.read_text())["Measurements"]
