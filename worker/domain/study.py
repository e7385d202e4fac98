"""Studies, series and instances: identity at each level (PS3.3), and where the stored bytes are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NewType

StudyInstanceUID = NewType("StudyInstanceUID", str)
SeriesInstanceUID = NewType("SeriesInstanceUID", str)
SOPInstanceUID = NewType("SOPInstanceUID", str)
SOPClassUID = NewType("SOPClassUID", str)
TransferSyntaxUID = NewType("TransferSyntaxUID", str)
FrameOfReferenceUID = NewType("FrameOfReferenceUID", str)
Digest = NewType("Digest", str)
"""SHA-256 in lower-case hexadecimal."""


@dataclass(frozen=True, slots=True)
class PatientIdentity:
    """Who an instance says it belongs to. Values are trimmed of padding, else exactly as received.

    ``comparable`` is the rule of the identity guard: all instances of a job must agree on all of it.
    ``repr`` shows nothing, so that no log line can.
    """

    patient_id: str = field(repr=False)
    issuer_of_patient_id: str = field(repr=False)
    patient_name: str = field(repr=False)
    patient_birth_date: str = field(repr=False)

    @property
    def comparable(self) -> tuple[str, str, str, str]:
        """What two instances of one patient agree on, whatever padding their writers chose.

        In the order of the fields. Spaces at the ends of a value, and of each component of a name, mean nothing (PS3.5
        6.2), nor do empty components and component groups at the end of a name. Everything else counts: case, spaces
        within, and whether a component is there.
        """
        return (
            self.patient_id.strip(" "),
            self.issuer_of_patient_id.strip(" "),
            comparable_name(self.patient_name),
            self.patient_birth_date.strip(" "),
        )


def comparable_name(name: str) -> str:
    """A person's name (PS3.5 6.2.1) without what means nothing: see ``PatientIdentity.comparable``."""
    groups = ("^".join(part.strip(" ") for part in group.split("^")).rstrip("^") for group in name.split("="))
    return "=".join(groups).rstrip("=")


@dataclass(frozen=True, slots=True)
class IndexedHeader:
    """What the listener's bounded scan reads of a data set; nothing more is parsed in the network process."""

    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID
    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    patient: PatientIdentity
    accession_number: str = field(repr=False)
    modality: str
    manufacturer: str
    manufacturer_model_name: str
    device_serial_number: str


class Admission(StrEnum):
    """What the store did with an offered instance."""

    STORED = "stored"
    """New: kept, indexed."""
    REPEATED = "repeated"
    """Same SOP Instance UID, same content: nothing was done."""
    OTHER_ENCODING = "other-encoding"
    """Known instance of the same identity in another transfer syntax: kept beside the first copy, which is analysed."""
    CONFLICT = "conflict"
    """Same SOP Instance UID, different content: kept apart, the first copy untouched."""
    OWN_RESULT = "own-result"
    """One of our own result objects coming back: kept, never analysed."""


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """An instance in the spool.

    ``path`` is a Part 10 file named by content; no byte of its name comes from the wire.
    ``sha256`` is the digest of the data set bytes as received (without preamble and file meta information).
    """

    header: IndexedHeader
    transfer_syntax_uid: TransferSyntaxUID
    sha256: Digest
    size_bytes: int
    path: Path
    calling_ae_title: str
    received_at: datetime

    @property
    def sop_instance_uid(self) -> SOPInstanceUID:
        """SOP Instance UID (0008,0018)."""
        return self.header.sop_instance_uid


@dataclass(frozen=True, slots=True)
class InstanceHeader:
    """The header of one instance, read once by ``decode.headers``; what routing may ask about.

    ``attributes`` maps DICOM keywords of top-level, non-binary elements to their values as text (a multi-valued
    element keeps all of its values). ``rows`` to ``position_along_normal_mm`` are None where the object has none.
    ``number_of_frames`` is 1 for single-frame objects. ``unreadable`` is the outcome of an object that could not be
    read: nothing else is known of it than its ``instance``.
    """

    instance: StoredInstance
    attributes: Mapping[str, tuple[str, ...]] = field(repr=False)
    rows: int | None
    columns: int | None
    number_of_frames: int
    frame_of_reference_uid: FrameOfReferenceUID | None
    image_orientation_patient: tuple[float, ...] | None
    image_position_patient: tuple[float, float, float] | None
    unreadable: str = ""

    def first(self, keyword: str) -> str:
        """First value of an attribute as text, or the empty string."""
        values = self.attributes.get(keyword, ())
        return values[0] if values else ""


@dataclass(frozen=True, slots=True)
class SetAside:
    """An object of a series that is none of its images, and why: words that end a sentence, without PHI."""

    sop_instance_uid: SOPInstanceUID
    reason: str


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """A series as the routing rules see it. ``headers`` are ordered by SOP Instance UID.

    ``aside`` are the objects among them that are left out, of the analysis and of everything that is said here.

    ``slice_count`` counts planes (frames of a multi-frame object included). ``slice_spacing_mm`` is the median
    distance of neighbouring planes along the slice normal; None when positions are missing or there is one plane.
    ``orientation`` is "axial", "sagittal", "coronal", "oblique" or "unknown" (more than 20 degrees off any axis is
    oblique; mixed orientations are "mixed").
    """

    series_instance_uid: SeriesInstanceUID
    study_instance_uid: StudyInstanceUID
    modality: str
    headers: tuple[InstanceHeader, ...]
    orientation: str
    slice_count: int
    slice_spacing_mm: float | None
    slice_thickness_mm: float | None
    rows: int | None
    columns: int | None
    aside: tuple[SetAside, ...] = ()

    @property
    def kept(self) -> tuple[InstanceHeader, ...]:
        """The headers of what was not set aside."""
        aside = {one.sop_instance_uid for one in self.aside}
        return tuple(header for header in self.headers if header.instance.sop_instance_uid not in aside)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was set aside, one sentence (without its full stop) for each reason."""
        grouped: dict[str, list[str]] = {}
        for one in self.aside:
            grouped.setdefault(one.reason, []).append(one.sop_instance_uid)
        return tuple(
            f"{len(uids)} object{'s' * (len(uids) > 1)} of the series {'were' if len(uids) > 1 else 'was'} set aside: "
            f"{reason} ({', '.join(uids[:3])}{', ...' if len(uids) > 3 else ''})"
            for reason, uids in grouped.items()
        )

    def values(self, keyword: str) -> tuple[str, ...]:
        """All distinct values that an attribute has over the series (each value of a multi-valued element)."""
        seen: dict[str, None] = {}
        for header in self.kept:
            for value in header.attributes.get(keyword, ()):
                seen[value] = None
        return tuple(seen)


@dataclass(frozen=True, slots=True)
class OfferedInstance:
    """An instance that the listener received whole and scanned, in a temporary file of the spool's file system.

    ``temporary`` is already a Part 10 file: 128 zero bytes, "DICM", file meta information written by us, then the
    data set bytes exactly as received. ``sha256`` is the digest of those data set bytes alone.
    """

    temporary: Path
    header: IndexedHeader
    transfer_syntax_uid: TransferSyntaxUID
    sha256: Digest
    size_bytes: int
    calling_ae_title: str
    association_id: str


@dataclass(frozen=True, slots=True)
class RefusedInstance:
    """What was refused on arrival, for the quarantine list. ``detail`` has no PHI and no bytes of the wire."""

    temporary: Path | None
    code: str
    detail: str
    calling_ae_title: str
    association_id: str


def one_of_each_series(
    evidence: Sequence[StoredInstance], instances: Sequence[StoredInstance]
) -> tuple[StoredInstance, ...]:
    """One instance of each series of the study that the evidence is of."""
    study = evidence[0].header.study_instance_uid
    found: dict[str, StoredInstance] = {}
    for one in sorted(instances, key=lambda one: one.sop_instance_uid):
        if one.header.study_instance_uid == study:
            found.setdefault(one.header.series_instance_uid, one)
    return tuple(found.values())
