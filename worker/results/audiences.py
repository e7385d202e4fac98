"""Who gets the same objects: the destinations of a job by their profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from worker.domain.profile import Audience, Profile


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
