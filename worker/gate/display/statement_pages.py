"""What the pages of statements must say: every line stated once more, taken out of what is written, and nothing left.

Lines are broken between words to fit a page, so the pages are one text here. The longest line is taken out first:
what a longer one holds is then not there for a shorter one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from worker.domain.findings import Conclusion, Presence
from worker.gate.display.slice_text import DRAFT, classified, lines_of, made_by

_CAUTION = "Not found by the algorithm does not mean that nothing is there."
_NEXT_PAGE = re.escape(DRAFT) + r" - page (\d+) of (\d+)"
_TAKEN = " \0 "


def page_problems(pages: Sequence[str], conclusion: Conclusion, dated: str) -> Iterator[str]:
    """Compare the texts of all pages with what was concluded; only of what the font of pictures can write.

    ``dated`` is what is said of the date of the images behind the model.
    """
    lines = list(_lines(conclusion, dated))
    said = _plain(" ".join(pages))
    if not all(line.isascii() and _plain(line).isprintable() for line, _ in lines) or re.search(
        r"and \d+ more lines, which are not shown", said
    ):
        return
    rest = f" {_plain(re.sub(_NEXT_PAGE, ' ', said))} "
    missing = 0
    for line, behind in sorted(lines, key=lambda one: len(one[0]), reverse=True):
        found = re.search(rf"(?<= ){re.escape(_plain(line))}{behind}(?= )", rest)
        missing += found is None
        if found is not None:
            rest = f"{rest[: found.start()]}{_TAKEN}{rest[found.end() :]}"
    numbers = [(int(number), int(total)) for number, total in re.findall(_NEXT_PAGE, said)]
    if numbers != [(2 + n, 1 + len(numbers)) for n in range(len(numbers))]:
        yield f"the pages are numbered {numbers}"
    if missing:
        yield f"{missing} of {len(lines)} lines are not written on the pages as they were concluded"
    if rest.replace("\0", "").strip():
        yield "something on the pages was not concluded, or is written twice"


def _plain(text: str) -> str:
    return " ".join(text.split())


def _lines(conclusion: Conclusion, dated: str) -> Iterator[tuple[str, str]]:
    """Each line, and a pattern of what may stand behind it."""
    volume = conclusion.volume
    count = volume.geometry.shape[0]
    yield DRAFT, ""
    yield f"{made_by(conclusion.algorithm)}{dated}", ""
    yield f"{volume.modality}, {count} image{'' if count == 1 else 's'} analysed", ""
    yield _CAUTION, ""
    found = [*_found(conclusion), *_answers(conclusion)]
    absent = [f"{label}: not found" for label in conclusion.absent]
    absent += [
        f"{one.label}: {classified(one)}" for one in conclusion.classifications if one.presence is Presence.ABSENT
    ]
    drafts = [f"{one.section.meaning}: {one.text}" for one in conclusion.narratives]
    limits = [*(one.text for one in conclusion.quality), *volume.notes, *conclusion.notes]
    plain = (("NOT FOUND", absent), ("DRAFT OF THE REPORT", drafts), ("LIMITS", limits))
    for heading, lines in (("FOUND", found), *((name, [(one, "") for one in part]) for name, part in plain)):
        if lines:
            yield heading, ""
            yield from lines


def _found(conclusion: Conclusion) -> Iterator[tuple[str, str]]:
    yield from (_on(one.words.plain, one.index) for one in lines_of(conclusion))


def _on(line: str, index: int) -> tuple[str, str]:
    return f"{line} (slice {index + 1}", r"(?:, no key image)?\)"


def _answers(conclusion: Conclusion) -> Iterator[tuple[str, str]]:
    for one in conclusion.classifications:
        for answer in one.evaluations:
            yield f"{one.label}: {answer.name.meaning}: {answer.value.meaning}", ""
