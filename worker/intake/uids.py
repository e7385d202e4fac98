"""UIDs as they arrive (PS3.5 9.1): in associations, commands and data sets."""

from __future__ import annotations

import re
from typing import Final

# Digits and dots (PS3.5 9.1). A component with a leading zero is forbidden there but is sent by real devices, and it
# is compared as an exact string like any other: accepted.
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*\Z")


def valid_uid(text: str) -> bool:
    """Tell whether a UID is well-formed: at most 64 characters, non-empty components of digits."""
    return len(text) <= 64 and _UID.match(text) is not None


def trim_uid(value: bytes) -> str:
    """Remove trailing NULs and spaces, as many as some writers put there; nothing else is forgiven."""
    return value.rstrip(b"\0 ").decode("latin-1")
