"""The evidence as the encoding needs it: read once from the stored bytes, with identity that agrees.

Identity comes from here only: never from the index, an association or a cache. Images in patient space have to say
where they lie; projection and ultrasound images (``Space.PLANE``, ``Space.PIXELS``) have no place in the patient, and
get none here even where one is written in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import format_number_as_ds

from worker.domain.character_sets import Reading, StatedSets, UndecodableTextError
from worker.domain.errors import IdentityError, OverreadError, PermanentError
from worker.domain.study import (
    FrameOfReferenceUID,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StoredInstance,
    comparable_name,
)
from worker.domain.volume import SliceRef, Volume
from worker.headers.attributes import Attributes, integer, vector
from worker.headers.bounded import ReadLimits
from worker.headers.frame_attributes import attributes_of_frames
from worker.headers.parsing import parse_stored, reading
from worker.results.content_date import MOMENTS, latest_moment
from worker.results.copied_attributes import IDENTITY, Copies, copies_of, problem_of, raw_value, reading_of, text_value
from worker.results.header import COPIED

_SINGLE_VALUED = ("PatientID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")

_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")

_GEOMETRY = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "PositionReferenceIndicator", "Rows", "Columns", "NumberOfFrames", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "PatientOrientation", *_LOSSY,
)  # fmt: skip

_EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "StationName")


_HEADER = (
    *COPIED, *_EQUIPMENT, "SOPClassUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "PositionReferenceIndicator", "RequestAttributesSequence", "BodyPartExamined", *_LOSSY,
)  # fmt: skip
"""What the header of a source has: everything that a result copies, or needs of its images."""

_MOMENTS = [f"{prefix}{part}" for prefix in MOMENTS for part in ("Date", "Time")]
_READ = [
    Tag(keyword) for keyword in dict.fromkeys((*_GEOMETRY, *_HEADER, *_MOMENTS, "SeriesNumber", "SpecificCharacterSet"))
]

_LIMITS = ReadLimits()

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

    ``copies`` are of one instance, the first in the order of their UIDs: what is copied to every result. ``header`` is
    one of their forms. ``made_at`` is the latest date and time of the images.
    ``frames[k]`` belongs to slice k of the volume. ``instances`` are the (class, instance) UIDs of the objects that
    the volume was made of, in the order of its slices, each once. ``frame_of_reference_uid`` and
    ``patient_orientation`` (0020,0020) are what all of them share; None where they have none, or several.
    ``further`` are the other series that the model saw, with their (class, instance) UIDs. ``series_numbers`` are those
    of all evidence.
    """

    header: Dataset
    copies: Copies
    made_at: datetime
    frames: tuple[SourceFrame, ...]
    instances: tuple[tuple[SOPClassUID, SOPInstanceUID], ...]
    frame_of_reference_uid: FrameOfReferenceUID | None = None
    patient_orientation: tuple[str, ...] | None = None
    further: tuple[tuple[SeriesInstanceUID, tuple[tuple[SOPClassUID, SOPInstanceUID], ...]], ...] = ()
    series_numbers: frozenset[int] = frozenset()

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


@dataclass(frozen=True, slots=True, eq=False)
class SeriesHeader:
    """A series that was not analysed, or not yet: as ``Source`` has it, without geometry."""

    copies: Copies
    made_at: datetime
    instances: tuple[tuple[SOPClassUID, SOPInstanceUID], ...]
    series_numbers: frozenset[int]


def read_source(volume: Volume, evidence: Sequence[StoredInstance], stated: StatedSets = StatedSets()) -> Source:  # noqa: B008 - frozen
    """Read the evidence and keep what the slices of ``volume`` need.

    ``stated`` is what the site says of the character sets of its senders.

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
    numbers: set[str] = set()
    for instance, ds in _agreeing(evidence, stated):
        numbers.add(raw_text(ds, "SeriesNumber"))
        if instance.sop_instance_uid in wanted:
            kept[instance.sop_instance_uid] = ds
        elif instance.header.series_instance_uid != volume.series_instance_uid:
            pair = (SOPClassUID(raw_text(ds, "SOPClassUID")), instance.sop_instance_uid)
            others.setdefault(instance.header.series_instance_uid, []).append(pair)
    missing = wanted - kept.keys()
    if missing or not volume.slices:
        raise PermanentError(
            f"{len(missing)} of {len(wanted)} analysed instances are not among the evidence.",
            next_step="Run the job again; if it stays, report it with the job's timeline.",
            code="evidence-missing",
        )
    used = [kept[uid] for uid in dict.fromkeys(ref.sop_instance_uid for ref in volume.slices)]
    # Copied before anything is converted, and of the instance that ``read_series_header`` takes.
    first = min((one for one in evidence if one.sop_instance_uid in kept), key=lambda one: one.sop_instance_uid)
    copies = _with_loss_of_any(_copies(first, kept[first.sop_instance_uid], stated), used)
    made_at = latest_moment(used)
    frames = _frames(kept, volume)
    _ensure_one_stack(frames)
    reference = _shared(used, "FrameOfReferenceUID")
    return Source(
        header=copies.text,
        copies=copies,
        made_at=made_at,
        frames=frames,
        instances=tuple(dict.fromkeys((frame.sop_class_uid, frame.sop_instance_uid) for frame in frames)),
        frame_of_reference_uid=FrameOfReferenceUID(reference[0]) if reference else None,
        patient_orientation=_orientation(used),
        further=tuple((series, tuple(pairs)) for series, pairs in others.items()),
        series_numbers=_whole_numbers(numbers),
    )


def read_series_header(
    series: SeriesInstanceUID,
    evidence: Sequence[StoredInstance],
    stated: StatedSets = StatedSets(),  # noqa: B008 - frozen
) -> SeriesHeader:
    """Read identity and header of a series without a volume; the header is of the first in the order of their UIDs.

    All of the evidence has to be of one patient and study, what is of other inputs of the model as well.

    Raises what ``read_source`` raises for identity that is missing, undecodable or in conflict.
    """
    order = sorted(evidence, key=lambda one: (one.header.series_instance_uid != series, one.sop_instance_uid))
    read = _agreeing(order, stated)
    headers = {one: ds for one, ds in read if one.header.series_instance_uid == series}
    if not headers:
        raise PermanentError("There is no evidence.", next_step="Report this.", code="evidence-missing")
    return SeriesHeader(
        copies=_copies(order[0], headers[order[0]], stated),
        made_at=latest_moment(headers.values()),
        instances=tuple(
            (SOPClassUID(raw_text(ds, "SOPClassUID")), one.sop_instance_uid) for one, ds in headers.items()
        ),
        series_numbers=_whole_numbers(raw_text(ds, "SeriesNumber") for ds in headers.values()),
    )


def read_header(instance: StoredInstance, tags: Iterable[BaseTag]) -> Dataset:
    """Read these elements of an instance, as they stand. Raises PermanentError (``evidence-unreadable``)."""
    try:
        return parse_stored(instance, _LIMITS).excerpt(tags)
    except OverreadError as error:
        raise unreadable(instance.sop_instance_uid) from error


def unreadable(uid: str) -> PermanentError:
    """The bytes of an instance of this UID say nothing any more."""
    return PermanentError(
        f"Evidence {uid} cannot be read back.",
        next_step="Check the spool's disk; then `overread retry` runs the job again.",
        code="evidence-unreadable",
    )


def raw_text(ds: Dataset, keyword: str) -> str:
    """A UID or another text in ASCII, as it stands."""
    return raw_value(ds, keyword).decode("latin-1").strip(" \0")


def _whole_numbers(texts: Iterable[str]) -> frozenset[int]:
    """Those of the texts that are whole numbers."""
    return frozenset(int(text) for text in texts if re.fullmatch(r"[+-]?[0-9]{1,12}", text))


def _agreeing(evidence: Sequence[StoredInstance], stated: StatedSets) -> Iterator[tuple[StoredInstance, Dataset]]:
    """The evidence as it is read, each instance of the same patient and study as those before it."""
    agreed: Mapping[str, str] | None = None
    for instance in evidence:
        # Odd values are copied as they are; pydicom's warnings would repeat them (and so patients) to the log.
        with config.disable_value_validation():
            ds = read_header(instance, _READ)
        identity = _identity_of(ds, instance, reading_of(ds, stated.of(instance.calling_ae_title)))
        agreed = agreed or identity
        _ensure_agreement(agreed, identity)
        yield instance, ds


def _copies(instance: StoredInstance, ds: Dataset, stated: StatedSets) -> Copies:
    try:
        return copies_of(ds, _HEADER, stated=stated.of(instance.calling_ae_title))
    except UndecodableTextError as error:
        raise _undecodable(instance) from error


def _with_loss_of_any(copies: Copies, used: Sequence[Dataset]) -> Copies:
    """Lossy compression is said as soon as one of the images had it (PS3.3 C.8.20.2.2)."""
    lossy = next((ds for ds in used if raw_text(ds, "LossyImageCompression") == "01"), None)
    if lossy is not None:
        said = copies_of(lossy, _LOSSY)
        for form in (copies.text, copies.kept):
            form.update(said.text)
    return copies


def _shared(used: Sequence[Dataset], keyword: str) -> tuple[str, ...] | None:
    """Values that all images have in common; None when they are absent, empty or different."""
    found = set()
    for ds in used:
        value = ds.get(keyword) or ""
        found.add(tuple(str(v).strip(" \0") for v in ([value] if isinstance(value, str) else value)))
    values = found.pop()
    return values if not found and any(values) else None


def _orientation(used: Sequence[Dataset]) -> tuple[str, ...] | None:
    found = _shared(used, "PatientOrientation")
    return None if found is None or problem_of("PatientOrientation", "\\".join(found)) else found


def _identity_of(ds: Dataset, instance: StoredInstance, reading: Reading) -> dict[str, str]:
    try:
        identity = {keyword: _plain(ds, keyword, reading) for keyword in IDENTITY}
    except UndecodableTextError as error:
        raise _undecodable(instance) from error
    if any("\ufffd" in text for text in identity.values()):  # somebody before us could not read it
        raise _undecodable(instance)
    found = (raw_text(ds, "SOPInstanceUID"), identity["StudyInstanceUID"], raw_text(ds, "SeriesInstanceUID"))
    for keyword, text in zip(_SINGLE_VALUED, (identity["PatientID"], *found), strict=True):
        if "\\" in text:
            raise IdentityError(
                f"{keyword} of {instance.sop_instance_uid} has several values.",
                next_step="Correct the study at its source and send it again.",
                code="identity-multi-valued",
            )
    if not identity["PatientID"]:
        raise IdentityError(
            f"{instance.sop_instance_uid} has no Patient ID.",
            next_step="Correct the study at its source and send it again.",
            code="patient-id-empty",
        )
    header = instance.header
    if found != (header.sop_instance_uid, header.study_instance_uid, header.series_instance_uid):
        raise IdentityError(
            f"The stored bytes of {instance.sop_instance_uid} carry other UIDs than the index.",
            next_step="Do not retry: keep the spool as it is and report this.",
            code="evidence-changed",
        )
    return identity


def _undecodable(instance: StoredInstance) -> IdentityError:
    return IdentityError(
        f"The identity in {instance.sop_instance_uid} cannot be decoded with its Specific Character Set.",
        next_step="Correct Specific Character Set (0008,0005) at the source and send the study again, or state in "
        "`character_sets` of the configuration what its sender writes, and `overread retry` the job.",
        code="identity-undecodable",
    )


def _ensure_agreement(agreed: Mapping[str, str], identity: Mapping[str, str]) -> None:
    differing = [keyword for keyword in IDENTITY if agreed[keyword] != identity[keyword]]
    if differing:
        raise IdentityError(
            f"The evidence disagrees on {', '.join(differing)}.",
            next_step="Correct the study at its source and send it again.",
            code="identity-conflict",
        )


def _plain(ds: Dataset, keyword: str, reading: Reading) -> str:
    """Value as text, without padding; names without what means nothing (``PatientIdentity.comparable``)."""
    text = text_value(ds, keyword, reading)
    return comparable_name(text) if keyword == "PatientName" else text


def _frames(kept: Mapping[str, Dataset], volume: Volume) -> tuple[SourceFrame, ...]:
    """Where the slices of the volume lie, by the reading of frames that the volume was made by."""
    read = _frame if volume.in_patient_space else _frame_in_its_plane
    wanted: dict[SOPInstanceUID, dict[int, SliceRef]] = {}
    for ref in volume.slices:
        wanted.setdefault(ref.sop_instance_uid, {})[ref.frame_number or 1] = ref
    found: dict[SliceRef, SourceFrame] = {}
    for uid, refs in wanted.items():
        with reading(uid):
            for number, attributes in enumerate(attributes_of_frames(kept[uid], max(refs)), start=1):
                if number in refs:
                    found[refs[number]] = read(attributes, refs[number], volume)
    return tuple(found[ref] for ref in volume.slices)


def _frame(attributes: Attributes, ref: SliceRef, _volume: Volume) -> SourceFrame:
    position = vector(attributes, "ImagePositionPatient", 3)
    orientation = vector(attributes, "ImageOrientationPatient", 6)
    spacing = vector(attributes, "PixelSpacing", 2)
    rows, columns = integer(attributes, "Rows"), integer(attributes, "Columns")
    if position is None or orientation is None or spacing is None or rows is None or columns is None:
        raise PermanentError(
            f"{ref.sop_instance_uid} does not say where its pixels lie in the patient.",
            next_step="Results need a series with positions and orientation (PS3.3 C.7.6.2).",
            code="geometry-missing",
        )
    x, y, z = map(_decimal, position)
    row_mm, column_mm = map(_decimal, spacing)
    return SourceFrame(
        sop_class_uid=_sop_class(attributes),
        sop_instance_uid=ref.sop_instance_uid,
        number=ref.frame_number,
        position=(x, y, z),
        orientation=tuple(map(_decimal, orientation)),
        pixel_spacing_mm=(row_mm, column_mm),
        slice_thickness_mm=_thickness(attributes),
        rows=rows,
        columns=columns,
    )


def _frame_in_its_plane(attributes: Attributes, ref: SliceRef, volume: Volume) -> SourceFrame:
    """Read what a projection image has: its size; its spacing is the volume's, which the gate compares again."""
    rows, columns = integer(attributes, "Rows"), integer(attributes, "Columns")
    if rows is None or columns is None:
        raise PermanentError(
            f"{ref.sop_instance_uid} does not say how its pixels are arranged.",
            next_step="Results need images with Rows, Columns and the frames that were analysed (PS3.3 C.7.6.3).",
            code="geometry-missing",
        )
    _, row_mm, column_mm = volume.geometry.spacing_mm
    return SourceFrame(
        sop_class_uid=_sop_class(attributes),
        sop_instance_uid=ref.sop_instance_uid,
        number=ref.frame_number,
        position=None,
        orientation=None,
        pixel_spacing_mm=(row_mm, column_mm) if volume.has_spacing else None,
        slice_thickness_mm=None,
        rows=rows,
        columns=columns,
    )


def _sop_class(attributes: Attributes) -> SOPClassUID:
    return SOPClassUID(attributes.get("SOPClassUID", ("",))[0])


def _decimal(value: float) -> float:
    """A number that fits into the 16 characters of a DS (PS3.5 6.2); devices write longer ones."""
    return float(format_number_as_ds(value))


def _thickness(attributes: Attributes) -> float | None:
    """Slice Thickness, which nothing depends on: None where it is absent, or no number."""
    values = vector(attributes, "SliceThickness", 1)
    return _decimal(values[0]) if values is not None and values[0] > 0 else None


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
