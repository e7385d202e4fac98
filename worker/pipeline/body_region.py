"""Which part of the body a series says that it shows: by its own description first, then by what stands beside it.

A description often names several regions (``CHEST ABDOMEN PELVIS``), Body Part Examined holds one word, and the
description of the study is that of all its series. So the description of the series decides when it names a region;
else the other attributes do. A rule asks with the derived name ``body_region``, whose values are the regions of
``body_words``, or ``unknown``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from worker.domain.study import SeriesSummary
from worker.pipeline.body_words import CODES, PHRASES, WORDS

UNKNOWN = "unknown"
"""No attribute names a part of the body."""

_LONGEST = 256
"""Characters of a description that are read: LO has 64."""

_PART = ("BodyPartExamined", "AnatomicRegion")
_BESIDE = ("ProtocolName", "StudyDescription", "RequestedProcedureDescription", "PerformedProcedureStepDescription")

_NEIGHBOURS = {
    frozenset(pair)
    for pair in (
        ("neck", "chest"), ("chest", "abdomen"), ("abdomen", "pelvis"), ("chest", "heart"), ("chest", "breast"),
    )
}  # fmt: skip
"""Regions that one scan shows together, so that Body Part Examined may name either."""


def body_regions(series: SeriesSummary) -> tuple[tuple[str, ...], str]:
    """Regions of a series, at least one, and the keyword of the attribute that they are from ("" when unknown).

    Body Part Examined, one word for what may be many regions, is taken together with the protocol and the study where
    these name the same or a neighbour; where they contradict it, it decides alone.
    """
    own = regions_in(series.values("SeriesDescription"))
    if own:
        return own, "SeriesDescription"
    part = _first(series, _PART)
    beside = regions_in(value for keyword in _BESIDE for value in series.values(keyword))
    if not part[0]:
        return (beside, _first(series, _BESIDE)[1]) if beside else ((UNKNOWN,), "")
    if any(one == other or frozenset((one, other)) in _NEIGHBOURS for one in part[0] for other in beside):
        return _ordered({*part[0], *beside}), part[1]
    return part


def _first(series: SeriesSummary, keywords: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    for keyword in keywords:
        found = regions_in(series.values(keyword))
        if found:
            return found, keyword
    return (), ""


def regions_in(texts: Iterable[str]) -> tuple[str, ...]:
    """Every region that the texts name, from head to foot; empty when none does."""
    return _ordered({region for text in texts for region in _regions_of(text[:_LONGEST])})


def _ordered(found: set[str]) -> tuple[str, ...]:
    return tuple(region for region in WORDS if region in found)


@lru_cache(maxsize=1024)
def _regions_of(text: str) -> frozenset[str]:
    plain = folded(text)
    found: set[str] = set()
    for pattern, regions in PHRASES:
        plain, count = pattern.subn(" ", plain)
        if count:
            found.update(regions)
    for word in re.findall(r"[^\W\d_]+", plain):
        found.update(CODES.get(word, ()))
        if not word.startswith("abduc"):  # of a shoulder or a hip, which are named as well
            found.update(region for region in WORDS if _names(region, word))
    return frozenset(found)


def _names(region: str, word: str) -> bool:
    words = WORDS[region]
    return word in words.whole or word.startswith(words.stems) or any(part in word for part in words.parts)


def folded(text: str) -> str:
    """A text without accents and in lower case; words that are joined by capitals (``ThorAbdRoutine``) are parted."""
    # Not cCT, which is one word.
    parted = re.sub(r"(?<=[a-zà-öø-ÿ]{2})(?=[A-ZÀ-ÖØ-Þ])", " ", unicodedata.normalize("NFC", text))
    decomposed = unicodedata.normalize("NFKD", parted.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def words_of(text: str) -> str:
    """The words of a text, folded, with single spaces between them."""
    return " ".join(re.findall(r"[^\W_]+", folded(text)))
