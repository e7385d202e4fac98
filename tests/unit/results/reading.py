"""Looking into encoded objects, with pydicom alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO

from pydicom import config, dcmread, dcmwrite
from pydicom.dataset import Dataset

from worker.domain.result import EncodedObject


def dataset(item: EncodedObject) -> Dataset:
    return dcmread(BytesIO(item.content))


def changed(item: EncodedObject, change: Callable[[Dataset], object]) -> EncodedObject:
    """The object with one thing changed in its bytes."""
    ds = dataset(item)
    with config.disable_value_validation():
        change(ds)
        buffer = BytesIO()
        dcmwrite(buffer, ds)
    return replace(item, content=buffer.getvalue())


def items(ds: Dataset) -> Iterator[Dataset]:
    for child in ds.get("ContentSequence") or []:
        yield child
        yield from items(child)


def named(ds: Dataset, code: str) -> list[Dataset]:
    """Content items with this concept name code, anywhere below."""
    return [i for i in items(ds) if i.get("ConceptNameCodeSequence") and i.ConceptNameCodeSequence[0].CodeValue == code]


def parent(ds: Dataset, code: str) -> tuple[Dataset, Dataset]:
    """The first item with this name and what holds it."""
    for child in ds.get("ContentSequence") or []:
        if child.get("ConceptNameCodeSequence") and child.ConceptNameCodeSequence[0].CodeValue == code:
            return ds, child
        try:
            return parent(child, code)
        except LookupError:
            continue
    raise LookupError(code)


def drop(ds: Dataset, code: str) -> None:
    holder, item = parent(ds, code)
    holder.ContentSequence = [other for other in holder.ContentSequence if other is not item]


def units(ds: Dataset) -> Iterator[Dataset]:
    """The codes of all units of measurement."""
    for item in items(ds):
        for measured in item.get("MeasuredValueSequence") or []:
            yield from measured.MeasurementUnitsCodeSequence
