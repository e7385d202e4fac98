"""Small stand-ins for result objects: the right SOP classes and identity, durable on disk with their digest."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, SegmentationStorage

from tests import builders
from worker.domain.result import Destination, ResultKind, ResultObject
from worker.domain.study import Digest, SeriesInstanceUID, SOPClassUID, SOPInstanceUID


def a_seg(folder: Path, *, study: str = "study", padding_bytes: int = 0) -> ResultObject:
    """A SEG-like object in the study of ``tests.builders``; ``padding_bytes`` makes it large."""
    ds = _base(study, "SEG", str(SegmentationStorage))
    if padding_bytes:
        ds.BitsAllocated = 8
        ds.add_new("PixelData", "OB", bytes(padding_bytes))
    return _kept(ds, ResultKind.SEG, folder / "seg.dcm")


def an_sr(folder: Path, *, study: str = "study") -> ResultObject:
    """An SR-like object in the same study."""
    ds = _base(study, "SR", str(ComprehensiveSRStorage))
    ds.ValueType = "CONTAINER"
    return _kept(ds, ResultKind.SR, folder / "sr.dcm")


def a_result_set(folder: Path, *, study: str = "study") -> tuple[ResultObject, ResultObject]:
    """SEG and SR, in the order of sending."""
    return a_seg(folder, study=study), an_sr(folder, study=study)


def at(port: int, *, ae_title: str = "PACS", name: str = "pacs") -> Destination:
    """A destination on this machine."""
    return Destination(name=name, ae_title=ae_title, host="127.0.0.1", port=port)


def data_set_of(path: Path) -> bytes:
    """The bytes after the file meta information."""
    return builders.data_set_bytes(path)


def changed(result: ResultObject) -> ResultObject:
    """The same object after a byte of its file was changed behind our back."""
    content = bytearray(result.path.read_bytes())
    content[-2] ^= 0xFF
    result.path.write_bytes(bytes(content))
    return replace(result)


def _base(study: str, modality: str, sop_class_uid: str) -> Dataset:
    ct = builders.a_ct_slice(study=study)
    ds = Dataset()
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"):
        ds[keyword] = ct[keyword]
    ds.StudyTime, ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "", "", "", ""
    ds.SOPClassUID = sop_class_uid
    ds.SOPInstanceUID = builders.a_uid(study, modality, "instance")
    ds.SeriesInstanceUID = builders.a_uid(study, modality, "series")
    ds.SeriesNumber, ds.InstanceNumber, ds.Modality = 900, 1, modality
    return ds


def _kept(ds: Dataset, kind: ResultKind, path: Path) -> ResultObject:
    builders.write(ds, path, transfer_syntax_uid=ExplicitVRLittleEndian)
    content = path.read_bytes()
    written = dcmread(path)
    return ResultObject(
        kind=kind,
        sop_class_uid=SOPClassUID(str(written.SOPClassUID)),
        sop_instance_uid=SOPInstanceUID(str(written.SOPInstanceUID)),
        series_instance_uid=SeriesInstanceUID(str(written.SeriesInstanceUID)),
        path=path,
        sha256=Digest(hashlib.sha256(content).hexdigest()),
        size_bytes=len(content),
    )
