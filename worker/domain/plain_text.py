"""Our own texts in ASCII, for objects whose character set has no room for others.

Results keep the character set of the images where that cannot be proven right. Names of models and sites then have to
fit it, and ASCII fits every set.
"""

from __future__ import annotations

import unicodedata
from dataclasses import fields, is_dataclass, replace
from typing import Final, TypeVar, cast

T = TypeVar("T")

_MARKS: Final = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D",
    "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ł": "l", "Ł": "L", "ı": "i", "µ": "u", "μ": "u", "°": " deg",
    "–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "„": '"',
    "«": '"', "»": '"', "×": "x", "·": ".", "•": "-", "±": "+/-", "≤": "<=", "≥": ">=", "≈": "~", "→": "->",
    "…": "...", "⁄": "/", "\u00a0": " ",
}  # fmt: skip
_CYRILLIC: Final = {
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ё": "e", "ж": "zh", "з": "z", "и": "i", "й": "y",
    "к": "k", "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ф": "f",
    "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "'", "ы": "y", "ь": "'", "э": "e", "ю": "yu",
    "я": "ya", "і": "i", "ї": "yi", "є": "ye", "ґ": "g",
}  # fmt: skip
_GREEK: Final = {
    "α": "a", "β": "b", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "η": "i", "θ": "th", "ι": "i", "κ": "k", "λ": "l",
    "ν": "n", "ξ": "x", "ο": "o", "π": "p", "ρ": "r", "σ": "s", "ς": "s", "τ": "t", "υ": "y", "φ": "f", "χ": "ch",
    "ψ": "ps", "ω": "o",
}  # fmt: skip
_LETTERS: Final = str.maketrans({**_MARKS, **_CYRILLIC, **_GREEK})


def ascii_of(text: str) -> str:
    """The text in ASCII: letters without their marks, and what has no such letter by its number (``U+80BA``)."""
    if text.isascii():
        return text
    return "".join(_ascii_of(character) for character in text)


def in_ascii(value: T) -> T:
    """The same value with every text in ASCII: of dataclasses and tuples all that they hold; arrays stay."""
    if isinstance(value, str):
        return cast("T", ascii_of(value)) if not value.isascii() else value
    if isinstance(value, tuple):
        items = tuple(in_ascii(item) for item in value)
        changed = any(new is not old for new, old in zip(items, value, strict=True))
        return cast("T", items) if changed else value
    if is_dataclass(value) and not isinstance(value, type):
        found = {one.name: getattr(value, one.name) for one in fields(value) if one.init}
        new = {name: in_ascii(held) for name, held in found.items()}
        changes = {name: held for name, held in new.items() if held is not found[name]}
        return replace(value, **changes) if changes else value
    return value


def _ascii_of(character: str) -> str:
    decomposed = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    for form in (character, decomposed):
        for found in (form.translate(_LETTERS), form.lower().translate(_LETTERS).title()):
            if found.isascii():
                return found
    return f"U+{ord(character):04X}"
