"""Destination profiles: which result objects go to whom, and how they are encoded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SegmentEncoding(StrEnum):
    """How segmentations are encoded (PS3.3 C.8.20.2.3)."""

    BINARY = "binary"
    LABELMAP = "labelmap"
    FRACTIONAL = "fractional"
    NONE = "none"


class RegionEncoding(StrEnum):
    """How regions are drawn in the report: on an image (SCOORD) or in patient coordinates (SCOORD3D)."""

    IMAGE = "image"
    PATIENT = "patient"


class Statements(StrEnum):
    """Where statements without a place go (classifications, quantities, absence, quality).

    TEXT: a Basic Text SR, which every viewer can read. TEMPLATE: measurement groups of TID 1501 in the TID 1500
    report, which OHIF cannot open. BOTH: each of them.
    """

    TEXT = "text"
    TEMPLATE = "template"
    BOTH = "both"


class KeyImages(StrEnum):
    """Secondary Capture images with everything drawn into the pixels."""

    NONE = "none"
    SINGLE_FRAME = "single-frame"
    MULTI_FRAME = "multi-frame"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a kind of destination gets. The defaults are what OHIF 3.13 shows rightly.

    ``report``: the TID 1500 report. ``editable_measurements``: tracking identifiers that OHIF takes for its own tools,
    so that a user can edit, and then re-save, what the AI measured. ``heat_maps``: as Parametric Map. ``one_template``:
    one TID 1500 report per measurement group template, as IHE's validator wants them. ``refusals``: "not analysed,
    because ..." is sent as well. ``colours``: sRGB by segment label, in place of the model's. ``series_number``: of
    the first result series; None is the installation's. ``series_prefix`` begins every Series Description.
    ``character_set``: of all text (PS3.3 C.12.1.1.2); what it cannot write stops the encoding. None: UTF-8 where the
    text of the images is beyond doubt, else what the images declare, and their very bytes.
    ``stand_in_orientation``: segmentations of projection and ultrasound images state the orientation (1, 0, 0, 0, 1, 0)
    without a position, and a distance of planes where no pixel spacing is known; those images have none, but OHIF 3.13
    does not open a segmentation without.
    """

    name: str
    segmentation: SegmentEncoding = SegmentEncoding.BINARY
    report: bool = True
    regions: RegionEncoding = RegionEncoding.IMAGE
    statements: Statements = Statements.TEXT
    one_template: bool = False
    editable_measurements: bool = False
    heat_maps: bool = True
    key_images: KeyImages = KeyImages.NONE
    key_object_selection: bool = False
    presentation_state: bool = False
    refusals: bool = False
    character_set: str | None = None
    stand_in_orientation: bool = True
    series_number: int | None = None
    series_prefix: str = "AI DRAFT"
    colours: tuple[tuple[str, tuple[int, int, int]], ...] = ()


OHIF = Profile(name="ohif")
SLICER = Profile(
    name="slicer",
    regions=RegionEncoding.PATIENT,
    statements=Statements.BOTH,
    one_template=True,
    heat_maps=True,
    stand_in_orientation=False,
)
WEASIS = Profile(
    name="weasis", key_object_selection=True, presentation_state=True, heat_maps=False, stand_in_orientation=False
)
PLAIN = Profile(
    name="plain",
    segmentation=SegmentEncoding.NONE,
    report=False,
    heat_maps=False,
    key_images=KeyImages.SINGLE_FRAME,
    key_object_selection=True,
)

BUILT_IN: tuple[Profile, ...] = (OHIF, SLICER, WEASIS, PLAIN)
"""Profiles that every installation has; a site adds its own in the configuration."""


_SEGMENTATION_CLASSES: dict[SegmentEncoding, set[str]] = {
    SegmentEncoding.BINARY: {"1.2.840.10008.5.1.4.1.1.66.4"},
    SegmentEncoding.FRACTIONAL: {"1.2.840.10008.5.1.4.1.1.66.4"},
    SegmentEncoding.LABELMAP: {"1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.66.4"},
    SegmentEncoding.NONE: set(),
}
_KEY_IMAGE_CLASSES = {
    KeyImages.SINGLE_FRAME: "1.2.840.10008.5.1.4.1.1.7",
    KeyImages.MULTI_FRAME: "1.2.840.10008.5.1.4.1.1.7.4",
}


def segment_encoding(profile: Profile, *, overlap: bool) -> SegmentEncoding:
    """How a profile wants a segmentation; ``overlap``: a voxel of it belongs to several segments.

    A label map has one value a voxel, and no room for a second (PS3.3 C.8.20.2.3): such a segmentation goes as BINARY.
    """
    if overlap and profile.segmentation is SegmentEncoding.LABELMAP:
        return SegmentEncoding.BINARY
    return profile.segmentation


def sop_classes(profile: Profile) -> frozenset[str]:
    """The SOP classes that a profile may send; the rejection notes that a destination asks for are not among them."""
    further = {
        "1.2.840.10008.5.1.4.1.1.88.34": profile.report,  # Comprehensive 3D SR
        "1.2.840.10008.5.1.4.1.1.30": profile.heat_maps,  # Parametric Map
        "1.2.840.10008.5.1.4.1.1.88.59": profile.key_object_selection,  # Key Object Selection
        "1.2.840.10008.5.1.4.1.1.11.1": profile.presentation_state,  # Grayscale Softcopy Presentation State
    }
    found = {_KEY_IMAGE_CLASSES.get(profile.key_images), *_SEGMENTATION_CLASSES[profile.segmentation]}
    found |= {uid for uid, sent in further.items() if sent}
    text = "1.2.840.10008.5.1.4.1.1.88.11"  # Basic Text SR: of every profile, for what only words can say
    return frozenset({text, *(uid for uid in found if uid is not None)})
