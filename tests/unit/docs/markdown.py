"""Taking the documents apart: code blocks, inline code, links, headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.unit.docs.generated import ROOT, documents

DOCUMENTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in documents()}

_BLOCK = re.compile(r"^```(\w*(?: \w+)?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    language: str
    text: str


def blocks(text: str, *languages: str) -> list[Block]:
    found = [Block(one[1], one[2]) for one in _BLOCK.finditer(text)]
    return [block for block in found if not languages or block.language in languages]


def prose(text: str) -> str:
    """A document without its code blocks."""
    return _BLOCK.sub("", text)


def inline(text: str) -> list[str]:
    return _INLINE.findall(prose(text))


def links(text: str) -> list[str]:
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
        found.add(words.replace(" ", "-"))
    return found


def command_lines(text: str) -> Iterator[list[str]]:
    """Every command of the shell blocks, as its words; comments and variables in front are dropped."""
    for block in blocks(text, "sh", "console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            for part in re.split(r"\s&&\s", line):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words.pop(0)
                if words:
                    yield words


def overread_arguments(words: list[str]) -> list[str] | None:
    """Arguments of ``overread`` in a command line, also behind ``docker compose exec SERVICE``; None when absent."""
    for index, word in enumerate(words):
        if Path(word).name == "overread" and (index == 0 or words[0] == "docker"):
            return words[index + 1 :]
    return None


def log_events() -> list[tuple[str, tuple[str, ...]]]:
    """The events that the runbook names, each with the processes that may write it."""
    table = DOCUMENTS["docs/operations.md"].partition("| event | process | meaning |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in table.splitlines()[2:]]
    return [(event.strip("`"), tuple(processes.split(", "))) for _, event, processes, *_ in rows]
