"""Text of the index: Specific Character Set (PS3.3 C.12.1.1.2) by its defined terms only.

A term that is not in the table, or bytes that do not fit their term, leave Latin-1 text: it maps every byte to one
character, so two different values can never become equal and nothing raises. Python's own codec names are not
accepted (pydicom takes ``unicode_escape`` from the wire).
"""

from __future__ import annotations

import re
from typing import Final

_LATIN_1: Final = "latin-1"

_SINGLE: Final = {
    "": _LATIN_1,
    "ISO_IR 6": _LATIN_1,
    "ISO_IR 100": "iso8859-1",
    "ISO_IR 101": "iso8859-2",
    "ISO_IR 109": "iso8859-3",
    "ISO_IR 110": "iso8859-4",
    "ISO_IR 144": "iso8859-5",
    "ISO_IR 127": "iso8859-6",
    "ISO_IR 126": "iso8859-7",
    "ISO_IR 138": "iso8859-8",
    "ISO_IR 148": "iso8859-9",
    "ISO_IR 203": "iso8859-15",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 166": "tis-620",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
_ISO_2022: Final = re.compile(r"ISO 2022 IR (6|100|101|109|110|144|127|126|138|148|203|13|166|87|159|149|58)\Z")

# Escape sequences of PS3.3 Tables C.12-3 and C.12-4: the codec of what follows, and whether it wants the escape itself.
_ESCAPES: Final = {
    b"\x1b(B": (_LATIN_1, False),
    b"\x1b-A": ("iso8859-1", False),
    b"\x1b-B": ("iso8859-2", False),
    b"\x1b-C": ("iso8859-3", False),
    b"\x1b-D": ("iso8859-4", False),
    b"\x1b-L": ("iso8859-5", False),
    b"\x1b-G": ("iso8859-6", False),
    b"\x1b-F": ("iso8859-7", False),
    b"\x1b-H": ("iso8859-8", False),
    b"\x1b-M": ("iso8859-9", False),
    b"\x1b-b": ("iso8859-15", False),
    b"\x1b-T": ("tis-620", False),
    b"\x1b)I": ("shift_jis", False),
    b"\x1b(J": ("shift_jis", False),
    b"\x1b$B": ("iso2022_jp", True),
    b"\x1b$(D": ("iso2022_jp_2", True),
    b"\x1b$)C": ("euc_kr", False),
    b"\x1b$)A": ("gb2312", False),
}
_ESCAPE: Final = re.compile(b"(" + b"|".join(re.escape(e) for e in sorted(_ESCAPES, key=len, reverse=True)) + b")")
_RESET: Final = re.compile(rb"([\r\n\f\t\\^=])")


def decode_text(value: bytes, character_set: bytes) -> str:
    """Decode a text value by the raw value of (0008,0005).

    Parameters
    ----------
    value:
        As received, padding already removed.
    character_set:
        Raw value of Specific Character Set, possibly multi-valued, padding allowed.
    """
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    terms = [term.strip() for term in character_set.decode(_LATIN_1).split("\\")]
    first = terms[0].replace("ISO 2022 IR", "ISO_IR")
    codec = _SINGLE.get(first, _LATIN_1)
    if first in ("ISO_IR 87", "ISO_IR 159", "ISO_IR 149", "ISO_IR 58"):
        codec = _LATIN_1
    try:
        if b"\x1b" in value and any(_ISO_2022.match(term) for term in terms):
            return _decode_extended(value, codec)
        return value.decode(codec, "strict")
    except (UnicodeDecodeError, LookupError):
        return value.decode(_LATIN_1)


def _decode_extended(value: bytes, initial: str) -> str:
    """Decode a value with ISO 2022 escape sequences (PS3.5 6.1.2.5): text delimiters return to the initial set."""
    text: list[str] = []
    codec, keep, escape = initial, False, b""
    for piece in _ESCAPE.split(value):
        if piece in _ESCAPES:
            codec, keep = _ESCAPES[piece]
            escape = piece
            continue
        if keep:  # the codec knows the whole language of escapes and returns to ASCII by itself
            text.append((escape + piece).decode(codec, "strict"))
            continue
        for part in _RESET.split(piece):
            if len(part) == 1 and _RESET.match(part):
                codec = initial
            text.append(part.decode(codec, "strict"))
    return "".join(text)
