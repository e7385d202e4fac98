"""In which character set a destination gets its results, and which form of the images' texts goes into them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from worker.domain.character_sets import codec_of, has_every_character
from worker.domain.errors import PermanentError
from worker.domain.profile import Profile
from worker.results.copied_attributes import TEXT_VRS, Copies
from worker.results.header import Writing, unwritable


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """The copied attributes in the form that belongs to ``writing``."""

    header: Dataset
    writing: Writing


def form_of(copies: Copies) -> Form:
    """As the images have it: UTF-8 where every text is beyond doubt, else their own bytes and declaration."""
    if copies.is_certain:
        return Form(copies.text, Writing())
    return Form(copies.kept, Writing(copies.terms, kept=True))


def form_for(copies: Copies, profile: Profile) -> Form:
    """As a destination wants it. Only text that is beyond doubt is written in another set than that of the images.

    Raises PermanentError (``not-in-character-set``) when the conversion would lose, or might invent, a character.
    """
    wanted = profile.character_set
    if wanted is None or (wanted,) == copies.terms:
        return form_of(copies)
    if not copies.is_certain:
        raise PermanentError(
            f"Profile {profile.name!r} wants {wanted}, but whether the text of the images is what they declare "
            f"({' and '.join(term or 'the default' for term in copies.terms)}) cannot be known.",
            next_step="State in `character_sets` of the configuration what their sender writes, or give the profile no "
            "character set: then that of the images is kept.",
            code="not-in-character-set",
        )
    for keyword, text in _texts(copies.text):
        try:
            text.encode(codec_of(wanted))
        except UnicodeEncodeError as error:
            raise unwritable(keyword, wanted) from error
    return Form(copies.text, Writing((wanted,)))


def needs_ascii(copies: Copies, profiles: Iterable[Profile]) -> bool:
    """Tell whether our own texts go into a set that has no room for every character."""
    own = copies.terms[0] if len(copies.terms) == 1 else ""
    return not all(has_every_character(profile.character_set or own) for profile in profiles)


def _texts(ds: Dataset) -> Iterator[tuple[str, str]]:
    for element in ds.iterall():
        if element.VR in TEXT_VRS and not element.is_empty:
            values: Sequence[object] = element.value if element.VM > 1 else [element.value]
            yield element.keyword, "\\".join(str(value) for value in values)
