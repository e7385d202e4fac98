"""Studies that look alike: the traps are in what they share, and every byte of them is known."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

import numpy as np
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from tests.builders import Patient, a_ct_phantom, a_ct_slice

SLICES = 8
_SIDE = 64
_PHANTOM = a_ct_phantom(slices=SLICES, rows=_SIDE, columns=_SIDE)
_SPACING_MM = (2.5, 0.8, 0.8)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance as a modality holds it: the data set that it sends, again and again if it must."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    patient_id: str
    content: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Study:
    """A study of one series."""

    number: int
    study_instance_uid: str
    patient_id: str
    instances: tuple[Instance, ...]


def a_study(number: int, rng: random.Random, *, prefix: str) -> Study:
    """Study ``number`` of a run.

    Neighbours share what real ones share: accession number, study ID, series number, patient name and birth date. The
    Patient IDs of a pair differ in one trailing digit, in case or in a leading zero; the UIDs of a pair differ in the
    last digit. Pixels differ everywhere, so that no two instances have the same content.
    """
    pair, second = divmod(number, 2)
    patient = Patient(name="Look^Alike", patient_id=_patient_id(pair, bool(second)), birth_date="19600229")
    root = f"2.25.{int(prefix, 16)}{pair:06d}"
    study_uid, series_uid = f"{root}1{second}", f"{root}2{second}"
    noise = np.random.default_rng(rng.getrandbits(32))
    instances = []
    for k in range(SLICES):
        sop_uid = f"{root}3{second}{k:02d}"
        hu = _PHANTOM[k] + noise.integers(-8, 8, (_SIDE, _SIDE))
        ds = a_ct_slice(
            hu=hu,
            spacing_mm=_SPACING_MM,
            position=(-25.0, -25.0, k * _SPACING_MM[0]),
            patient=patient,
            study=f"{prefix}/{number}",
            series=f"{prefix}/{number}",
            instance=k + 1,
            instance_number=k + 1,
            attributes={
                "StudyInstanceUID": study_uid,
                "SeriesInstanceUID": series_uid,
                "SOPInstanceUID": sop_uid,
                "FrameOfReferenceUID": f"{root}4{second}",
                "AccessionNumber": f"ACC{pair // 2}",
                "StudyID": "1",
                "SeriesNumber": 2,
            },
        )
        content = encoded(ds)
        digest = hashlib.sha256(content).hexdigest()
        instances.append(Instance(study_uid, series_uid, sop_uid, patient.patient_id, content, digest))
    return Study(number, study_uid, patient.patient_id, tuple(instances))


def encoded(ds: object) -> bytes:
    """The data set in Explicit VR Little Endian, without file meta information: what travels in a C-STORE."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)  # type: ignore[arg-type]
    content = buffer.getvalue()
    assert isinstance(content, bytes)
    return content


def _patient_id(pair: int, second: bool) -> str:
    """Two ids that a careless comparison takes for one."""
    match pair % 4:
        case 0:
            return f"P{pair:04d}1" if second else f"P{pair:04d}"
        case 1:
            return f"p{pair:04d}x" if second else f"P{pair:04d}X"
        case 2:
            return f"0{pair:04d}" if second else f"{pair:04d}"
        case _:
            return f"P{pair:04d}^A" if second else f"P{pair:04d}^B"


__all__ = ["SLICES", "Instance", "Study", "a_study", "encoded"]
