"""Text for pictures, in the one font that Pillow brings: ASCII and little more; what it cannot write is replaced."""

from __future__ import annotations

import unicodedata
from functools import cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

REPLACEMENT = "?"
"""Stands for a letter that the font does not have."""

_SPELLED = {
    "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D",
    "µ": "u", "μ": "u", "²": "2", "³": "3", "×": "x", "–": "-", "—": "-", "−": "-", "≤": "<=", "≥": ">=", "→": "->",
}  # fmt: skip
_NO_LETTER = "\uffff"


@cache
def font(size_px: int) -> Font:
    """The font in a size; the same for every text of a picture."""
    return ImageFont.load_default(max(size_px, 6))


def writable(text: str) -> str:
    """One line that the font can write: accents are dropped, signs spelled, control characters become spaces."""
    line = "".join(
        " " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in unicodedata.normalize("NFC", text)
    )
    return "".join(_letter(c) for c in line)


def fitting(text: str, width_px: float, size_px: int) -> str:
    """A writable line, shortened with "..." to a width in pixels; empty when there is no room at all."""
    line, chosen = writable(text), font(size_px)
    if chosen.getlength(line) <= width_px:
        return line
    shortest, longest = 0, len(line)
    while shortest < longest:
        middle = (shortest + longest + 1) // 2
        if chosen.getlength(f"{line[:middle].rstrip()}...") <= width_px:
            shortest = middle
        else:
            longest = middle - 1
    return f"{line[:shortest].rstrip()}..." if shortest else ""


def with_unit(value: float, ucum: str) -> str:
    """A number as people read it; "1" (no unit) and annotations such as "{score}" are not written (UCUM 2.4)."""
    unit = "" if ucum == "1" or ucum.startswith("{") else ucum
    return f"{value:.4g} {unit}".strip()


def width_of(text: str, size_px: int) -> float:
    """Width of a writable line in pixels."""
    return float(font(size_px).getlength(text))


def line_height(size_px: int) -> int:
    """Distance from line to line in pixels."""
    return round(size_px * 1.35)


@cache
def _letter(character: str) -> str:
    if character.isspace() or unicodedata.category(character) == "Cc":
        return " "
    if unicodedata.category(character) in {"Cf", "Mn", "Me"}:
        return ""
    if _has(character):
        return character
    plain = _SPELLED.get(character) or unicodedata.normalize("NFKD", character)[:1]
    return plain if plain != character and all(_has(c) for c in plain) else REPLACEMENT


def _has(character: str) -> bool:
    """Tell whether the font has this letter: what it lacks looks like what no font has."""
    if unicodedata.category(character) in {"Cs", "Co", "Cn"}:
        return False
    shape, missing = font(16).getmask(character), font(16).getmask(_NO_LETTER)
    return (shape.size, bytes(shape)) != (missing.size, bytes(missing))
