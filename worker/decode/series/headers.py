"""From stored instances to headers and summaries of series, for routing. Every file is parsed once, without pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from worker.decode.planes.geometry import axes_of, groups_of_orientation, median_spacing_mm, name_of_orientation
from worker.decode.planes.image_kinds import intent_of
from worker.decode.series.non_slices import set_aside
from worker.domain.character_sets import StatedSets
from worker.domain.study import FrameOfReferenceUID, InstanceHeader, SeriesSummary, StoredInstance
from worker.headers.attributes import Attributes, declare, floats, integer, text_of
from worker.headers.bounded import ReadLimits
from worker.headers.errors import UnreadableInstanceError
from worker.headers.frame_attributes import attributes_of
from worker.headers.parsing import ParsedInstance, parse_stored, reading

ANOTHER_INSTANCE = "file-does-not-match-index"
SOP_INSTANCE_UID = 0x00080018


class HeaderReader:
    """Reads headers and summarizes series (the pipeline's port SeriesReader).

    Parameters
    ----------
    limits:
        What reading one instance may cost.
    character_sets:
        What the site says of the text of its senders.
    """

    def __init__(self, *, limits: ReadLimits | None = None, character_sets: StatedSets | None = None) -> None:
        self._limits = limits or ReadLimits()
        self._stated = character_sets or StatedSets()

    def headers(self, instances: Sequence[StoredInstance]) -> tuple[InstanceHeader, ...]:
        """Parse each instance once.

        Raises
        ------
        UnreadableInstanceError
            Names the SOP Instance UID of the first instance that cannot be read.
        """
        return tuple(self.header(instance) for instance in instances)

    def survey(
        self, instances: Sequence[StoredInstance]
    ) -> tuple[tuple[InstanceHeader, ...], tuple[UnreadableInstanceError, ...]]:
        """Parse each instance once, and name what cannot be read instead of raising: other series do not suffer.

        Raises
        ------
        UnreadableInstanceError
            Only ``file-does-not-match-index``: then nobody knows what the files are.
        """
        found: list[InstanceHeader] = []
        errors: list[UnreadableInstanceError] = []
        for instance in instances:
            try:
                found.append(self.header(instance))
            except UnreadableInstanceError as error:
                if error.code == ANOTHER_INSTANCE:
                    raise
                errors.append(error)
                found.append(replace(header_of(instance, {}), unreadable=error.code))
        return tuple(found), tuple(errors)

    def header(self, instance: StoredInstance) -> InstanceHeader:
        """Parse the header of one instance, without its pixels."""
        parsed = parse_indexed(instance, self._limits)
        with reading(parsed.name):
            declare(parsed.dataset, self._stated.of(instance.calling_ae_title))
            return header_of(instance, attributes_of(parsed.dataset))

    def series(self, headers: Sequence[InstanceHeader]) -> tuple[SeriesSummary, ...]:
        """Group by study and series, and summarize geometry. Ordered by Series Instance UID."""
        groups: dict[tuple[str, str], list[InstanceHeader]] = {}
        for header in headers:
            index = header.instance.header
            groups.setdefault((index.series_instance_uid, index.study_instance_uid), []).append(header)
        return tuple(_summary(groups[key]) for key in sorted(groups))


def parse_indexed(instance: StoredInstance, limits: ReadLimits) -> ParsedInstance:
    """Parse an instance. Raises UnreadableInstanceError, also when the file is not the instance that was indexed."""
    parsed = parse_stored(instance, limits)
    with reading(parsed.name):
        found = text_of(parsed.dataset, SOP_INSTANCE_UID)
    if found != parsed.name:
        raise UnreadableInstanceError(
            f"The file that is indexed as instance {parsed.name} holds another instance.",
            next_step="Quarantine the study and check the spool: a file was changed behind the index.",
            code=ANOTHER_INSTANCE,
        )
    return parsed


def header_of(instance: StoredInstance, attributes: Attributes) -> InstanceHeader:
    """Put the numbers that everybody needs beside the attributes."""
    attributes = {**implied(instance, attributes), **attributes}
    orientation = floats(attributes, "ImageOrientationPatient")
    position = floats(attributes, "ImagePositionPatient")
    frame_of_reference = attributes.get("FrameOfReferenceUID", ("",))[0]
    return InstanceHeader(
        instance=instance,
        attributes=attributes,
        rows=_positive(attributes, "Rows"),
        columns=_positive(attributes, "Columns"),
        number_of_frames=_positive(attributes, "NumberOfFrames") or 1,
        frame_of_reference_uid=FrameOfReferenceUID(frame_of_reference) if frame_of_reference else None,
        image_orientation_patient=orientation[:6] if orientation and len(orientation) >= 6 else None,
        image_position_patient=(position[0], position[1], position[2]) if position and len(position) >= 3 else None,
    )


def implied(instance: StoredInstance, attributes: Attributes) -> Attributes:
    """What an image says without an attribute, so that a rule can ask for it.

    Number of Frames is 1 for single-frame images; Presentation Intent Type is that of the SOP class (a digital X-ray
    or mammogram for processing is another class than the one for presentation, PS3.4 B.5).
    """
    found: Attributes = {"NumberOfFrames": ("1",)} if "Rows" in attributes else {}
    intent = intent_of(instance.header.sop_class_uid)
    if intent:
        found["PresentationIntentType"] = (intent,)
    return found


def _summary(group: list[InstanceHeader]) -> SeriesSummary:
    ordered = tuple(sorted(group, key=lambda header: header.instance.sop_instance_uid))
    index = ordered[0].instance.header
    aside = set_aside(ordered)
    left_out = {one.sop_instance_uid for one in aside}
    kept = [header for header in ordered if header.instance.sop_instance_uid not in left_out]
    images = [header for header in kept if header.rows and header.columns]
    orientation, spacing = _geometry(images)
    thicknesses = [
        value for header in images for value in floats(header.attributes, "SliceThickness") or () if value > 0
    ]
    modalities = Counter(header.instance.header.modality for header in kept)
    return SeriesSummary(
        series_instance_uid=index.series_instance_uid,
        study_instance_uid=index.study_instance_uid,
        modality=min(modalities, key=lambda modality: (-modalities[modality], modality)),
        headers=ordered,
        orientation=orientation,
        slice_count=sum(header.number_of_frames for header in images),
        slice_spacing_mm=spacing,
        slice_thickness_mm=median(thicknesses) if thicknesses else None,
        rows=_common([header.rows for header in images]),
        columns=_common([header.columns for header in images]),
        aside=aside,
    )


def _geometry(images: list[InstanceHeader]) -> tuple[str, float | None]:
    """Name of the orientation, and median spacing along the normal."""
    orientations: list[tuple[float, ...]] = []
    positions: list[tuple[float, ...]] = []
    complete = True
    for header in images:
        values = floats(header.attributes, "ImageOrientationPatient") or ()
        orientations.extend(values[i : i + 6] for i in range(0, len(values) - 5, 6))
        places = floats(header.attributes, "ImagePositionPatient") or ()
        complete = complete and len(places) == 3 * header.number_of_frames
        positions.extend(places[i : i + 3] for i in range(0, len(places) - 2, 3))
    axes = axes_of(orientations[0]) if orientations else None
    if axes is None:
        return "unknown", None
    if len(groups_of_orientation(orientations)) > 1:
        return "mixed", None
    return name_of_orientation(axes.normal), median_spacing_mm(positions, axes.normal) if complete else None


def _positive(attributes: Attributes, keyword: str) -> int | None:
    number = integer(attributes, keyword)
    return number if number is not None and number > 0 else None


def _common(values: list[int | None]) -> int | None:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None
