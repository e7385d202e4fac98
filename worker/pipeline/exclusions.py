"""What no model gets unless its rule allows it: localizers, derived images, phantoms, screens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from worker.domain import image_type
from worker.domain.routing import Rule
from worker.domain.study import InstanceHeader, SeriesSummary
from worker.pipeline.body_region import words_of

_LOCALIZER = re.compile(
    r"\b(locali[sz]er|lokali[sz]er|locali[sz]ador|localisateur|localizzatore|localizers|scouts?|topogram\w*|surview|"
    r"scanogram\w*|(3|three) ?plane|reperage)\b"
)
_FOR_LATER = re.compile(r"\b(for|fur|fuer|zur|pour|para|per) (mpr|mip|3d|vrt)\b")
"""Thin slices that are meant to be reformatted."""
_PROJECTED = re.compile(r"\b(mips?|minip|maxip|m[ai][xn] ip|vrt|volume render\w*|ssd|dsa)\b")
_REFORMATTED = re.compile(r"\b(mprs?|cpr|reformat\w*|reformation\w*|curved)\b")
_SUBTRACTED = re.compile(r"\b(subtract\w*|subtrakt\w*|soustract\w*|sottraz\w*|sottratt\w*|sustrac\w*|subtrac\w*)\b")
_DOCUMENT = re.compile(
    r"\b(dose (report|info|record|summary|sheet)|dosis(bericht|protokoll|report)|patient protocol|radiation dose|"
    r"rapport de dose|informe de dosis|screen ?(save|shot|capture)s?)\b"
)

_Excluded = Callable[[SeriesSummary], str]


def exclusions(rule: Rule, series: SeriesSummary) -> Iterator[str]:
    """Yield a sentence for each exclusion that holds and that the rule does not lift."""
    for allowed, excluded in (
        (rule.allow_localizer, _localizer),
        (rule.allow_derived, _derived),
        (rule.allow_phantom, _phantom),
        (rule.allow_burned_in, _burned_in),
    ):
        if not allowed and (reason := excluded(series)):
            yield reason


def _any(series: SeriesSummary, what: Callable[[InstanceHeader], str]) -> str:
    reason = next((reason for header in series.kept if (reason := what(header))), "")
    return f"It is {reason}." if reason else ""


def _description(series: SeriesSummary) -> str:
    return " ".join(words_of(value) for value in series.values("SeriesDescription"))


def _localizer(series: SeriesSummary) -> str:
    # Vendors also say it in the description.
    if found := _any(series, image_type.localizer):
        return found
    return "It is a localizer (SeriesDescription)." if _LOCALIZER.search(_description(series)) else ""


def _derived(series: SeriesSummary) -> str:
    if found := _any(series, image_type.derived):
        return found
    if series.modality in image_type.PICTURES:
        return ""
    description = _FOR_LATER.sub("", _description(series))
    # In MR "mpr" is how the magnetization prepared sequence is often called.
    patterns = (_PROJECTED, _SUBTRACTED) if series.modality == "MR" else (_PROJECTED, _SUBTRACTED, _REFORMATTED)
    if found := next((match.group() for pattern in patterns if (match := pattern.search(description))), ""):
        return f'It is derived, not original (SeriesDescription says "{found}").'
    return ""


def _phantom(series: SeriesSummary) -> str:
    if "YES" in {value.upper() for value in series.values("QualityControlSubject")}:
        return "It shows a quality control phantom (QualityControlSubject)."
    words = " ".join(
        value
        for keyword in ("PatientName", "PatientID", "StudyDescription", "SeriesDescription", "ProtocolName")
        for value in series.values(keyword)
    )
    # \b does not see "^" and "_" alike, so names such as QA^PHANTOM are split by hand.
    tokens = {token.casefold() for token in re.split(r"[^A-Za-z0-9]+", words)}
    if tokens & {"phantom", "phantoms", "qa", "qc", "acrphantom", "catphan", "qualitycontrol"}:
        return "It looks like a quality control phantom (patient name, patient ID or description)."
    return ""


def _burned_in(series: SeriesSummary) -> str:
    if found := _any(series, image_type.burned_in) or _any(series, image_type.screen):
        return found
    return "It is a document (SeriesDescription)." if _DOCUMENT.search(_description(series)) else ""
