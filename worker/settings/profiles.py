"""Destination profiles of a site: a built-in one, or an earlier one of the site, with changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from worker.domain.profile import BUILT_IN, OHIF, KeyImages, Profile, RegionEncoding, SegmentEncoding, Statements
from worker.settings.section import Name, Section

Byte = Annotated[int, Field(ge=0, le=255)]
CharacterSet = Literal[
    "ISO_IR 192", "ISO_IR 6", "ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 126", "ISO_IR 127",
    "ISO_IR 138", "ISO_IR 144", "ISO_IR 148", "ISO_IR 166", "GB18030", "GBK",
]  # fmt: skip
"""Specific Character Set without code extensions (PS3.3 C.12.1.1.2)."""
CharacterSetOfDevices = Literal[
    "windows-1250", "windows-1251", "windows-1252", "windows-1253", "windows-1254", "windows-1255", "windows-1256",
    "windows-1257", "windows-1258", "Big5", "Shift_JIS", "EUC-KR", "KOI8-R",
]  # fmt: skip
"""What no image can declare, and devices write all the same."""


class ProfileEntry(Section):
    """A profile of the site. What is not given is that of the profile that it is based on."""

    name: Name = Field(description="What destinations call it.")
    based_on: Name = Field(OHIF.name, description="A built-in profile (ohif, slicer, weasis, plain) or an earlier one.")
    segmentation: SegmentEncoding | None = Field(None, description="SEG as binary, labelmap, fractional, or none.")
    report: bool | None = Field(None, description="Send the TID 1500 measurement report.")
    regions: RegionEncoding | None = Field(
        None, description="Regions on an image (SCOORD) or in the patient (SCOORD3D)."
    )
    statements: Statements | None = Field(
        None,
        description="Statements without a place: in a text report, in groups of TID 1501 (template), or in both.",
    )
    one_template: bool | None = Field(None, description="One measurement report for each group template.")
    editable_measurements: bool | None = Field(
        None, description="Let OHIF take the measurements for its own, so that a user can change and re-save them."
    )
    heat_maps: bool | None = Field(None, description="Send heat maps as Parametric Maps.")
    key_images: KeyImages | None = Field(
        None, description="Secondary Captures with everything drawn in: none, single-frame or multi-frame."
    )
    key_object_selection: bool | None = Field(None, description="Send a Key Object Selection of what matters.")
    presentation_state: bool | None = Field(None, description="Send a Presentation State with the outlines.")
    refusals: bool | None = Field(None, description='Send "not analysed, because ..." where a model refuses a series.')
    character_set: CharacterSet | None = Field(
        None,
        description="Specific Character Set of all text; else UTF-8 where that is certain, or as the images have it.",
    )
    stand_in_orientation: bool | None = Field(
        None,
        description="Segmentations of projection images state an orientation that stands for none: OHIF needs one.",
    )
    series_number: int | None = Field(
        None, ge=1, le=99000, description="Series Number of the first result series; that of `results` when not given."
    )
    series_prefix: str | None = Field(
        None, min_length=8, max_length=32, description="Begins every Series Description; has the words AI and DRAFT."
    )
    colours: dict[str, tuple[Byte, Byte, Byte]] | None = Field(
        None, description="sRGB colours by segment label, in place of the model's."
    )

    def to_domain(self, base: Profile) -> Profile:
        """The profile, with what it takes over from ``base``."""
        given: dict[str, Any] = {
            name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None
        }
        del given["based_on"]
        if self.colours is not None:
            given["colours"] = tuple(sorted(self.colours.items()))
        return replace(base, **given)


def resolved(entries: Sequence[ProfileEntry]) -> dict[str, Profile]:
    """Every profile by its name: the built-in ones and the site's, in their order.

    Raises ValueError when a name is used twice, or a profile is based on one that does not come before it.
    """
    found = {profile.name: profile for profile in BUILT_IN}
    for entry in entries:
        if entry.name in found:
            raise ValueError(f"profiles: the name {entry.name!r} is used twice, or is that of a built-in profile")
        if entry.based_on not in found:
            raise ValueError(f"profiles: {entry.name!r} is based on {entry.based_on!r}; known are {', '.join(found)}")
        if entry.series_prefix is not None and not {"AI", "DRAFT"} <= set(entry.series_prefix.split()):
            raise ValueError(f"profiles: series_prefix of {entry.name!r} needs the words AI and DRAFT")
        found[entry.name] = entry.to_domain(found[entry.based_on])
    return found
