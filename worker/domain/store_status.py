"""What a C-STORE status means for us: stored, try again later, or never (PS3.4 Table B.2-1, PS3.7 Annex C).

One table, so that the documentation and the code cannot disagree. Two lines are a decision, not a quotation:

* 0x0122 *SOP Class Not Supported* is permanent: the presentation context was accepted and the object still refused,
  so the same request gives the same answer until somebody configures the PACS.
* 0x0111 *Duplicate SOP Instance* counts as stored: our UIDs are derived from the evidence, so the same UID is the
  same object, and the answer that we are waiting for got lost with an earlier attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What happens to the object after this answer."""

    STORED = "stored"
    TRANSIENT = "transient"
    """A later attempt may do better."""
    PERMANENT = "permanent"
    """The same request gets the same answer: a person has to look."""


@dataclass(frozen=True, slots=True)
class StatusMeaning:
    """One line of the table: statuses ``first`` to ``last`` (both inclusive)."""

    first: int
    last: int
    verdict: Verdict
    meaning: str


def _one(status: int, verdict: Verdict, meaning: str) -> StatusMeaning:
    return StatusMeaning(first=status, last=status, verdict=verdict, meaning=meaning)


STATUS_TABLE: tuple[StatusMeaning, ...] = (
    _one(0x0000, Verdict.STORED, "stored"),
    # Warnings: the object is stored (PS3.4 B.2.3; general warnings of PS3.7 C.4).
    _one(0x0001, Verdict.STORED, "stored with a warning"),
    _one(0x0107, Verdict.STORED, "stored, some attributes not recognised"),
    _one(0x0111, Verdict.STORED, "duplicate SOP instance: the destination has it already"),
    _one(0x0116, Verdict.STORED, "stored, an attribute value is out of range"),
    _one(0xB000, Verdict.STORED, "stored, data elements coerced"),
    _one(0xB006, Verdict.STORED, "stored, elements discarded"),
    _one(0xB007, Verdict.STORED, "stored, data set does not match the SOP class"),
    StatusMeaning(0xB000, 0xBFFF, Verdict.STORED, "stored with a warning of the destination's own"),
    # What time can cure.
    StatusMeaning(0xA700, 0xA7FF, Verdict.TRANSIENT, "refused: out of resources"),
    _one(0x0110, Verdict.TRANSIENT, "processing failure"),
    _one(0x0210, Verdict.TRANSIENT, "duplicate invocation"),
    _one(0x0213, Verdict.TRANSIENT, "resource limitation"),
    _one(0xFE00, Verdict.TRANSIENT, "cancelled by the destination"),
    # What only a person can cure.
    _one(0x0105, Verdict.PERMANENT, "no such attribute"),
    _one(0x0106, Verdict.PERMANENT, "invalid attribute value"),
    _one(0x0112, Verdict.PERMANENT, "no such SOP instance"),
    _one(0x0115, Verdict.PERMANENT, "invalid argument value"),
    _one(0x0117, Verdict.PERMANENT, "invalid SOP instance"),
    _one(0x0118, Verdict.PERMANENT, "no such SOP class"),
    _one(0x0119, Verdict.PERMANENT, "class-instance conflict"),
    _one(0x0120, Verdict.PERMANENT, "missing attribute"),
    _one(0x0121, Verdict.PERMANENT, "missing attribute value"),
    _one(0x0122, Verdict.PERMANENT, "refused: SOP class not supported"),
    _one(0x0124, Verdict.PERMANENT, "refused: not authorised"),
    _one(0x0211, Verdict.PERMANENT, "unrecognised operation"),
    _one(0x0212, Verdict.PERMANENT, "mistyped argument"),
    StatusMeaning(0xA900, 0xA9FF, Verdict.PERMANENT, "data set does not match the SOP class"),
    StatusMeaning(0xC000, 0xCFFF, Verdict.PERMANENT, "the destination cannot understand the object"),
)
"""First match wins."""

_UNKNOWN = "status unknown to the standard"


def meaning_of(status: int) -> StatusMeaning:
    """Look a C-STORE status up; one that the standard does not know is permanent, so that somebody sees it."""
    for line in STATUS_TABLE:
        if line.first <= status <= line.last:
            return line
    return _one(status, Verdict.PERMANENT, _UNKNOWN)


def described(status: int) -> str:
    """A status for people: ``0xA700 refused: out of resources``."""
    return f"0x{status:04X} {meaning_of(status).meaning}"


def is_stored(status: int | None) -> bool:
    """Tell whether this answer means that the destination has the object; None is no answer."""
    return status is not None and meaning_of(status).verdict is Verdict.STORED
