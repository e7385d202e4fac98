"""Which SOP classes and transfer syntaxes the listener takes (PS3.4 Annex B, PS3.5 Section 10, PS3.6 Annex A)."""

from __future__ import annotations

from typing import Final

from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom.sop_class import _STORAGE_CLASSES

VERIFICATION: Final = "1.2.840.10008.1.1"
STANDARD_STORAGE_ROOT: Final = "1.2.840.10008.5.1.4.1.1."
"""Every composite storage class is below it; so will be those of next year."""
STORAGE_CLASSES: Final = frozenset(str(uid) for uid in _STORAGE_CLASSES.values())
IMAGE_CLASSES: Final = frozenset(uid for uid in STORAGE_CLASSES if "Image Storage" in UID(uid).name)
"""Those whose instances have pixel data, by the names of PS3.6 Table A-1."""

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
DEFLATED_LITTLE: Final = "1.2.840.10008.1.2.1.99"
_JPIP_DEFLATE: Final = ("1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
DEFLATED: Final = frozenset({DEFLATED_LITTLE, *_JPIP_DEFLATE})
NATIVE: Final = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE})
VIDEO: Final = frozenset(
    f"1.2.840.10008.1.2.4.{number}{fragmentable}" for number in range(100, 109) for fragmentable in ("", ".1")
)
_NOT_FOR_STORAGE: Final = "1.2.840.10008.1.2.7."  # SMPTE ST 2110: real-time video, PS3.22
_RETIRED_JPEG: Final = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(52, 67))
_NEWER: Final = (
    "1.2.840.10008.1.2.4.94",  # JPIP Referenced
    "1.2.840.10008.1.2.4.110",  # JPEG XL Lossless
    "1.2.840.10008.1.2.4.111",  # JPEG XL JPEG Recompression
    "1.2.840.10008.1.2.4.112",  # JPEG XL
    "1.2.840.10008.1.2.8.1",  # Deflated Image Frame Compression
)


def _in_order_of_preference() -> tuple[str, ...]:
    """Uncompressed first, explicit before implicit: nothing to decode, and every VR is said."""
    first = [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG]
    rest = [str(uid) for uid in AllTransferSyntaxes if not uid.startswith(_NOT_FOR_STORAGE)]
    rest += [*_RETIRED_JPEG, *_NEWER, *_JPIP_DEFLATE]
    rest = [uid for uid in dict.fromkeys(rest) if uid not in first and uid not in DEFLATED]
    return (*first, *rest, DEFLATED_LITTLE, *_JPIP_DEFLATE)


TRANSFER_SYNTAXES: Final = _in_order_of_preference()


def is_storage_class(uid: str, *, extra: frozenset[str] = frozenset(), accept_private: bool = False) -> bool:
    """Tell whether instances of this class are taken.

    Parameters
    ----------
    uid:
        Abstract syntax that a peer proposes; a valid UID.
    extra:
        Classes that the site names.
    accept_private:
        Whether any class outside DICOM's own root is taken as a storage class.
    """
    if uid in STORAGE_CLASSES or uid.startswith(STANDARD_STORAGE_ROOT) or uid in extra:
        return True
    return accept_private and not uid.startswith("1.2.840.10008.")
