"""Elements that stand in a data set twice: readers differ on which counts, so both must say the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from worker.data_elements.byte_source import ByteSource
from worker.data_elements.faults import ScanError

_COMPARED_BYTES: Final = 16 << 20


def refuse_ambiguous_repeats(window: ByteSource, tops: Sequence[tuple[int, int, int]], end: int) -> None:
    """Compare the values of top-level elements with one tag.

    Private elements may differ: nothing here is decided by them.

    Parameters
    ----------
    window:
        The data set.
    tops:
        (tag, place of the element, place of its value), in the order of the data set.
    end:
        Where the last one ends.

    Raises
    ------
    ScanError
        ``duplicate-element``.
    """
    if len({tag for tag, _, _ in tops}) == len(tops):
        return
    ends = [place for _, place, _ in tops[1:]] + [end]
    first: dict[int, bytes] = {}
    counts: dict[int, int] = {}
    for tag, _, _ in tops:
        counts[tag] = counts.get(tag, 0) + 1
    forward = window.again()
    for (tag, _, value_at), value_end in zip(tops, ends, strict=True):
        if counts[tag] == 1 or tag & 0x10000:
            continue
        value = _value(forward, value_at, value_end - value_at)
        if value is None or first.setdefault(tag, value) != value:
            raise ScanError("An element stands in the data set twice, with two values.", code="duplicate-element")


def _value(window: ByteSource, position: int, count: int) -> bytes | None:
    if count > _COMPARED_BYTES:
        return None
    window.look(position, count)
    start = position - window.base
    return bytes(window.data[start : start + count])
