"""Where an unexpected error came from, for a log that must not quote a data set."""

from __future__ import annotations

import traceback


def where(error: Exception) -> dict[str, str]:
    """Type and place of an error: enough to find a bug, and not a byte of a data set."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return {"error_type": type(error).__name__, "error_place": place}
