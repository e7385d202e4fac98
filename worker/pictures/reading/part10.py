"""Encoded objects as data sets (PS3.10), and what is raised for one that is not shown."""

from __future__ import annotations

import warnings
from io import BytesIO

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from worker.domain.errors import PermanentError
from worker.functional_groups.groups import items_of


class NotShownError(PermanentError):
    """An object cannot be read back, or does not lie on the images: it is named, and not drawn."""


def unreadable(message: str) -> NotShownError:
    """The error for an object that is broken (``object-unreadable``)."""
    return NotShownError(message, code="object-unreadable")


def read_object(content: bytes) -> Dataset:
    """Parse a Part 10 file. Raises NotShownError (``object-unreadable``), and what pydicom raises for broken bytes."""
    # pydicom comments on odd values, and comments could repeat patients.
    with config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = dcmread(BytesIO(content))
    if "SOPClassUID" not in ds or "SOPInstanceUID" not in ds:
        raise unreadable("It is no DICOM object any more.")
    return ds


def first_item(ds: Dataset, keyword: str) -> Dataset:
    """The first item of a sequence; an empty one when there is none."""
    return next(iter(items_of(ds, keyword)), Dataset())
