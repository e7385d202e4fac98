"""Who gets the same objects: the destinations of a job by their profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from worker.domain.profile import Audience, Profile
from worker.domain.result import ResultContext


def audiences_of(
    destinations: Sequence[str], profiles: Mapping[str, Profile], *, standard: Profile
) -> tuple[Audience, ...]:
    """Group destinations by profile, in their order; one audience without destinations when there are none."""
    if not destinations:
        return (Audience(standard, ()),)
    by_profile: dict[Profile, list[str]] = {}
    for name in destinations:
        by_profile.setdefault(profiles.get(name, standard), []).append(name)
    return tuple(Audience(profile, tuple(names)) for profile, names in by_profile.items())


def context_for(context: ResultContext, audience: Audience) -> ResultContext:
    """The context as an audience knows it: a report names only predecessors that somebody of it has."""
    known = tuple(
        one
        for one in context.predecessors
        if not one.destinations or not audience.destinations or set(one.destinations) & set(audience.destinations)
    )
    return replace(context, predecessors=known)
