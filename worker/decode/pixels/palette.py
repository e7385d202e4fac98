"""Palette colour (PS3.3 C.7.6.3.1.5, C.7.9): from stored values to the luminance of their colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.decode.outcomes import PixelDataError
from worker.headers.parsing import ParsedInstance, reading

WEIGHTS = (0.299, 0.587, 0.114)
"""Of red, green and blue in the luminance (ITU-R BT.601, the one of YBR_FULL: PS3.3 C.7.6.3.1.2)."""

_COLOURS = ("Red", "Green", "Blue")
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2

LONGEST_SEGMENTED_BYTES = 2**20
"""Segments describe at most 65536 entries: no real table is longer than these would be."""


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    """``luminance[stored - first]`` from 0 (black) to 255 (white), and the ends beyond the table."""

    first: int
    luminance: NDArray[np.float32]
    remark: str = ""

    def apply(self, stored: NDArray[np.integer]) -> NDArray[np.float32]:
        """Luminance (float32, 0 to 255) of stored values; those outside of the table take its ends."""
        index = np.clip(stored.astype(np.int64) - self.first, 0, len(self.luminance) - 1)
        mapped: NDArray[np.float32] = self.luminance[index]
        return mapped


def palette_of(parsed: ParsedInstance, *, signed: bool) -> Palette:
    """Read the three tables of an instance, whole or in segments.

    Raises
    ------
    PixelDataError
        ``bad-palette`` when a table is missing, too short, or contradicts the others.
    """
    with reading(parsed.name):
        tables = [_table(parsed, colour) for colour in _COLOURS]
    descriptors = {(first, len(values)) for first, values, _ in tables}
    if len(descriptors) > 1:
        raise _bad(parsed.name, "its tables are of different lengths, or start at different values")
    first = tables[0][0]
    if signed and first >= 0x8000:
        first -= 0x10000
    wide = [bits > 8 for _, _, bits in tables]
    low = all(int(values.max()) <= 0xFF for _, values, _ in tables)
    remark = "the palette says 16 bits and uses the lower 8: these were taken" if all(wide) and low else ""
    luminance = np.zeros(len(tables[0][1]), dtype=np.float64)
    for weight, (_, values, _), is_wide in zip(WEIGHTS, tables, wide, strict=True):
        luminance += weight * (values >> 8 if is_wide and not remark else values & 0xFF)
    return Palette(first, luminance.astype(np.float32), remark)


def _table(parsed: ParsedInstance, colour: str) -> tuple[int, NDArray[np.int64], int]:
    """First stored value, entries, and bits of an entry."""
    keyword = f"{colour}PaletteColorLookupTable"
    dataset, name = parsed.dataset, parsed.name
    descriptor = dataset.get(f"{keyword}Descriptor")
    if not isinstance(descriptor, Sequence) or len(descriptor) != 3:
        raise _bad(name, f"its {colour.lower()} table has no descriptor of three values")
    entries = int(descriptor[0]) & 0xFFFF or 65536
    bits = 16 if int(descriptor[2]) > 8 else 8
    whole, segmented = dataset.get(f"{keyword}Data"), dataset.get(f"Segmented{keyword}Data")
    if whole is not None:
        # Some say 16 bits and store 8: the length tells. Some say 8 and store each in a word.
        length = len(whole) if isinstance(whole, bytes) else 2 * entries
        packed = entries <= length < 2 * entries
        bits = 8 if packed else bits
        values = _numbers(whole, in_bytes=packed, little_endian=parsed.little_endian)
    elif isinstance(segmented, bytes) and len(segmented) <= LONGEST_SEGMENTED_BYTES:
        segments = _numbers(segmented, in_bytes=bits == 8, little_endian=parsed.little_endian)
        values = _expanded(segments.tolist(), entries, name=name, in_bytes=bits == 8)
    else:
        raise _bad(name, f"it has no {colour.lower()} table")
    if len(values) < entries:
        raise _bad(name, f"its {colour.lower()} table has {len(values)} of {entries} entries")
    return int(descriptor[1]) & 0xFFFF, values[:entries], bits


def _numbers(data: object, *, in_bytes: bool, little_endian: bool) -> NDArray[np.int64]:
    """Numbers of an element of words (OW, or US), or the two bytes of each word, the lower first."""
    if not isinstance(data, bytes):
        return np.asarray(data, dtype=np.int64).reshape(-1) & 0xFFFF
    words = np.frombuffer(data[: len(data) // 2 * 2], dtype="<u2" if little_endian else ">u2").astype("<u2")
    return (words.view(np.uint8) if in_bytes else words).astype(np.int64)


def _expanded(segments: Sequence[int], entries: int, *, name: str, in_bytes: bool) -> NDArray[np.int64]:
    """Segmented palette (PS3.3 C.7.9.2): discrete, linear and indirect segments; never more than ``entries``."""
    values: list[int] = []
    position = 0
    while position + 1 < len(segments) and len(values) < entries:
        if segments[position] != _INDIRECT:
            position = _segment(segments, position, values, entries, name)
            continue
        copies = segments[position + 1]
        place = segments[position + 2 : position + (6 if in_bytes else 4)]
        offset = sum(part << (8 if in_bytes else 16) * n for n, part in enumerate(place))
        start = offset if in_bytes else offset // 2  # in bytes from the start of the table
        for _ in range(copies):
            if start + 1 >= position or len(values) >= entries:
                break
            start = _segment(segments, start, values, entries, name)
        position += 6 if in_bytes else 4
    return np.array(values[:entries], dtype=np.int64)


def _segment(segments: Sequence[int], position: int, values: list[int], entries: int, name: str) -> int:
    """Expand one discrete or linear segment, which adds at least one value; returns where the next one starts."""
    code, count = segments[position], segments[position + 1]
    following = segments[position + 2 : position + 2 + (count if code == _DISCRETE else 1)]
    if code == _DISCRETE and count and len(following) == count:
        values.extend(following)
        return position + 2 + count
    if code == _LINEAR and count and following and values:
        steps = np.arange(1, min(count, entries - len(values)) + 1) / count
        values.extend(np.rint(values[-1] + (following[0] - values[-1]) * steps).astype(np.int64).tolist())
        return position + 3
    raise _bad(name, "a segment of its tables is none")


def _bad(name: str, what: str) -> PixelDataError:
    return PixelDataError(
        f"The palette of instance {name} cannot be applied: {what}.",
        next_step="Have the sender's software checked.",
        code="bad-palette",
    )
