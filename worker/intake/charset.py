"""Text of the index, which never fails: what cannot be read is kept apart byte by byte.

A set that is not known, or bytes that do not fit theirs, leave Latin-1 text: it maps every byte to one character, so
two different values can never become equal and nothing raises. Python's own codec names are not accepted (pydicom
takes ``unicode_escape`` from the wire).
"""

from __future__ import annotations

from worker.domain.character_sets import Reading, StatedSet, UndecodableTextError


def has_several_values(value: bytes, character_set: bytes, stated: StatedSet | None = None) -> bool:
    """Tell whether a text has several values: a backslash that is none in its set is half of a letter.

    Of text that nobody can read it is not known: that is said of the study, and nothing is refused at the door.
    """
    try:
        return "\\" in Reading.of(character_set, stated).decode(value).text
    except UndecodableTextError:
        return False


def decode_text(value: bytes, character_set: bytes, stated: StatedSet | None = None) -> str:
    """Decode a text value by the raw value of (0008,0005), or by what the site states of its sender.

    Parameters
    ----------
    value:
        As received, padding already removed.
    character_set:
        Raw value of Specific Character Set, possibly multi-valued, padding allowed.
    stated:
        What the site says of the sender's text, if anything.
    """
    try:
        return Reading.of(character_set, stated).decode(value).text
    except UndecodableTextError:
        return value.decode("latin-1")
