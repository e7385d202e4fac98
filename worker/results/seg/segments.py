"""Segment descriptions (PS3.3 C.8.20.4): what each number of a segmentation stands for."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
from pydicom.dataset import Dataset

from worker.domain.findings import Segment
from worker.domain.model import Algorithm
from worker.domain.profile import Profile
from worker.results.coding import ARTIFICIAL_INTELLIGENCE, code_item, to_dicom
from worker.results.header import algorithm_parameters
from worker.results.segment_masks import written_label


def colour_of(segment: Segment, profile: Profile) -> tuple[int, int, int]:
    """Return the sRGB colour of a segment for a profile, which may have another than the model's."""
    return dict(profile.colours).get(segment.label, segment.colour_rgb)


def description(
    segment: Segment, algorithm: hd.AlgorithmIdentificationSequence, tracking_uid: str, profile: Profile
) -> hd.seg.SegmentDescription:
    """Make the item of Segment Sequence (0062,0002) for one segment, as far as highdicom does."""
    return hd.seg.SegmentDescription(
        segment_number=segment.number,
        segment_label=written_label(segment.label),
        segmented_property_category=to_dicom(segment.category),
        segmented_property_type=to_dicom(segment.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=tracking_uid,
        tracking_id=segment.tracking_identifier,
        anatomic_regions=[to_dicom(segment.site)] if segment.site is not None else None,
        display_color=hd.color.CIELabColor.from_rgb(*colour_of(segment, profile)),
    )


def algorithm_identification(algorithm: Algorithm) -> hd.AlgorithmIdentificationSequence:
    """Algorithm Identification Macro (PS3.3 10.16)."""
    sequence = hd.AlgorithmIdentificationSequence(
        name=algorithm.title[:64],
        version=algorithm.model.version[:64],
        family=to_dicom(ARTIFICIAL_INTELLIGENCE),
        source=algorithm.manufacturer[:64] or None,
    )
    sequence[0].AlgorithmParameters = "; ".join(algorithm_parameters(algorithm))[:10240]
    return sequence


def add_lateralities(ds: Dataset, segments: Sequence[Segment]) -> None:
    """Put the side of a segment beside its type, and beside its site where it has one (CID 244).

    Segmented Property Type Modifier (0062,0011) and Anatomic Region Modifier (0008,2220).
    """
    sides = {segment.number: segment.laterality for segment in segments}
    for item in ds.SegmentSequence:
        side = sides.get(int(item.SegmentNumber))
        if side is None:
            continue
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            code_item(side.value, side.scheme, side.meaning)
        ]
        for region in item.get("AnatomicRegionSequence") or []:
            region.AnatomicRegionModifierSequence = [code_item(side.value, side.scheme, side.meaning)]
