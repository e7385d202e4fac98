"""Which series goes to which model, and why: a pure function over rules and series.

A series that passes a rule's exclusions and conditions is a candidate. Its score is the sum of the weights of the
preferences that it passes; the best ``per_study`` candidates are chosen. Ties are broken by finer slice spacing, then
more slices, then lower Series Number, then Series Instance UID, so that the choice never depends on arrival order.

A model of several inputs gets the best series for each, never one series twice, and nothing when an input has none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker.domain.routing import (
    PHI_KEYWORDS,
    Between,
    Condition,
    Decision,
    Matches,
    MatchesNot,
    NoneOf,
    OneOf,
    Present,
    Rule,
)
from worker.domain.study import SeriesInstanceUID, SeriesSummary
from worker.pipeline.body_region import body_regions, words_of
from worker.pipeline.exclusions import exclusions

BODY_REGION = "body_region"

_LONGEST_QUOTE = 60
_LONGEST_SEARCHED = 1024
"""Characters of a value that a regular expression sees: a hostile text must not make a slow pattern slower."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What one run of a rule's model works on: its series in the order of the model's inputs."""

    rule: str
    series: tuple[SeriesSummary, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """Every decision with its reasons, and what they come to."""

    decisions: tuple[Decision, ...]
    choices: tuple[Choice, ...]


def decide(rules: Sequence[Rule], series: Sequence[SeriesSummary]) -> tuple[Decision, ...]:
    """Decide for every pair of rule and series; the result has one decision for each, in that order.

    Of a model of several inputs, for each input one.
    """
    return select(rules, series).decisions


def select(rules: Sequence[Rule], series: Sequence[SeriesSummary]) -> Selection:
    """Decide as ``decide`` does, and say what is to be run."""
    found = [_of_several(rule, series) if rule.further else _of_one(rule, series) for rule in rules]
    notes = {one.series_instance_uid: tuple(f"{note}." for note in one.notes) for one in series}
    return Selection(
        decisions=tuple(
            replace(decision, reasons=(*decision.reasons, *notes[decision.series_instance_uid]))
            for one in found
            for decision in one.decisions
        ),
        choices=tuple(choice for one in found for choice in one.choices),
    )


def _of_one(rule: Rule, series: Sequence[SeriesSummary]) -> Selection:
    failures, ranked = _ranked(rule, series)
    chosen = ranked[: rule.per_study]
    decisions: list[Decision] = []
    for one in series:
        uid = one.series_instance_uid
        if failures[uid]:
            decisions.append(Decision(rule.name, rule.model, uid, chosen=False, score=None, reasons=failures[uid]))
            continue
        points, why = score(rule, one)
        if one in chosen:
            reasons = ("All conditions are met.", *why)
        else:
            reasons = (*why, f"Another series fits better: {_compare(rule, ranked[0], one)}.")
        decisions.append(Decision(rule.name, rule.model, uid, chosen=one in chosen, score=points, reasons=reasons))
    # In the order of the series, as the decisions are.
    choices = tuple(Choice(rule.name, (one,)) for one in series if one in chosen)
    return Selection(tuple(decisions), choices)


def _ranked(
    rule: Rule, series: Sequence[SeriesSummary]
) -> tuple[dict[SeriesInstanceUID, tuple[str, ...]], list[SeriesSummary]]:
    """Why series are no candidates, by series (empty for a candidate), and the candidates, the best first."""
    failures = {one.series_instance_uid: refusals(rule, one) for one in series}
    candidates = [one for one in series if not failures[one.series_instance_uid]]
    return failures, sorted(candidates, key=lambda one: (-score(rule, one)[0], *_tie_break(one)))


def _of_several(rule: Rule, series: Sequence[SeriesSummary]) -> Selection:
    """Give each input a series of its own, or choose none at all and say which input is missing."""
    inputs = _input_rules(rule)
    failures, ranked = zip(*(_ranked(one, series) for one in inputs), strict=True)
    given = assign([[one.series_instance_uid for one in best_first] for best_first in ranked])
    lack = "" if given else _lack(inputs, ranked)
    decisions: list[Decision] = []
    for number, one_input in enumerate(inputs):
        for one in series:
            uid = one.series_instance_uid
            chosen = bool(given) and given[number] == uid
            points, reasons = None, failures[number][uid]
            if not reasons:
                points, why = score(one_input, one)
                reasons = ("All conditions are met.", *why) if chosen else why
                if not chosen:
                    reasons += (_taken(inputs, number, given, series, one) if given else lack,)
            decisions.append(Decision(rule.name, rule.model, uid, chosen, points, reasons, input=one_input.input))
    by_uid = {one.series_instance_uid: one for one in series}
    choices = (Choice(rule.name, tuple(by_uid[uid] for uid in given)),) if given else ()
    return Selection(tuple(decisions), choices)


def _input_rules(rule: Rule) -> tuple[Rule, ...]:
    """A rule for each input, as if it were the only one."""
    return (
        replace(rule, further=()),
        *(
            replace(
                rule,
                input=one.name,
                conditions=one.conditions,
                preferences=one.preferences,
                allow_derived=one.allow_derived,
                further=(),
            )
            for one in rule.further
        ),
    )


def assign(ranked: Sequence[Sequence[SeriesInstanceUID]]) -> tuple[SeriesInstanceUID, ...]:
    """Give each input the best series that leaves one for every later input; empty when there are not enough.

    ``ranked`` has the candidates of each input, the best first. Input by input, so the reference has the first choice;
    which series there are beside the chosen ones changes nothing.
    """
    given: list[SeriesInstanceUID] = []
    for number, candidates in enumerate(ranked):
        left = [uid for uid in candidates if uid not in given]
        found = next((uid for uid in left if _fillable(ranked[number + 1 :], {*given, uid})), None)
        if found is None:
            return ()
        given.append(found)
    return tuple(given)


def _fillable(ranked: Sequence[Sequence[SeriesInstanceUID]], taken: set[SeriesInstanceUID]) -> bool:
    """Tell whether each input can have a series of its own (bipartite matching by augmenting paths)."""
    holder: dict[SeriesInstanceUID, int] = {}

    def place(number: int, seen: set[SeriesInstanceUID]) -> bool:
        for uid in ranked[number]:
            if uid in taken or uid in seen:
                continue
            seen.add(uid)
            if uid not in holder or place(holder[uid], seen):
                holder[uid] = number
                return True
        return False

    return all(place(number, set()) for number in range(len(ranked)))


def _lack(inputs: Sequence[Rule], ranked: Sequence[Sequence[SeriesSummary]]) -> str:
    missing = [one.input for one, candidates in zip(inputs, ranked, strict=True) if not candidates]
    if missing:
        names = ", ".join(f'"{name}"' for name in missing)
        return f"The model needs other series too, and none is fit for input{'s' * (len(missing) > 1)} {names}."
    names = ", ".join(f'"{one.input}"' for one in inputs)
    return f"The inputs {names} need a series each, and fewer are fit for them."


def _taken(
    inputs: Sequence[Rule],
    number: int,
    given: Sequence[SeriesInstanceUID],
    series: Sequence[SeriesSummary],
    one: SeriesSummary,
) -> str:
    if one.series_instance_uid in given:
        return f'It is the series for input "{inputs[given.index(one.series_instance_uid)].input}".'
    best = next(other for other in series if other.series_instance_uid == given[number])
    return f"Another series fits better: {_compare(inputs[number], best, one)}."


def refusals(rule: Rule, series: SeriesSummary) -> tuple[str, ...]:
    """Every reason why the series is no candidate; empty when it is one."""
    reasons = list(exclusions(rule, series))
    for condition in rule.conditions:
        passed, reason = test(condition, series)
        if not passed:
            reasons.append(reason)
    return tuple(reasons)


def score(rule: Rule, series: SeriesSummary) -> tuple[float, tuple[str, ...]]:
    """Sum the weights of the preferences that hold, and say which did."""
    total = 0.0
    why: list[str] = []
    for preference in rule.preferences:
        passed, reason = test(preference.condition, series)
        if passed:
            total += preference.weight
            why.append(f"{preference.weight:+g}: {reason}")
    return total, tuple(why)


def test(condition: Condition, series: SeriesSummary) -> tuple[bool, str]:
    """Test one condition; the sentence says what was found, without the value where it could identify a patient."""
    values = _values(condition.attribute, series)
    folded = {value.casefold() for value in values}
    found = _quote(condition.attribute, values)
    if condition.attribute == BODY_REGION and (source := body_regions(series)[1]):
        found += f" (by {source})"
    match condition:
        case OneOf(attribute, wanted):
            passed = any(value.casefold() in folded for value in wanted)
            return passed, f"{attribute} is {found}, {'one' if passed else 'none'} of {_list(wanted)}."
        case NoneOf(attribute, unwanted):
            passed = not any(value.casefold() in folded for value in unwanted)
            return passed, f"{attribute} is {found}, {'none' if passed else 'one'} of {_list(unwanted)}."
        case Matches(attribute, pattern):
            passed = any(_found(pattern, value) for value in values)
            return passed, f"{attribute} is {found}, which {'matches' if passed else 'does not match'} /{pattern}/."
        case MatchesNot(attribute, pattern):
            passed = not any(_found(pattern, value) for value in values)
            return passed, f"{attribute} is {found}, which {'does not match' if passed else 'matches'} /{pattern}/."
        case Between(attribute, minimum, maximum):
            numbers = [_number(value) for value in values]
            low = -math.inf if minimum is None else minimum
            high = math.inf if maximum is None else maximum
            passed = bool(numbers) and all(number is not None and low <= number <= high for number in numbers)
            return (
                passed,
                f"{attribute} is {found}, {'within' if passed else 'not within'} {_bounds(minimum, maximum)}.",
            )
        case Present(attribute):
            passed = any(values)
            return passed, f"{attribute} is {'present' if passed else 'absent'}."


def _values(attribute: str, series: SeriesSummary) -> tuple[str, ...]:
    """Values of a keyword or derived name; an unknown number (None) has no value."""
    derived: dict[str, str | float | int | None] = {
        "orientation": series.orientation,
        "slice_count": series.slice_count,
        "slice_spacing_mm": series.slice_spacing_mm,
        "slice_thickness_mm": series.slice_thickness_mm,
        "rows": series.rows,
        "columns": series.columns,
    }
    if attribute in derived:
        value = derived[attribute]
        if value is None:
            return ()
        return (f"{value:g}" if isinstance(value, float) else str(value),)
    if attribute == "Modality":
        return (series.modality,)
    if attribute == BODY_REGION:
        return body_regions(series)[0]
    return series.values(attribute)


def _tie_break(series: SeriesSummary) -> tuple[float, int, float, str]:
    spacing = series.slice_spacing_mm if series.slice_spacing_mm is not None else math.inf
    numbers = [number for value in series.values("SeriesNumber") if (number := _number(value)) is not None]
    return spacing, -series.slice_count, min(numbers, default=math.inf), series.series_instance_uid


def _compare(rule: Rule, best: SeriesSummary, other: SeriesSummary) -> str:
    best_points, other_points = score(rule, best)[0], score(rule, other)[0]
    name = f"series {best.series_instance_uid}"
    if best_points != other_points:
        return f"{name} scores {best_points:g}, this one {other_points:g}"
    names = ("slice spacing", "slice count", "Series Number", "Series Instance UID")
    for what, mine, theirs in zip(names, _tie_break(best), _tie_break(other), strict=True):
        if mine != theirs:
            return f"{name} has the same score and is preferred by its {what}"
    return f"{name} has the same score"


def _found(pattern: str, value: str) -> bool:
    """Search the text as it stands, and its words without accents: an underscore ends no word."""
    text = value[:_LONGEST_SEARCHED]
    return any(re.search(pattern, form, re.IGNORECASE) for form in dict.fromkeys((text, words_of(text))))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _quote(attribute: str, values: Sequence[str]) -> str:
    if not any(values):
        return "absent"
    if attribute in PHI_KEYWORDS:
        return "present (not shown)"
    return _list(values)


def _list(values: Sequence[str]) -> str:
    text = ", ".join(values)
    return f'"{text}"' if len(text) <= _LONGEST_QUOTE else f'"{text[:_LONGEST_QUOTE]}..."'


def _bounds(minimum: float | None, maximum: float | None) -> str:
    if minimum is None:
        return f"at most {maximum:g}" if maximum is not None else "any number"
    if maximum is None:
        return f"at least {minimum:g}"
    return f"{minimum:g} to {maximum:g}"
