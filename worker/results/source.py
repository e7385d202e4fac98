"""The evidence as the encoding needs it: read once from the stored bytes, with identity that agrees.

Identity comes from here only: never from the index, an association or a cache. Images in patient space have to say
where they lie; projection and ultrasound images (``Space.PLANE``, ``Space.PIXELS``) have no place in the patient, and
get none here even where one is written in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom import config
from pydicom.charset import python_encoding
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread
from pydicom.tag import Tag

from worker.domain.errors import IdentityError, PermanentError
from worker.domain.study import (
    FrameOfReferenceUID,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StoredInstance,
)
from worker.domain.volume import SliceRef, Volume
from worker.functional_groups.groups import FunctionalGroups
from worker.functional_groups.macros import PIXEL_MEASURES, PLANE_ORIENTATION, PLANE_POSITION
from worker.results.header import COPIED, decoded_copy

_AGREEING = (
    "PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber",
)  # fmt: skip
"""What all evidence must agree on; else there is no result (never on the wrong patient)."""

_SINGLE_VALUED = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")

_GEOMETRY = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "PositionReferenceIndicator", "Rows", "Columns", "NumberOfFrames", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "PatientOrientation", *_LOSSY,
)  # fmt: skip

_EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "StationName")


def _bare(term: str) -> str:
    """A defined term of Specific Character Set without what devices commonly misspell."""
    return "".join(c for c in term.upper() if c.isalnum())


_KNOWN_CHARACTER_SETS = frozenset(_bare(term) for term in python_encoding)

_READ = [
    Tag(keyword)
    for keyword in dict.fromkeys(
        (*_GEOMETRY, *_EQUIPMENT, *COPIED, "SpecificCharacterSet", "RequestAttributesSequence", "BodyPartExamined")
    )
]

_FUNCTIONAL_GROUPS = (Tag("SharedFunctionalGroupsSequence"), Tag("PerFrameFunctionalGroupsSequence"))

_SAME_DIRECTION = 1e-3
"""Largest difference of direction cosines within a stack: scanners write rounding noise."""


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """Where the stored pixels of one slice lie (PS3.3 C.7.6.2). ``number`` counts from 1; None for single-frame.

    ``position`` and ``orientation`` are None outside of patient space. ``pixel_spacing_mm`` (row, column) is in the
    image plane there, as the volume has it, and None where it is not known (``Space.PIXELS``).
    """

    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID
    number: int | None
    position: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, float] | None
    slice_thickness_mm: float | None
    rows: int
    columns: int


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The analysed series.

    ``header`` holds the decoded text of the first slice's instance for what is copied to every result.
    ``frames[k]`` belongs to slice k of the volume. ``instances`` are the (class, instance) UIDs of the objects that
    the volume was made of, in the order of its slices, each once. ``frame_of_reference_uid`` and
    ``patient_orientation`` (0020,0020) are what all of them share; None where they have none, or several.
    ``further`` are the other series that the model saw, with their (class, instance) UIDs.
    """

    header: Dataset
    frames: tuple[SourceFrame, ...]
    instances: tuple[tuple[SOPClassUID, SOPInstanceUID], ...]
    frame_of_reference_uid: FrameOfReferenceUID | None = None
    patient_orientation: tuple[str, ...] | None = None
    further: tuple[tuple[SeriesInstanceUID, tuple[tuple[SOPClassUID, SOPInstanceUID], ...]], ...] = ()

    @property
    def analysed(self) -> tuple[tuple[SeriesInstanceUID, tuple[tuple[SOPClassUID, SOPInstanceUID], ...]], ...]:
        """Every series that the model saw with its instances, the one that the findings lie on first."""
        return ((SeriesInstanceUID(str(self.header.SeriesInstanceUID)), self.instances), *self.further)

    @property
    def is_multi_frame(self) -> bool:
        """True when frames, not instances, are the slices."""
        return self.frames[0].number is not None

    @property
    def in_patient_space(self) -> bool:
        """True when the frames have a place in the patient."""
        return self.frames[0].position is not None

    @property
    def pixel_area_mm2(self) -> float | None:
        """Area of one pixel in square millimetres; None where the pixel spacing is not known."""
        spacing = self.frames[0].pixel_spacing_mm
        return None if spacing is None else spacing[0] * spacing[1]


def read_source(volume: Volume, evidence: Sequence[StoredInstance]) -> Source:
    """Read the evidence and keep what the slices of ``volume`` need.

    Raises
    ------
    IdentityError
        ``patient-id-empty``, ``identity-multi-valued``, ``identity-undecodable``, ``identity-conflict`` or
        ``evidence-changed``.
    PermanentError
        ``evidence-missing``, ``evidence-unreadable``, ``geometry-missing`` or ``mixed-orientations``.
    """
    wanted = {ref.sop_instance_uid for ref in volume.slices}
    kept: dict[str, Dataset] = {}
    others: dict[SeriesInstanceUID, list[tuple[SOPClassUID, SOPInstanceUID]]] = {}
    agreed: Mapping[str, str] | None = None
    for instance, ds in _read(evidence):
        identity = _identity_of(ds, instance)
        agreed = agreed or identity
        _ensure_agreement(agreed, identity)
        if instance.sop_instance_uid in wanted:
            kept[instance.sop_instance_uid] = ds
        elif instance.header.series_instance_uid != volume.series_instance_uid:
            pair = (SOPClassUID(str(ds.SOPClassUID)), instance.sop_instance_uid)
            others.setdefault(instance.header.series_instance_uid, []).append(pair)
    missing = wanted - kept.keys()
    if missing or not volume.slices:
        raise PermanentError(
            f"{len(missing)} of {len(wanted)} analysed instances are not among the evidence.",
            next_step="Run the job again; if it stays, report it with the job's timeline.",
            code="evidence-missing",
        )
    read = _frame if volume.in_patient_space else _frame_in_its_plane
    frames = tuple(read(kept[ref.sop_instance_uid], ref, volume) for ref in volume.slices)
    _ensure_one_stack(frames)
    used = [kept[uid] for uid in dict.fromkeys(ref.sop_instance_uid for ref in volume.slices)]
    reference = _shared(used, "FrameOfReferenceUID")
    return Source(
        header=_header(used),
        frames=frames,
        instances=tuple(dict.fromkeys((frame.sop_class_uid, frame.sop_instance_uid) for frame in frames)),
        frame_of_reference_uid=FrameOfReferenceUID(reference[0]) if reference else None,
        patient_orientation=_shared(used, "PatientOrientation"),
        further=tuple((series, tuple(pairs)) for series, pairs in others.items()),
    )


def read_series_header(
    evidence: Sequence[StoredInstance],
) -> tuple[Dataset, tuple[tuple[SOPClassUID, SOPInstanceUID], ...]]:
    """Read identity and header of evidence that was not analysed: no volume, no geometry.

    Returns what ``Source`` calls ``header`` (of the first instance in the order of their UIDs) and ``instances``.
    Raises what ``read_source`` raises for identity that is missing, undecodable or in conflict.
    """
    agreed: Mapping[str, str] | None = None
    headers: dict[SOPInstanceUID, Dataset] = {}
    for instance, ds in _read(sorted(evidence, key=lambda one: one.sop_instance_uid)):
        identity = _identity_of(ds, instance)
        agreed = agreed or identity
        _ensure_agreement(agreed, identity)
        headers[instance.sop_instance_uid] = ds
    if not headers:
        raise PermanentError("There is no evidence.", next_step="Report this.", code="evidence-missing")
    first = next(iter(headers.values()))
    pairs = tuple((SOPClassUID(str(ds.SOPClassUID)), uid) for uid, ds in headers.items())
    return decoded_copy(_without_frames(first)), pairs


def _header(used: Sequence[Dataset]) -> Dataset:
    """Take that of the first image, with lossy compression as soon as one of them had it (PS3.3 C.8.20.2.2)."""
    header = decoded_copy(_without_frames(used[0]))
    lossy = next((ds for ds in used if str(ds.get("LossyImageCompression") or "") == "01"), None)
    if lossy is not None:
        for keyword in _LOSSY:
            if keyword in lossy:
                header[keyword] = lossy[keyword]
    return header


def _shared(used: Sequence[Dataset], keyword: str) -> tuple[str, ...] | None:
    """Values that all images have in common; None when they are absent, empty or different."""
    found = set()
    for ds in used:
        value = ds.get(keyword) or ""
        found.add(tuple(str(v).strip(" \0") for v in ([value] if isinstance(value, str) else value)))
    values = found.pop()
    return values if not found and any(values) else None


def _read(evidence: Sequence[StoredInstance]) -> Iterator[tuple[StoredInstance, Dataset]]:
    for instance in evidence:
        # Odd values are copied as they are; pydicom's warnings would repeat them (and so patients) to the log.
        with config.disable_value_validation():
            try:
                ds = dcmread(instance.path, stop_before_pixels=True, specific_tags=list(_READ))
                ds.decode()
            except (OSError, InvalidDicomError, ValueError, KeyError, AttributeError, NotImplementedError) as error:
                raise PermanentError(
                    f"Evidence {instance.sop_instance_uid} cannot be read back.",
                    next_step="Check the spool's disk; then `overread retry` runs the job again.",
                    code="evidence-unreadable",
                ) from error
            yield instance, ds


def _identity_of(ds: Dataset, instance: StoredInstance) -> dict[str, str]:
    for keyword in _SINGLE_VALUED:
        if keyword in ds and ds[keyword].VM > 1:
            raise IdentityError(
                f"{keyword} of {instance.sop_instance_uid} has several values.",
                next_step="Correct the study at its source and send it again.",
                code="identity-multi-valued",
            )
    identity = {keyword: _plain(ds, keyword) for keyword in _AGREEING}
    if not identity["PatientID"]:
        raise IdentityError(
            f"{instance.sop_instance_uid} has no Patient ID.",
            next_step="Correct the study at its source and send it again.",
            code="patient-id-empty",
        )
    if _is_undecodable(ds, identity):
        raise IdentityError(
            f"The identity in {instance.sop_instance_uid} cannot be decoded with its Specific Character Set.",
            next_step="Correct Specific Character Set (0008,0005) at the source and send the study again.",
            code="identity-undecodable",
        )
    header = instance.header
    found = (_plain(ds, "SOPInstanceUID"), _plain(ds, "StudyInstanceUID"), _plain(ds, "SeriesInstanceUID"))
    if found != (header.sop_instance_uid, header.study_instance_uid, header.series_instance_uid):
        raise IdentityError(
            f"The stored bytes of {instance.sop_instance_uid} carry other UIDs than the index.",
            next_step="Do not retry: keep the spool as it is and report this.",
            code="evidence-changed",
        )
    return identity


def _is_undecodable(ds: Dataset, identity: Mapping[str, str]) -> bool:
    """Tell whether decoding replaced a character, or guessed the character set of one outside ASCII."""
    text = "".join(identity.values())
    declared = ds.get("SpecificCharacterSet") or ""
    terms = [declared] if isinstance(declared, str) else list(declared)
    unknown = any(_bare(str(term)) not in _KNOWN_CHARACTER_SETS for term in terms)
    return "\ufffd" in text or (unknown and not text.isascii())


def _ensure_agreement(agreed: Mapping[str, str], identity: Mapping[str, str]) -> None:
    differing = [keyword for keyword in _AGREEING if agreed[keyword] != identity[keyword]]
    if differing:
        raise IdentityError(
            f"The evidence disagrees on {', '.join(differing)}.",
            next_step="Correct the study at its source and send it again.",
            code="identity-conflict",
        )


def _plain(ds: Dataset, keyword: str) -> str:
    """Value as text, without padding; of person names also without empty trailing components (PS3.5 6.2)."""
    text = str(ds.get(keyword) or "").strip(" \0")
    if keyword == "PatientName":
        text = "=".join(group.strip(" ").rstrip("^") for group in text.split("=")).rstrip("=")
    return text


def _frame(ds: Dataset, ref: SliceRef, _: Volume) -> SourceFrame:
    try:
        plane, orientation, measures = (
            (ds, ds, ds) if ref.frame_number is None else _functional_groups(ds, ref.frame_number)
        )
        thickness = measures.get("SliceThickness")
        x, y, z = (float(v) for v in plane.ImagePositionPatient)
        row_mm, column_mm = (float(v) for v in measures.PixelSpacing)
        return SourceFrame(
            sop_class_uid=SOPClassUID(str(ds.SOPClassUID)),
            sop_instance_uid=ref.sop_instance_uid,
            number=ref.frame_number,
            position=(x, y, z),
            orientation=tuple(float(v) for v in orientation.ImageOrientationPatient),
            pixel_spacing_mm=(row_mm, column_mm),
            slice_thickness_mm=float(thickness) if thickness else None,
            rows=int(ds.Rows),
            columns=int(ds.Columns),
        )
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise PermanentError(
            f"{ref.sop_instance_uid} does not say where its pixels lie in the patient.",
            next_step="Results need a series with positions and orientation (PS3.3 C.7.6.2).",
            code="geometry-missing",
        ) from error


def _frame_in_its_plane(ds: Dataset, ref: SliceRef, volume: Volume) -> SourceFrame:
    """Read what a projection image has: its size; its spacing is the volume's, which the gate compares again."""
    try:
        _, row_mm, column_mm = volume.geometry.spacing_mm
        return SourceFrame(
            sop_class_uid=SOPClassUID(str(ds.SOPClassUID)),
            sop_instance_uid=ref.sop_instance_uid,
            number=ref.frame_number,
            position=None,
            orientation=None,
            pixel_spacing_mm=(row_mm, column_mm) if volume.has_spacing else None,
            slice_thickness_mm=None,
            rows=int(ds.Rows),
            columns=int(ds.Columns),
        )
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise PermanentError(
            f"{ref.sop_instance_uid} does not say how its pixels are arranged.",
            next_step="Results need images with Rows, Columns and the frames that were analysed (PS3.3 C.7.6.3).",
            code="geometry-missing",
        ) from error


def _without_frames(ds: Dataset) -> Dataset:
    """Leave out what is large and of no use in a header."""
    copy = Dataset()
    copy.update({tag: element for tag, element in ds.items() if tag not in _FUNCTIONAL_GROUPS})
    return copy


def _functional_groups(ds: Dataset, number: int) -> tuple[Dataset, Dataset, Dataset]:
    """What says plane position, orientation and pixel measures of a frame (PS3.3 C.7.6.16)."""
    groups = FunctionalGroups(ds)
    position, orientation, measures = (
        groups.speaker(keyword, number - 1) for keyword in (PLANE_POSITION, PLANE_ORIENTATION, PIXEL_MEASURES)
    )
    return position, orientation, measures


def _ensure_one_stack(frames: Sequence[SourceFrame]) -> None:
    first = frames[0]
    for frame in frames:
        same = (
            (frame.rows, frame.columns, frame.sop_class_uid) == (first.rows, first.columns, first.sop_class_uid)
            and (frame.number is None) == (first.number is None)
            and _close(frame.orientation, first.orientation, absolute=_SAME_DIRECTION)
            and _close(frame.pixel_spacing_mm, first.pixel_spacing_mm, relative=1e-3)
        )
        if not same:
            raise PermanentError(
                "The slices of the volume differ in size, orientation, spacing or object class.",
                next_step="Results are made for one consistent stack only.",
                code="mixed-orientations",
            )


def _close(
    one: Sequence[float] | None, other: Sequence[float] | None, *, absolute: float = 0.0, relative: float = 0.0
) -> bool:
    """Tell whether both are absent, or both there and nearly the same."""
    if one is None or other is None:
        return one is other
    return bool(np.allclose(one, other, rtol=relative, atol=absolute))
