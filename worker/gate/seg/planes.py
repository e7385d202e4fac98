"""Gate checks of SEG frames on projection and ultrasound images: pixel on pixel, and millimetres only where stated."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset

from worker.domain.findings import Conclusion
from worker.gate.reading import numbers_of
from worker.gate.seg.reading import Frame, Vector

_STAND_IN = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_SAME_SPACING = 1e-3
"""Largest relative difference of pixel spacings."""


def plane_problems(frame: Frame, image: Dataset, conclusion: Conclusion, *, stand_in: bool) -> Iterator[str]:
    """Compare a frame with the image, or frame of it, that it was made from (PS3.3 A.51.5.1).

    ``stand_in`` tells whether an orientation, and a distance of planes where no spacing is known, have to be stated
    that stand for none.
    """
    number = frame.source[1]
    frames = int(image.get("NumberOfFrames") or 1)
    if number is not None and not 1 <= number <= frames:
        yield f"names frame {number} of an image of {frames}"
    if number is None and frames > 1:
        yield f"does not say which of {frames} frames of its image it belongs to"
    orientation = () if frame.orientation is None else tuple(frame.orientation)
    if frame.position is not None or orientation not in {(), _STAND_IN}:
        yield "claims a place in the patient that its image does not have"
    if bool(orientation) is not stand_in:
        yield "has, or lacks, the orientation that stands for none, against the profile"
    if (frame.between_slices_mm is not None) is not (stand_in and not conclusion.volume.has_spacing):
        yield "has, or lacks, the distance of planes that stands for none, against the profile"
    if not conclusion.volume.has_spacing:
        if frame.spacing is not None:
            yield "claims a pixel spacing that is not known"
        return
    spacing = np.array(conclusion.volume.geometry.spacing_mm[1:])
    if frame.spacing is None or not np.allclose(frame.spacing, spacing, rtol=_SAME_SPACING):
        yield "has another pixel spacing than the volume"
    stated = list(stated_spacings(image))
    if not any(np.allclose(spacing, one, rtol=_SAME_SPACING) for one in stated):
        yield "has a pixel spacing that its image does not state"


def stated_spacings(image: Dataset) -> Iterator[Vector]:
    """Every pixel spacing (row, column, in mm) that a projection or ultrasound image states, whatever it is of.

    In the patient (PS3.3 10.7.1.1), at the detector (C.8.11.4), there divided by the magnification, of a scanned film
    (C.8.6.2), or of the regions of an ultrasound image (C.8.5.5).
    """
    magnification = (numbers_of(image, "EstimatedRadiographicMagnificationFactor") or [1.0])[0]
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        spacing = np.array(numbers_of(image, keyword))
        if len(spacing) == 2:
            yield spacing
            if magnification > 0:
                yield spacing / magnification
    for region in image.get("SequenceOfUltrasoundRegions") or []:
        # Physical units 3 are centimetres.
        if (
            int(region.get("PhysicalUnitsXDirection") or 0) == 3
            and int(region.get("PhysicalUnitsYDirection") or 0) == 3
        ):
            yield 10 * np.abs([float(region.PhysicalDeltaY), float(region.PhysicalDeltaX)])
    for groups in (
        image.get("SharedFunctionalGroupsSequence") or [],
        image.get("PerFrameFunctionalGroupsSequence") or [],
    ):
        for item in groups:
            for measures in item.get("PixelMeasuresSequence") or []:
                if measures.get("PixelSpacing"):
                    yield np.array([float(v) for v in measures.PixelSpacing])
