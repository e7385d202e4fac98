"""Text of the index, which never fails: what cannot be read is kept apart byte by byte.

A set that is not known, or bytes that do not fit theirs, leave Latin-1 text: it maps every byte to one character, so
two different values can never become equal and nothing raises. Python's own codec names are not accepted (pydicom
takes ``unicode_escape`` from the wire).
"""

from __future__ import annotations

from worker.domain.character_sets import Reading, UndecodableTextError, is_plain


def decode_single(value: bytes, reading: Reading) -> str | None:
    """Decode a text that may have one value only; None when it has several: a byte 5C may be half of a letter as well.

    Of text that nobody can read it is not known: that is said of the study, and nothing is refused on arrival.
    """
    try:
        text = _text(value, reading)
    except UndecodableTextError:
        return value.decode("latin-1")
    return None if "\\" in text else text


def decode_text(value: bytes, reading: Reading) -> str:
    """Decode a text value, as received but for its padding."""
    try:
        return _text(value, reading)
    except UndecodableTextError:
        return value.decode("latin-1")


def _text(value: bytes, reading: Reading) -> str:
    if is_plain(value) and not reading.stated:  # nearly every text, and the same in every set
        return value.decode("ascii")
    return reading.decode(value).text
