"""The date and time of results: that of the images, never of a clock.

The same evidence, model and configuration give the same UIDs, and so must give the same bytes: a PACS that has the
object may refuse another one under its UID, or keep either. When the work was done stands in the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from pydicom.dataset import Dataset

from worker.results.copied_attributes import raw_value

MOMENTS: Final = ("Content", "Acquisition", "Series", "Study")
"""In the order in which an image is asked: the last step of its making first."""

UNKNOWN: Final = datetime(1900, 1, 1)  # noqa: DTZ001 - DICOM dates are local
"""Content Date and Time are required (PS3.3 C.17.2): of images without any date they say this."""

_DATE: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})\Z")
_TIME: Final = re.compile(r"([0-9]{2})([0-9]{2})?([0-9]{2})?(?:\.([0-9]{1,6}))?\Z")


def latest_moment(headers: Iterable[Dataset]) -> datetime:
    """The latest date and time of images that were read and not yet converted, in their own time zone."""
    return max((found for ds in headers if (found := _moment(ds)) is not None), default=UNKNOWN)


def _moment(ds: Dataset) -> datetime | None:
    for prefix in MOMENTS:
        found = _parsed(_text(ds, f"{prefix}Date"), _text(ds, f"{prefix}Time"))
        if found is not None:
            return found
    return None


def _parsed(date: str, time: str) -> datetime | None:
    """None without a date; midnight without a time that can be read."""
    day = _DATE.match(date)
    if day is None:
        return None
    clock = _TIME.match(time)
    hour, minute, second = (int(clock[n] or 0) for n in (1, 2, 3)) if clock else (0, 0, 0)
    fraction = int(f"{clock[4]:0<6}") if clock and clock[4] else 0
    year, month, day_of_month = (int(day[n]) for n in (1, 2, 3))
    try:
        return datetime(year, month, day_of_month, hour, minute, min(second, 59), fraction)  # noqa: DTZ001 - local
    except ValueError:
        return None


def _text(ds: Dataset, keyword: str) -> str:
    return raw_value(ds, keyword).decode("latin-1").strip(" \0")
