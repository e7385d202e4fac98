"""Independent programs that judge result objects: dicom3tools, DCMTK, dcmqi. Each returns its complaints."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its own documentation calls it so
from numpy.typing import NDArray

FALSE_POSITIVES = (
    # dciodvfy cannot know whether a body part that the object does not name is a paired one.
    r"Conditional Element=<Laterality> Module=<GeneralSeries>",
)


def program(name: str) -> str:
    """From the environment of this Python, else from the path."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is not installed (pip install overread[test]; DCMTK from the distribution)"
    return found


def run(*command: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        [program(str(command[0])), *map(str, command[1:])],
        capture_output=True, text=True, errors="replace", timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def complaints(output: str, pattern: str) -> list[str]:
    lines = [line.strip() for line in output.splitlines() if re.search(pattern, line)]
    return [line for line in lines if not any(re.search(known, line) for known in FALSE_POSITIVES)]


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
