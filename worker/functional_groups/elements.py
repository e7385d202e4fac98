"""The elements of one level of a data set as they stand there: a multi-frame object has tens of thousands of levels."""

from __future__ import annotations

from operator import itemgetter

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

Elements = list[tuple[int, RawDataElement | DataElement]]

_tag = itemgetter(0)


def elements_of(dataset: Dataset) -> Elements:
    """Elements with their tags, in the order of the tags: what ``Dataset.elements`` gives, and as little converted.

    Tags are plain numbers, because those of pydicom are compared in Python, and each is looked up once.
    """
    found = sorted(zip(map(int, dataset.keys()), dataset.values(), strict=True), key=_tag)
    return [(tag, dataset.get_item(tag) if element.value is None else element) for tag, element in found]
