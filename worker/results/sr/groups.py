"""Measurement groups of TID 1500 (PS3.16 TID 1410, 1411, 1501) and what all of them have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from worker.domain.codes import Code
from worker.domain.findings import Evaluation, Measurement
from worker.domain.model import Algorithm
from worker.results import coding
from worker.results import content_items as items
from worker.results.context import EncoderInput
from worker.results.header import algorithm_parameters
from worker.results.sr.spatial_coordinates import Graphic

PLANAR, VOLUMETRIC, PLACELESS = "1410", "1411", "1501"
"""Templates of groups with a region on one image, with a region in a volume, and without either."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A measurement group with the template that it follows."""

    template: str
    item: Dataset


@dataclass(frozen=True, slots=True)
class Subject:
    """What a group is about. ``finding`` is None where what was looked for has a name and no code."""

    tracking_identifier: str
    tracking_uid: str
    finding: Code | None
    category: Code | None = None
    site: Code | None = None
    laterality: Code | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What a group says of its subject."""

    measurements: Sequence[Dataset] = ()
    evaluations: Sequence[Evaluation] = ()
    comments: Sequence[str] = ()
    parameters: Sequence[str] = ()


def group(template: str, subject: Subject, algorithm: Algorithm, places: Sequence[Dataset], said: Said) -> Group:
    """Put a group together, in the order of its template's rows."""
    content = [
        items.text(items.CONTEXT, coding.TRACKING_IDENTIFIER, subject.tracking_identifier),
        items.uid(items.CONTEXT, coding.TRACKING_UID, subject.tracking_uid),
    ]
    if subject.category is not None:
        content.append(items.code(items.CONTAINS, coding.FINDING_CATEGORY, subject.category))
    if subject.finding is not None:
        content.append(items.code(items.CONTAINS, coding.FINDING, subject.finding))
    if subject.site is not None:
        side = [] if subject.laterality is None else [items.code(items.MODIFIER, coding.LATERALITY, subject.laterality)]
        content.append(items.code(items.MODIFIER, coding.FINDING_SITE, subject.site, side))
    elif subject.laterality is not None:
        # Laterality modifies a site; without one it is a property of the finding.
        content.append(items.code(items.CONTAINS, coding.LATERALITY, subject.laterality))
    content += _algorithm(algorithm, said.parameters)
    content += places
    content += said.measurements
    content += [items.code(items.CONTAINS, one.name, one.value) for one in said.evaluations]
    content += [items.text(items.CONTAINS, coding.COMMENT, words) for words in said.comments]
    made = items.section(coding.MEASUREMENT_GROUP, content)
    made.ContentTemplateSequence = [items.template(template)]
    return Group(template, made)


def number(measurement: Measurement, places: Sequence[Dataset] = ()) -> Dataset:
    """A measurement (TID 300): its method, its derivation, and the places that it was inferred from."""
    how = []
    if measurement.method is not None:
        how.append(items.code(items.MODIFIER, coding.METHOD, measurement.method))
    if measurement.derivation is not None:
        how.append(items.code(items.MODIFIER, coding.DERIVATION, measurement.derivation))
    return items.number(measurement.name, measurement.value, measurement.unit, [*how, *places])


def probability(share: float) -> Dataset:
    """Said in percent: viewers show the unit of a plain number as another 1 behind it."""
    return items.number(coding.PROBABILITY, 100 * share, coding.PERCENT)


def region_on(drawn: Graphic, index: int, inputs: EncoderInput) -> Dataset:
    """A region on slice ``index``."""
    return items.place(items.CONTAINS, coding.IMAGE_REGION, drawn.kind, drawn.points, image_of(index, inputs))


def image_of(index: int, inputs: EncoderInput) -> Dataset:
    """The image of an outline, as TID 1410 wants it."""
    frame = inputs.source.frames[index]
    return items.image(items.SELECTED, None, (frame.sop_class_uid, frame.sop_instance_uid), frame_number=frame.number)


def same(one: Code, other: Code) -> bool:
    """Tell whether two codes are the same concept, whatever their meaning is called."""
    return (one.value, one.scheme) == (other.value, other.scheme)


def _algorithm(algorithm: Algorithm, parameters: Sequence[str]) -> list[Dataset]:
    """Algorithm identification (PS3.16 TID 4019): name and version."""
    content = [
        items.text(items.MODIFIER, coding.ALGORITHM_NAME, algorithm.title),
        items.text(items.MODIFIER, coding.ALGORITHM_VERSION, algorithm.model.version),
        *(
            items.text(items.MODIFIER, coding.ALGORITHM_PARAMETERS, words)
            for words in (*algorithm_parameters(algorithm), *parameters)
        ),
        items.code(items.MODIFIER, coding.ALGORITHM_FAMILY, coding.ARTIFICIAL_INTELLIGENCE),
    ]
    if algorithm.manufacturer:
        content.append(items.text(items.MODIFIER, coding.ALGORITHM_MANUFACTURER, algorithm.manufacturer))
    return content
