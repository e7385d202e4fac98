"""What a statement page says: everything that was concluded, so that no key image is taken for the whole result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from worker.domain.findings import Presence
from worker.drawing import lettering
from worker.drawing.canvas import WARNING
from worker.results.content_date import UNKNOWN
from worker.results.context import EncoderInput
from worker.results.display.key_slices import NEUTRAL, Choice, Colour, KeyFinding, classification_text, legible

DRAFT = "AI DRAFT - not verified by a physician"
CAUTION = "Not found by the algorithm does not mean that nothing is there."


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text with its colour (sRGB)."""

    text: str
    colour_rgb: Colour = NEUTRAL


def made_by(inputs: EncoderInput) -> str:
    """Model, version and date of the images, as a picture states them."""
    algorithm, made_at = inputs.stamp.algorithm, inputs.stamp.made_at
    dated = "" if made_at == UNKNOWN else f", images of {made_at:%Y-%m-%d %H:%M}"
    return f"{algorithm.title}, version {algorithm.model.version}{dated}"


def statement_lines(inputs: EncoderInput, choice: Choice) -> tuple[Line, ...]:
    """All that was concluded, in lines of any length."""
    conclusion = inputs.conclusion
    volume = conclusion.volume
    count = volume.geometry.shape[0]
    lines = [
        Line(DRAFT, WARNING),
        Line(made_by(inputs)),
        Line(f"{volume.modality}, {count} image{'s' if count != 1 else ''} analysed"),
    ]
    found = [
        *(Line(f"{one.line} (slice {one.index + 1})", one.colour_rgb) for one in _each(choice)),
        *(Line(f"{one.line} (slice {one.index + 1}, no key image)", one.colour_rgb) for one in choice.left_over),
    ]
    absent = [Line(f"{label}: not found", WARNING) for label in conclusion.absent]
    absent += [
        Line(f"{legible(one.label, one.finding.meaning)}: {classification_text(one)}", WARNING)
        for one in conclusion.classifications
        if one.presence is Presence.ABSENT
    ]
    further = [
        Line(f"{one.label}: {evaluation.name.meaning}: {evaluation.value.meaning}")
        for one in conclusion.classifications
        for evaluation in one.evaluations
    ]
    limits = [Line(one.text, WARNING) for one in conclusion.quality]
    limits += [Line(note) for note in (*volume.notes, *conclusion.notes)]
    drafts = [Line(f"{one.section.meaning}: {one.text}") for one in conclusion.narratives]
    for heading, part in (
        ("FOUND", [*found, *further]), ("NOT FOUND", absent), ("DRAFT OF THE REPORT", drafts), ("LIMITS", limits)
    ):  # fmt: skip
        lines += [Line(""), Line(heading), *part] if part else []
    return (*lines, Line(""), Line(CAUTION, WARNING))


def wrapped(lines: tuple[Line, ...], width_px: float, size_px: int) -> Iterator[Line]:
    """Break lines between words, so that each fits a width in pixels."""
    for line in lines:
        row = ""
        for paragraph in line.text.splitlines() or [""]:
            for word in lettering.writable(paragraph).split():
                longer = f"{row} {word}".strip()
                if row and lettering.width_of(longer, size_px) > width_px:
                    yield Line(row, line.colour_rgb)
                    row = word
                else:
                    row = longer
            yield Line(row, line.colour_rgb)
            row = ""


def _each(choice: Choice) -> Iterator[KeyFinding]:
    for key_slice in choice.slices:
        yield from key_slice.key_findings
