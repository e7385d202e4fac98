"""What one image says that it is: a slice as it was acquired, a localizer, something derived, or a screen.

Image Type (PS3.3 C.7.6.1.1.2) and what stands beside it, of one image at a time. ``""`` is the answer for "no"; else a
reason without PHI.
"""

from __future__ import annotations

import re

from worker.domain.study import InstanceHeader

PICTURES = frozenset({"CR", "DX", "MG", "IO", "PX", "RG", "XA", "RF", "US", "IVUS"})
"""Modalities of projection and ultrasound images."""

_PROCESSED = frozenset(
    {
        "MPR", "MPVR", "MIP", "MINIP", "MAXIP", "AVERAGE", "REFORMATTED", "REFORMAT", "RESAMPLED", "CURVED", "CPR",
        "VRT", "VOLREN", "RENDERED", "SSD", "PROJECTION", "SUBTRACTION", "SUBTRACTED", "SUBTRACT", "SUB", "DSA",
        "PERFUSION", "ADC", "TRACE", "TRACEW", "FA", "MAP", "PARAMETRIC", "IODINE", "MATERIAL", "ZEFF",
    }
)  # fmt: skip
"""What value 3 and further ones say of images that were calculated from others."""

_LOSSY_COMPRESSION = "113040"
"""Derivation Code (CID 7203): lossy compression."""

_SCREENS = frozenset({"SCREEN SAVE", "SCREENSAVE", "SCREEN CAPTURE", "SCREENSHOT", "DOSE_INFO", "DOSE INFO"})
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""The SOP class, and with a suffix its multi-frame classes."""


def localizer(header: InstanceHeader) -> str:
    """Whether it is a scout: Image Type value 3 is LOCALIZER (PS3.3 C.8.2.1.1.1)."""
    return "a localizer (ImageType)" if "LOCALIZER" in types_of(header) else ""


def derived(header: InstanceHeader) -> str:
    """Whether its pixels were calculated from other images.

    Value 1 is DERIVED for that, and for the images of the scanner as soon as they are compressed with loss; value 2
    stays PRIMARY then, and value 3 AXIAL in CT. What a detector or an ultrasound system makes for presentation is
    DERIVED as well, and what there is to read: there value 2 tells it from a screen (PS3.3 C.8.11.3.1.1, C.8.5.6.1.1).
    """
    types = types_of(header)
    modality = header.first("Modality") or header.instance.header.modality
    is_derived = types[:1] == ("DERIVED",)
    if not is_derived and modality not in ("CT", "PT"):
        return ""
    if modality not in PICTURES and any(_is_processed(value) for value in types[2:]):
        return f"derived, not original (ImageType {_quoted(types)})"
    if not is_derived or (types[1:2] == ("PRIMARY",) and (modality in PICTURES or _is_acquired(header, types))):
        return ""
    return f"derived, not original (ImageType {_quoted(types)})"


def screen(header: InstanceHeader) -> str:
    """Whether it is a picture of a screen or of a document instead of one of the scanner."""
    if _SCREENS & set(types_of(header)):
        return "a screen save (ImageType)"
    if "WSD" in {value.upper() for value in header.attributes.get("ConversionType", ())}:
        return "a workstation's secondary capture (ConversionType)"
    return ""


def is_secondary_capture(header: InstanceHeader) -> bool:
    """Whether its SOP class is one of Secondary Capture."""
    sop_class = header.instance.header.sop_class_uid
    return sop_class == _SECONDARY_CAPTURE or sop_class.startswith(f"{_SECONDARY_CAPTURE}.")


def burned_in(header: InstanceHeader) -> str:
    """Whether text is burned into its pixels."""
    if "YES" in {value.upper() for value in header.attributes.get("BurnedInAnnotation", ())}:
        return "an image with annotation burned into its pixels (BurnedInAnnotation)"
    return ""


def types_of(header: InstanceHeader) -> tuple[str, ...]:
    """Values of Image Type, in capitals."""
    return tuple(value.strip().upper() for value in header.attributes.get("ImageType", ()))


def _is_acquired(header: InstanceHeader, types: tuple[str, ...]) -> bool:
    attributes = header.attributes
    return (
        types[2:3] == ("AXIAL",)
        or attributes.get("LossyImageCompression", ("",))[0] == "01"
        or _LOSSY_COMPRESSION in attributes.get("DerivationCodeValue", ())
    )


def _is_processed(value: str) -> bool:
    words = re.split(r"[^A-Z0-9]+", value)
    return not _PROCESSED.isdisjoint((*words, "".join(words)))


def _quoted(types: tuple[str, ...]) -> str:
    # Results carry this as a note: no characters that an SR cannot hold.
    return '"' + re.sub(r"[^A-Z0-9 _.,/-]", "?", ", ".join(types)[:60]) + '"'
