"""Writes ``docs/validation.md``: ``python -m tests.integration.results.page`` (``make matrix``).

All objects on all sample studies before all validators, and the geometry corpus. It ends with 1 when something is wrong
that is not known. With ``--pixelmed-everywhere`` PixelMed judges the reports of all studies, not only of three.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.integration.results import geometry, known, subjects
from tests.integration.results.geometry import Part
from tests.integration.results.kinds import KINDS, Sample
from tests.integration.results.matrix import PIXELMED, VALIDATORS, Cell, Matrix, fill

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs" / "validation.md"
SAMPLES = ROOT / ".cache" / "samples"
STUDIES = subjects.SUBJECTS | subjects.MORE_SUBJECTS
PIXELMED_STUDIES = ("CT", "Enhanced MR", "XA cine")
"""For PixelMed, which takes up to a minute a file: one of each way in which reports say where something is."""


def written(name: str, content: str) -> None:
    """Put the content between the markers ``name`` of the document."""
    marked = re.compile(rf"(<!-- make matrix: {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    text, found = marked.subn(lambda match: match[1] + content + match[2], DOCUMENT.read_text(encoding="utf-8"))
    if found != 1:
        raise ValueError(f"{DOCUMENT.name} has no part {name}")
    DOCUMENT.write_text(text, encoding="utf-8")


def table(matrix: Matrix) -> str:
    """The matrix as Markdown."""
    names = [validator.name for validator in VALIDATORS]
    lines = [f"| object | made | {' | '.join(names)} |", f"| --- | ---: | {' | '.join('---' for _ in names)} |"]
    for kind in KINDS:
        cells = [str(matrix.cells.get((kind.name, name), Cell())) for name in names]
        lines.append(f"| {kind.name} | {matrix.objects[kind.name]} | {' | '.join(cells)} |")
    studies = ", ".join(matrix.subjects)
    lines += ["", f"{sum(matrix.objects.values())} objects on {len(matrix.subjects)} studies: {studies}.", ""]
    lines += [f"PixelMed: {matrix.judged_by(PIXELMED.name)} reports, of {', '.join(PIXELMED_STUDIES)}.", ""]
    lines += ["| validator | looks for |", "| --- | --- |", *(f"| {one.name} | {one.about} |" for one in VALIDATORS)]
    return "\n".join(lines) + "\n"


def known_messages(matrix: Matrix) -> str:
    """What is not counted, with how often it was heard, as Markdown."""
    lines = []
    for title, known_lines in (("Errors", known.ERRORS), ("Warnings", known.WARNINGS)):
        lines += [
            f"{title}:",
            "",
            "| validator | message | heard | why nothing is wrong |",
            "| --- | --- | ---: | --- |",
        ]
        for one in known_lines:
            message = one.pattern.replace("|", "\\|")
            lines.append(f"| {one.validator} | `{message}` | {matrix.heard[one]} | {one.reason} |")
        lines.append("")
    return "\n".join(lines)


def corpus(parts: Iterable[Part]) -> str:
    """The geometry corpus as Markdown."""
    parts = list(parts)
    lines = ["| part of the corpus | cases | largest error, mm |", "| --- | ---: | ---: |"]
    lines += [f"| {one.name} | {one.cases} | {one.worst_mm:.1e} |" for one in parts]
    worst = max(one.worst_mm for one in parts)
    lines.append(f"| **all** | **{sum(one.cases for one in parts)}** | **{worst:.1e}** |")
    return "\n".join(lines) + "\n"


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def of_study(name: str, *, with_pixelmed: bool) -> Matrix:
    """What everybody says of the results on one sample study."""
    logging.disable(logging.ERROR)  # the gate logs what it refuses; that is counted
    matrix = Matrix()
    chosen = [one for one in VALIDATORS if one is not PIXELMED or with_pixelmed]
    with tempfile.TemporaryDirectory() as folder:
        fill(matrix, Sample(name, Path(folder), lambda images: STUDIES[name](images, SAMPLES)), chosen)
    return matrix


def every_study(*, jobs: int, pixelmed_everywhere: bool) -> Matrix:
    """Let everybody judge, several studies at a time; in the order of the studies."""
    matrix, begun = Matrix(), time.monotonic()
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        waiting = {
            name: pool.submit(of_study, name, with_pixelmed=pixelmed_everywhere or name in PIXELMED_STUDIES)
            for name in STUDIES
        }
        for name, result in waiting.items():
            matrix.include(result.result())
            say(f"{name}: {sum(matrix.objects.values())} objects after {time.monotonic() - begun:.0f} s")
    return matrix


def main() -> int:
    """Run everything, write the document, and say what is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--pixelmed-everywhere", action="store_true")
    given = parser.parse_args()
    matrix = every_study(jobs=given.jobs, pixelmed_everywhere=given.pixelmed_everywhere)
    written("validators", table(matrix))
    written("known", known_messages(matrix))
    problems = list(dict.fromkeys(matrix.problems()))
    for problem in problems:
        say(problem)
    say(f"{len(problems)} problems that are not known")
    logging.disable(logging.ERROR)  # and sets that are judged in part
    written("geometry", corpus(geometry.measured()))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
