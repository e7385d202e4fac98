"""Who gets the same objects: the destinations of a job by their profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from worker.domain.profile import Profile
from worker.domain.result import ResultContext


@dataclass(frozen=True, slots=True)
class DeliveryGroup:
    """The destinations that share a profile, and so get the same objects; none for a job that goes nowhere."""

    profile: Profile
    destinations: tuple[str, ...]


def delivery_groups(
    destinations: Sequence[str], profiles: Mapping[str, Profile], *, standard: Profile
) -> tuple[DeliveryGroup, ...]:
    """Group destinations by profile, in their order; one group without destinations when there are none."""
    if not destinations:
        return (DeliveryGroup(standard, ()),)
    by_profile: dict[Profile, list[str]] = {}
    for name in destinations:
        by_profile.setdefault(profiles.get(name, standard), []).append(name)
    return tuple(DeliveryGroup(profile, tuple(names)) for profile, names in by_profile.items())


def context_for(context: ResultContext, group: DeliveryGroup) -> ResultContext:
    """The context as a group knows it: a report names only predecessors that somebody of it has."""
    known = tuple(
        one
        for one in context.predecessors
        if not one.destinations or not group.destinations or set(one.destinations) & set(group.destinations)
    )
    return replace(context, predecessors=known)
