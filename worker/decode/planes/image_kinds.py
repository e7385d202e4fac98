"""Which images are slices of the patient, and which are pictures of their own: projections, ultrasound, photographs."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from pydicom import uid

from worker.domain.study import InstanceHeader


class Kind(Enum):
    """How images of a SOP class are read."""

    SLICES = "slices"
    """Planes with a place in the patient: they are stacked by it, or refused."""
    PICTURES = "pictures"
    """Every frame is an image of its own, with at most a pixel spacing in its plane."""


_SLICES = (
    uid.CTImageStorage, uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage,
    uid.MRImageStorage, uid.EnhancedMRImageStorage, uid.EnhancedMRColorImageStorage,
    uid.LegacyConvertedEnhancedMRImageStorage,
    uid.PositronEmissionTomographyImageStorage, uid.EnhancedPETImageStorage,
    uid.LegacyConvertedEnhancedPETImageStorage,
    uid.XRay3DAngiographicImageStorage, uid.XRay3DCraniofacialImageStorage, uid.BreastTomosynthesisImageStorage,
    uid.EnhancedUSVolumeStorage, uid.OphthalmicTomographyImageStorage,
    uid.IntravascularOpticalCoherenceTomographyImageStorageForPresentation,
    uid.IntravascularOpticalCoherenceTomographyImageStorageForProcessing,
)  # fmt: skip
_PICTURES = (
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation, uid.DigitalXRayImageStorageForProcessing,
    uid.DigitalMammographyXRayImageStorageForPresentation, uid.DigitalMammographyXRayImageStorageForProcessing,
    uid.DigitalIntraOralXRayImageStorageForPresentation, uid.DigitalIntraOralXRayImageStorageForProcessing,
    uid.BreastProjectionXRayImageStorageForPresentation, uid.BreastProjectionXRayImageStorageForProcessing,
    uid.XRayAngiographicImageStorage, uid.EnhancedXAImageStorage,
    uid.XRayRadiofluoroscopicImageStorage, uid.EnhancedXRFImageStorage,
    uid.UltrasoundImageStorage, uid.UltrasoundMultiFrameImageStorage,
    uid.VLEndoscopicImageStorage, uid.VLMicroscopicImageStorage, uid.VLPhotographicImageStorage,
    uid.DermoscopicPhotographyImageStorage,
    uid.OphthalmicPhotography8BitImageStorage, uid.OphthalmicPhotography16BitImageStorage,
)  # fmt: skip

_RETIRED_PICTURES = (
    "1.2.840.10008.5.1.4.1.1.12.3",  # X-Ray Angiographic Bi-Plane
    "1.2.840.10008.5.1.4.1.1.3",  # Ultrasound Multi-frame
    "1.2.840.10008.5.1.4.1.1.6",  # Ultrasound
)

KINDS: dict[str, Kind] = {
    **{str(one): Kind.SLICES for one in _SLICES},
    **{str(one): Kind.PICTURES for one in (*_PICTURES, *_RETIRED_PICTURES)},
}
"""By SOP class. Others (Secondary Capture, and what is newer than this table) go by their modality."""

PICTURE_MODALITIES = frozenset(
    {"CR", "DX", "MG", "IO", "PX", "RG", "XA", "RF", "US", "IVUS", "ES", "XC", "GM", "DMS", "OP"}
)
"""Modalities (PS3.3 C.7.3.1.1.1) whose images are pictures, unless they say where in the patient they lie."""

ULTRASOUND = frozenset(
    {str(uid.UltrasoundImageStorage), str(uid.UltrasoundMultiFrameImageStorage), *_RETIRED_PICTURES[1:]}
)

_INTENTS = {
    str(one): intent
    for intent, classes in {
        "FOR PRESENTATION": (
            uid.DigitalXRayImageStorageForPresentation, uid.DigitalMammographyXRayImageStorageForPresentation,
            uid.DigitalIntraOralXRayImageStorageForPresentation, uid.BreastProjectionXRayImageStorageForPresentation,
        ),
        "FOR PROCESSING": (
            uid.DigitalXRayImageStorageForProcessing, uid.DigitalMammographyXRayImageStorageForProcessing,
            uid.DigitalIntraOralXRayImageStorageForProcessing, uid.BreastProjectionXRayImageStorageForProcessing,
        ),
    }.items()
    for one in classes
}  # fmt: skip


def kind_of(header: InstanceHeader) -> Kind:
    """How one image is read: by its SOP class, else by its modality and by the absence of a position."""
    index = header.instance.header
    known = KINDS.get(index.sop_class_uid)
    if known is not None:
        return known
    is_picture = index.modality in PICTURE_MODALITIES and "ImagePositionPatient" not in header.attributes
    return Kind.PICTURES if is_picture else Kind.SLICES


def are_pictures(images: Sequence[InstanceHeader]) -> bool:
    """Whether a series is one of pictures: every image of it."""
    return all(kind_of(image) is Kind.PICTURES for image in images)


def is_ultrasound(header: InstanceHeader) -> bool:
    """Whether the pixel spacing is that of ultrasound regions."""
    index = header.instance.header
    return index.modality in ("US", "IVUS") or index.sop_class_uid in ULTRASOUND


def intent_of(sop_class_uid: str) -> str:
    """Presentation Intent Type (0008,0068) that a SOP class implies, or the empty string."""
    return _INTENTS.get(sop_class_uid, "")
