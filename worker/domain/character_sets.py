"""Text from its bytes: Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 6.1), read strictly and by its defined terms.

Devices declare one set and write another, or declare none. So every reading says whether it is ``certain``: ASCII,
well-formed UTF-8 that is declared as such, text behind escape sequences that name a set of several bytes, and what the
site itself states. A single-byte set takes almost any bytes, and GB18030 takes those of many others: what is declared
so may be right, but its bytes do not prove it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

UTF_8: Final = "ISO_IR 192"

_ASCII: Final = "ascii"
_SINGLE: Final = {
    "": _ASCII,
    "ISO_IR 6": _ASCII,
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
    UTF_8: "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
_OF_DEVICES: Final = {
    **{f"windows-{number}": f"cp{number}" for number in range(1250, 1259)},
    "Big5": "big5hkscs",
    "Shift_JIS": "cp932",
    "EUC-KR": "cp949",
    "KOI8-R": "koi8-r",
}
"""What no image can declare, and devices write all the same: a site may state it (names of IANA)."""
_DOUBLE_BYTE: Final = frozenset({"ISO_IR 87", "ISO_IR 159", "ISO_IR 149", "ISO_IR 58"})
"""Only behind an escape sequence; before it there is ASCII."""
_UNICODE: Final = frozenset({UTF_8, "GB18030", "GBK"})
"""Without code extensions."""
_ISO_2022: Final = re.compile(r"ISO 2022 IR (6|100|101|109|110|144|127|126|138|148|203|13|166|87|159|149|58)\Z")
_MISSPELT: Final = re.compile(r"ISO[ _-]?(2022)?[ _-]?IR[ _-]?([0-9]+)\Z")

# Escape sequences of PS3.3 Tables C.12-3 and C.12-4: the term and codec of what follows, and whether the codec wants
# the escape itself.
_ESCAPES: Final = {
    b"\x1b(B": ("6", _ASCII, False),
    b"\x1b-A": ("100", "iso8859-1", False),
    b"\x1b-B": ("101", "iso8859-2", False),
    b"\x1b-C": ("109", "iso8859-3", False),
    b"\x1b-D": ("110", "iso8859-4", False),
    b"\x1b-L": ("144", "iso8859-5", False),
    b"\x1b-G": ("127", "iso8859-6", False),
    b"\x1b-F": ("126", "iso8859-7", False),
    b"\x1b-H": ("138", "iso8859-8", False),
    b"\x1b-M": ("148", "iso8859-9", False),
    b"\x1b-b": ("203", "iso8859-15", False),
    b"\x1b-T": ("166", "tis-620", False),
    b"\x1b)I": ("13", "shift_jis", False),
    b"\x1b(J": ("13", "shift_jis", False),
    b"\x1b$B": ("87", "iso2022_jp", True),
    b"\x1b$(D": ("159", "iso2022_jp_2", True),
    b"\x1b$)C": ("149", "euc_kr", False),
    b"\x1b$)A": ("58", "gb2312", False),
}
_ESCAPE: Final = re.compile(b"(" + b"|".join(re.escape(e) for e in sorted(_ESCAPES, key=len, reverse=True)) + b")")
_MULTI_BYTE: Final = b"\x1b$"
"""How the escape sequences of sets of several bytes begin."""
_RESET: Final = re.compile(rb"([\r\n\f\t\\^=])")


class UndecodableTextError(ValueError):
    """The bytes are no text of the declared set, or no known set is declared. Says nothing of the text itself."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, and whether its bytes leave no doubt of it."""

    text: str = field(repr=False)
    certain: bool


@dataclass(frozen=True, slots=True)
class StatedSet:
    """What a site says of the text of a sender: its set where none is declared, or (``always``) whatever is."""

    term: str
    always: bool = False


@dataclass(frozen=True, slots=True)
class StatedSets:
    """What a site says of all senders, by calling AE title; ``default`` is for the others. None: nothing."""

    default: StatedSet | None = None
    by_calling_ae_title: Mapping[str, StatedSet] = field(default_factory=dict)

    def of(self, calling_ae_title: str) -> StatedSet | None:
        """What is stated of one sender."""
        return self.by_calling_ae_title.get(calling_ae_title.strip(), self.default)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the text of one data set is read: by ``terms``, the Specific Character Set; ``stated`` when by the site's."""

    terms: tuple[str, ...]
    stated: bool = False

    @classmethod
    def of(cls, declared: bytes, stated: StatedSet | None = None) -> Reading:
        """From the raw value of (0008,0005), possibly empty, and what the site states of the sender."""
        terms = terms_of(declared)
        if stated is not None and (stated.always or not any(terms)):
            return cls((stated.term,), stated=True)
        return cls(terms)

    def within(self, declared: bytes | None) -> Reading:
        """That of an item, which may declare a set of its own (PS3.3 C.12.1.1.2)."""
        return self if self.stated or declared is None else Reading(terms_of(declared))

    def decode(self, value: bytes) -> Decoded:
        """Decode a value, as ``decode`` does."""
        if not self.stated:
            return decode(value, self.terms)
        try:
            return Decoded(value.decode({**_SINGLE, **_OF_DEVICES}[self.terms[0]], "strict"), certain=True)
        except UnicodeDecodeError:
            raise UndecodableTextError("the bytes are not in the set that the site states") from None


def terms_of(declared: bytes) -> tuple[str, ...]:
    """The values of Specific Character Set, with the usual misspellings of defined terms put right; at least one."""
    return tuple(_defined_term(term.strip(" \0")) for term in declared.decode("latin-1").split("\\"))


def is_plain(value: bytes) -> bool:
    """True for ASCII without escape sequences, which is the same text in every set."""
    return value.isascii() and b"\x1b" not in value


def decode(value: bytes, terms: Sequence[str]) -> Decoded:
    """Decode a text value, whole: several values stay joined by a backslash.

    Parameters
    ----------
    value:
        As in the data set, padding already removed.
    terms:
        Specific Character Set, as ``terms_of`` gives it.

    Raises
    ------
    UndecodableTextError
        The bytes do not fit the set, or are not ASCII and no set is declared, or one that is none.
    """
    if is_plain(value):
        return Decoded(value.decode(_ASCII), certain=True)
    first = terms[0].replace("ISO 2022 IR", "ISO_IR") if terms else ""
    known = first in _SINGLE or first in _DOUBLE_BYTE
    several = len(terms) > 1
    if not known or (several and (first in _UNICODE or not all(_is_extension(term) for term in terms))):
        raise UndecodableTextError("no known Specific Character Set is declared")
    codec = _SINGLE.get(first, _ASCII)
    try:
        if b"\x1b" in value and any(_ISO_2022.match(term) for term in terms):
            return _decode_extended(value, codec, _numbers(terms))
        if b"\x1b" in value and codec == _ASCII:
            raise UndecodableTextError("there are escape sequences, and no code extensions are declared")
        return Decoded(value.decode(codec, "strict"), certain=first == UTF_8)
    except (UnicodeDecodeError, LookupError):
        raise UndecodableTextError(f"the bytes are no text in {first or 'ASCII'}") from None


def has_every_character(term: str) -> bool:
    """True when no text of ours needs to be put in other letters for a set."""
    return term in {UTF_8, "GB18030"}


def codec_of(term: str) -> str:
    """Python's codec of a set without code extensions; KeyError for another."""
    return _SINGLE[term]


def _is_extension(term: str) -> bool:
    """A term that may stand beside others; the forms without "2022" are a usual slip."""
    return term == "" or _ISO_2022.match(term.replace("ISO_IR", "ISO 2022 IR")) is not None


def _numbers(terms: Sequence[str]) -> frozenset[str]:
    return frozenset({"6", *(term.rsplit(" ", 1)[-1] for term in terms)})


def _defined_term(term: str) -> str:
    found = _MISSPELT.match(term.upper())
    if found:
        return f"ISO 2022 IR {found[2]}" if found[1] else f"ISO_IR {found[2]}"
    return term.upper() if term.upper() in _SINGLE else term


def _decode_extended(value: bytes, initial: str, declared: frozenset[str]) -> Decoded:
    """Decode a value with ISO 2022 escape sequences (PS3.5 6.1.2.5): text delimiters return to the initial set."""
    text: list[str] = []
    codec, keep, escape, certain = initial, False, b"", True
    designated = False
    for piece in _ESCAPE.split(value):
        if piece in _ESCAPES:
            number, codec, keep = _ESCAPES[piece]
            # A single-byte set proves nothing here either: any bytes fit it.
            escape, designated = piece, piece.startswith(_MULTI_BYTE)
            certain = certain and number in declared
            continue
        if keep:  # the codec knows the whole language of escapes and returns to ASCII by itself
            text.append((escape + piece).decode(codec, "strict"))
            continue
        for part in _RESET.split(piece):
            if len(part) == 1 and _RESET.match(part):
                codec, designated = initial, False
            text.append(part.decode(codec, "strict"))
            certain = certain and (designated or part.isascii())
    if any("\x1b" in part for part in text):
        raise UndecodableTextError("an escape sequence names no set of the standard")
    return Decoded("".join(text), certain=certain)
