"""Why the bytes of an instance cannot be read."""

from __future__ import annotations

from typing import Final

from worker.domain.errors import PermanentError

UNREADABLE: Final[dict[str, str]] = {
    "unreadable-instance": "The file is not a DICOM data set, or an element of it cannot be read.",
    "truncated-instance": "The file ends in the middle of an element or of a sequence.",
    "nesting-too-deep": "Sequences are nested deeper than any real object.",
    "header-too-large": "The elements before the pixel data are larger than the limit.",
    "deflate-bomb": "A deflated data set grows beyond the limit.",
    "file-does-not-match-index": "The file holds another instance than the index says.",
}
"""The named outcomes of parsing."""


class UnreadableInstanceError(PermanentError):
    """An instance cannot be parsed. ``code`` is one of ``UNREADABLE``, or one of a file that is no instance."""
