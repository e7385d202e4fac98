"""Outputs that are an outlined structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from worker.inference.entries.output_parts import Channel, CodeEntry, Colour, EvaluationEntry, Label
from worker.inference.entries.strict import Strict
from worker.inference.measure import MeasurementName


class SegmentEntry(Strict):
    """A structure that the model outlines.

    ``number`` counts from 1 without a gap; ``channel`` is the channel of the net's output that shows it.
    ``category`` and ``type`` are the segmented property category and type (PS3.3 C.8.20.2, CID 7150 and 7151).
    ``contains`` are the labels of segments that lie in it and are part of it: a tumour with its necrotic core.
    """

    number: Annotated[int, Field(ge=1, le=65535)]
    channel: Channel
    label: Label
    category: CodeEntry
    type: CodeEntry
    laterality: CodeEntry | None = None
    site: CodeEntry | None = None
    colour_rgb: Colour
    tracking_identifier: Label
    measurements: tuple[MeasurementName, ...] = ("volume",)
    evaluations: tuple[EvaluationEntry, ...] = ()
    contains: tuple[Label, ...] = ()


def numbers_within(entries: Sequence[SegmentEntry]) -> dict[str, tuple[int, ...]]:
    """Values of the label map that are part of each segment, by label: its own number, then what lies in it.

    What lies in a contained segment lies in the outer one as well. Raises ValueError where a segment would contain
    itself, or one that is not there.
    """
    by_label = {entry.label: entry for entry in entries}
    found = {}
    for entry in entries:
        inside: dict[str, int] = {}
        ahead = list(entry.contains)
        while ahead:
            label = ahead.pop(0)
            if label not in by_label:
                raise ValueError(f'segment "{entry.label}" contains "{label}", which is no segment')
            if label == entry.label:
                raise ValueError(f'segment "{entry.label}" contains itself')
            if label not in inside:
                inside[label] = by_label[label].number
                ahead += by_label[label].contains
        found[entry.label] = (entry.number, *sorted(inside.values()))
    return found
