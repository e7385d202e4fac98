"""The options that the scripts of the packages share."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

SAMPLES = Path.home() / ".cache" / "overread" / "samples"


def parser_of(description: str | None, out: Path) -> ArgumentParser:
    """``--out`` alone; the docstring of a script is its help."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=out)
    return parser


def add_samples(parser: ArgumentParser) -> None:
    """``--cache``: where the samples of Overread lie or will lie."""
    parser.add_argument("--cache", type=Path, default=SAMPLES, help="keeps the samples")


def add_projections(parser: ArgumentParser) -> None:
    """``--work``: where the radiographs that are projected from the samples lie or will lie."""
    parser.add_argument("--work", type=Path, default=Path("build/projected"), help="keeps the projected images")
